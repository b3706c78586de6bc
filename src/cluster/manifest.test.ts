import { CountersignError } from '../errors.js';
import { canonicalJson } from './canonical.js';
import { readManifest } from './manifest.js';

const read = (text: string, path = 'app.yaml') => readManifest(path, Buffer.from(text));
const failure = (run: () => unknown): CountersignError => {
  try {
    run();
  } catch (error) {
    if (error instanceof CountersignError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};
const configMap = (rest: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n${rest}`;

const lines = (n: number, of: string) => Array.from({ length: n }, () => of).join('\n');
const item = (name: string) => `  - apiVersion: v1\n    kind: Secret\n    metadata: {name: ${name}}\n`;

describe('readManifest', () => {
  it('gives each object of each document with the line it starts at', () => {
    const text = `# comment\n---\n# more\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n---\n---\n${configMap('')}`;
    const { objects, otherDocuments } = read(text);
    expect(objects.map((o) => [o.identity, o.source.line])).toEqual([
      [{ group: '', version: 'v1', kind: 'Service', namespace: 'shop', name: 'a' }, 4],
      [{ group: '', version: 'v1', kind: 'ConfigMap', namespace: '', name: 'a' }, 9],
    ]);
    expect(otherDocuments).toBe(0);
  });

  it('when items are in a List, gives each its own line', () => {
    const { objects } = read(`apiVersion: v1\nkind: List\nmetadata: {items: [1]}\nitems:\n${item('a')}${item('b')}`);
    expect(objects.map((o) => [o.identity.name, o.source.line])).toEqual([
      ['a', 5],
      ['b', 8],
    ]);
  });

  it('when a typed list leaves out what its items are, takes it from the list', () => {
    const { objects } = read('apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {name: a}');
    expect(objects[0]?.object).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a' } });
  });

  it('finds objects in lists within lists', () => {
    const { objects } = read(
      '{"apiVersion":"v1","kind":"List","items":[\n{"apiVersion":"v1","kind":"List","items":[\n{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}]}]}',
      'a.json',
    );
    expect(objects.map((o) => [o.identity.name, o.source.line])).toEqual([['p', 2]]);
  });

  it('counts documents that are no objects', () => {
    expect(read('a: 1\n---\n- 1\n---\nkind: X\n---\n')).toEqual({ objects: [], otherDocuments: 3, separable: true });
  });

  it('reads a byte order mark and CRLF', () => {
    const { objects } = read(`\ufeff${configMap('data: {a: "1"}\n')}`.replaceAll('\n', '\r\n'));
    expect(objects[0]?.object).toEqual({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'a' },
      data: { a: '1' },
    });
  });

  it('reads scalars as sigs.k8s.io/yaml does', () => {
    const { objects } = read(
      configMap(
        'data: {a: yes, b: 010, c: 1:20, d: 2001-01-01, e: 0x1F, f: 1e3, g: 08, h: ~, i: 0o17, j: 1_000, k: .5, l: "off", m: !!binary aGk=}',
      ),
    );
    expect(objects[0]?.object.data).toEqual({
      a: true,
      b: 8,
      c: '1:20',
      d: '2001-01-01',
      e: 31,
      f: 1000,
      g: 8,
      h: null,
      i: 15,
      j: 1000,
      k: 0.5,
      l: 'off',
      m: 'hi',
    });
  });

  it('reads merge keys and aliases', () => {
    const { objects } = read(configMap('x: &x {a: 1, b: 2}\ndata: {<<: *x, b: 3}\nz: *x'));
    expect(objects[0]?.object).toMatchObject({ data: { a: 1, b: 3 }, z: { a: 1, b: 2 } });
  });

  const bomb = `a0: &a0 "${'x'.repeat(1000)}"\n${Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(',')}]`).join('\n')}`;

  it.each([
    ['YAML that does not parse', 'a: 1\nb: [1\nc: 2', 'manifest-malformed', 3],
    ['a template', 'a: b\n{{ if }}\nc: d', 'manifest-malformed', 2],
    ['a tab as indentation', 'a:\n\tb: 1', 'manifest-malformed', 2],
    ['a key written twice', configMap('data:\n  a: "1"\n  a: "2"'), 'manifest-duplicate-key', 6],
    ['a key written twice in two spellings', configMap('data:\n  1: a\n  "1": b'), 'manifest-duplicate-key', 6],
    [
      'a key written twice after a merge of it',
      configMap('x: &x {a: 1}\ny: &y {a: 2}\nz:\n  <<: [*x, *y]\n  a: 1\n  a: 2'),
      'manifest-duplicate-key',
      9,
    ],
    ['a key that is null', configMap('data:\n  ~: a'), 'manifest-malformed', 5],
    ['an integer beyond 2^53', configMap('x:\n  y: 9007199254740993'), 'manifest-number', 5],
    ['a number that is infinite', configMap('x: .inf'), 'manifest-number', 4],
    ['half of a surrogate pair', configMap('x: "\\ud800"'), 'manifest-malformed', 1],
    ['an alias that holds itself', configMap('x: &x\n  y: *x'), 'manifest-aliases', 5],
    ['an alias bomb', configMap(bomb), 'manifest-aliases', 9],
    ['more aliases than the limit', configMap(`x: &x 1\ny:\n${lines(1001, '- *x')}`), 'manifest-aliases', 1006],
    ['an unknown alias', configMap('x: *y'), 'manifest-malformed', 4],
    ['nesting without end', configMap(`x: ${'['.repeat(200)}`), 'manifest-too-deep', 4],
    ['an object without name', 'apiVersion: v1\nkind: Pod\nmetadata: {}', 'object-invalid', 1],
    [
      'an object with generateName',
      '---\napiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}',
      'object-invalid',
      2,
    ],
    ['a name that is a number', 'apiVersion: v1\nkind: Pod\nmetadata: {name: 1}', 'object-invalid', 1],
    [
      'a name that would take the identity of another',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a/b}',
      'object-invalid',
      1,
    ],
    [
      'a namespace that is no string',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: [b]}',
      'object-invalid',
      1,
    ],
    [
      'metadata of our own',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {countersign.dev/decision: x}}',
      'object-invalid',
      1,
    ],
    [
      'an ApplySet label',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {applyset.kubernetes.io/part-of: x}}',
      'object-invalid',
      1,
    ],
  ])('refuses %s, with file, line and remedy', (_what, text, code, line) => {
    const error = failure(() => read(text));
    expect(error).toMatchObject({ code, place: { file: 'app.yaml', line } });
    expect(error.remedy).toBeTruthy();
  });

  it('refuses a manifest of 50 MB before it looks inside', () => {
    const error = failure(() => readManifest('big.yaml', Buffer.alloc(50_000_000, 'a: b\n')));
    expect(error).toMatchObject({ code: 'manifest-too-large', place: { file: 'big.yaml' } });
    expect(error.message).toContain('50000000');
  });

  it('refuses more documents than the limit', () => {
    expect(failure(() => readManifest('a.yaml', Buffer.from(lines(30, '---\na: 1')), { documents: 20 }))).toMatchObject(
      { code: 'manifest-too-large' },
    );
  });

  it('refuses bytes that are not UTF-8, with the line', () => {
    const bytes = Buffer.concat([Buffer.from('a: 1\nb: '), Buffer.from([0xff]), Buffer.from('\n')]);
    expect(failure(() => readManifest('a.yaml', bytes))).toMatchObject({
      code: 'manifest-malformed',
      place: { line: 2 },
    });
  });

  it('never quotes what stands near a fault, for it may be a Secret (invariant 10)', () => {
    const error = failure(() => read('apiVersion: v1\nkind: Secret\nstringData:\n  password: hunter2\n bad'));
    expect(JSON.stringify([error.message, error.sentence, String(error.cause)])).not.toContain('hunter2');
  });

  it('keeps keys that would change the prototype', () => {
    const { objects } = read(configMap('data: {__proto__: {admin: "1"}}'));
    expect(canonicalJson(objects[0].object)).toContain('"__proto__":{"admin":"1"}');
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it('refuses what SOPS encrypted, by its name', () => {
    const text = `apiVersion: v1
kind: Secret
metadata: {name: db}
data: {password: "ENC[AES256_GCM,data:c2Vj,iv:aXY=,tag:dGFn,type:str]"}
sops: {mac: "ENC[AES256_GCM,data:bWFj,iv:aXY=,tag:dGFn,type:str]", lastmodified: "2026-11-21T00:00:00Z", version: 3.9.0}
`;
    expect(() => readManifest('a.yaml', Buffer.from(text))).toThrow(
      expect.objectContaining({
        code: 'object-invalid',
        message: 'the Secret is encrypted with SOPS, and nothing here decrypts it',
        place: { file: 'a.yaml', line: 1 },
      }),
    );
  });
});
