import { canonicalJson } from './canonical.js';
import type { KubernetesObject } from './object.js';
import { Redactor } from './secret.js';

const redactor = new Redactor(Buffer.alloc(32, 7), 'k1');
const secret = (rest: object): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'db', namespace: 'shop' },
  ...rest,
});
const base64 = (text: string) => Buffer.from(text).toString('base64');
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const annotated = (object: KubernetesObject, text: string): KubernetesObject => ({
  ...object,
  metadata: { ...object.metadata, annotations: { [LAST_APPLIED]: text } },
});
const member = (object: KubernetesObject, field: string, key: string) => (object[field] as Record<string, string>)[key];

const of = (r: Redactor, name: string, key: string) =>
  member(r.redact(secret({ metadata: { name }, stringData: { [key]: 'x' } })), 'stringData', key);

describe('Redactor (invariant 10)', () => {
  it('when an object is no Secret, gives the very same object', () => {
    const object = { ...secret({ data: { a: 'b' } }), kind: 'ConfigMap' };
    expect(redactor.redact(object)).toBe(object);
  });

  it('replaces values under data and stringData, equal bytes by equal digests', () => {
    const a = redactor.redact(secret({ data: { p: base64('hunter2') }, type: 'Opaque' }));
    const b = redactor.redact(secret({ stringData: { p: 'hunter2' } }));
    expect(member(a, 'data', 'p')).toMatch(/^hmac-sha256:k1:[0-9a-f]{64}$/);
    expect(member(b, 'stringData', 'p')).toBe(member(a, 'data', 'p'));
    expect(a.type).toBe('Opaque');
  });

  it('shows that a value changed', () => {
    const [a, b] = ['a', 'b'].map((p) => member(redactor.redact(secret({ stringData: { p } })), 'stringData', 'p'));
    expect(a).not.toBe(b);
  });

  it('gives the same value another digest in another object, under another name, under another key', () => {
    const other = new Redactor(Buffer.alloc(32, 8), 'k1');
    expect(
      new Set([of(redactor, 'a', 'p'), of(redactor, 'b', 'p'), of(redactor, 'a', 'q'), of(other, 'a', 'p')]).size,
    ).toBe(4);
  });

  it.each([
    ['base64 that is none', { data: { p: 'hunter2!' } }],
    ['a number', { stringData: { p: 4711002 } }],
    ['a nested value', { data: { p: { q: 'hunter2' } } }],
    ['a list in place of the map', { data: ['hunter2'] }],
    ['a string in place of the map', { stringData: 'hunter2' }],
    ['a value that looks redacted', { stringData: { p: 'hmac-sha256:k1:hunter2' } }],
    ['a key called __proto__', JSON.parse('{"stringData":{"__proto__":"hunter2"}}') as object],
  ])('hides %s', (_what, rest) => {
    const text = canonicalJson(redactor.redact(secret(rest)));
    expect(text).not.toMatch(/hunter2|4711002/);
    expect(text).toContain('hmac-sha256:');
  });

  it('hides values inside last-applied-configuration, however deep it repeats itself', () => {
    const inner = annotated(
      secret({ data: { p: base64('hunter2') } }),
      JSON.stringify(secret({ stringData: { p: 'hunter2' } })),
    );
    const object = annotated(secret({ data: { p: base64('hunter2') } }), JSON.stringify(inner));
    const text = canonicalJson(redactor.redact(object));
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain(base64('hunter2'));
    expect(new Set(text.match(/hmac-sha256:k1:[0-9a-f]+/g)).size).toBe(1);
  });

  it('when last-applied-configuration lies about its kind, hides it all the same', () => {
    const object = annotated(secret({}), JSON.stringify({ ...secret({ data: { p: 'hunter2' } }), kind: 'ConfigMap' }));
    expect(canonicalJson(redactor.redact(object))).not.toContain('hunter2');
  });

  it('when last-applied-configuration cannot be read, hides all of it', () => {
    expect(canonicalJson(redactor.redact(annotated(secret({}), '{"data": hunter2')))).not.toContain('hunter2');
  });

  it('hides further paths of any object, with wildcards', () => {
    const more = new Redactor(Buffer.alloc(32, 7), 'k1', ['/spec/users/*/password']);
    const object: KubernetesObject = {
      apiVersion: 'x/v1',
      kind: 'Db',
      metadata: { name: 'a' },
      spec: { users: [{ name: 'u', password: 'hunter2' }] },
    };
    const text = canonicalJson(more.redact(object));
    expect(text).not.toContain('hunter2');
    expect(text).toContain('"name":"u"');
  });

  it('refuses a short key', () => {
    expect(() => new Redactor(Buffer.alloc(16), 'k1')).toThrow(/shorter than 32 bytes/);
  });
});
