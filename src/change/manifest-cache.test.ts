import type { TreeReader } from '../source/repository.js';
import { ManifestCache, readFile } from './manifest-cache.js';

const configMap = (name: string, rest = ''): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n${rest}`;

/** Answers with the text that its id is. */
const texts: TreeReader = {
  tree: () => Promise.resolve([]),
  blob: (id) => Promise.resolve(Buffer.from(id, 'latin1')),
};

const read = async (text: string | Buffer, cache = new ManifestCache(), path = 'a.yaml', namespace?: string | null) =>
  cache.read(texts, { id: Buffer.from(text).toString('latin1'), path }, namespace);

const ODD =
  '---\n|--- \n|--- # x\n|---\r\n|---x\n|--- {a: 1}\n|--- >\n| ---\n|...\n|%YAML 1.1\n|\n|\r|\t|~\n|# c\n|a: "x\n|b: \'y\n|"\n|\'\n|c: >\n|  text\n|  ---\n|text\n|- 1\n|d: {e: 1,\n|}\n|i: [\n|]\n|\ufeff|e: &x 1\nf: *x\n|g: *x\n|a: 1\n|a: 1\na: 2\n|h: 12345678901234567890123\n'.split(
    '|',
  );
const USUAL = [
  configMap('one'),
  configMap('two', 'data: {k: "é"}\n'),
  configMap('three', 'data:\n  k: |\n    a\n\n    ---\n'),
  'apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Pod\n    metadata: {name: p}\n',
];

/** Usual documents among pieces that matter to where one begins and ends; at random, but always the same. */
function* anyTexts(count: number): Generator<string> {
  let state = 7;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const piece = (): string => (next(10) < 7 ? `${USUAL[next(USUAL.length)]}---\n` : ODD[next(ODD.length)]);
  for (let i = 0; i < count; i++) yield Array.from({ length: 1 + next(6) }, piece).join('');
}

describe('ManifestCache', () => {
  it('gives of any text what reading it as a whole gives: objects, lines, problems and their places', async () => {
    const cache = new ManifestCache(100_000);
    let good = 0;
    for (const text of anyTexts(3000)) {
      const ours = await read(text, cache);
      const whole = readFile('a.yaml', Buffer.from(text), {});
      expect({ text, ...ours, problems: ours.problems.map((problem) => problem.sentence) }).toEqual({
        text,
        ...whole,
        problems: whole.problems.map((problem) => problem.sentence),
      });
      if (whole.objects.length > 1) good++;
    }
    expect(good).toBeGreaterThan(500);
  });

  it('gives the same objects for the documents that two versions of a file share, wherever they stand', async () => {
    const cache = new ManifestCache();
    const before = await read([configMap('a'), configMap('b'), configMap('c')].join('---\n'), cache);
    const after = await read([configMap('new'), configMap('b'), configMap('c', 'data: {x: y}\n')].join('---\n'), cache);
    expect(after.objects[1].object).toBe(before.objects[1].object);
    expect(after.objects[2].object).not.toBe(before.objects[2].object);
    const other = await read(`${configMap('first')}---\n${configMap('b')}---\n`, cache, 'other.yaml');
    expect(other.objects[1].object).toBe(before.objects[1].object);
    expect(other.objects.map(({ source }) => source)).toEqual([
      { path: 'other.yaml', line: 1 },
      { path: 'other.yaml', line: 6 },
    ]);
  });

  it('keeps namespaces apart, and says in whole files which object has none', async () => {
    const cache = new ManifestCache();
    const text = `${configMap('a')}---\n${configMap('b')}`;
    const namespaces = async (namespace?: string | null) =>
      (await read(text, cache, 'a.yaml', namespace)).objects.map(({ identity }) => identity.namespace);
    expect([await namespaces(), await namespaces('shop'), await namespaces('blog')]).toEqual([
      ['', ''],
      ['shop', 'shop'],
      ['blog', 'blog'],
    ]);
    const { problems } = await read(text, cache, 'a.yaml', null);
    expect(problems.map(({ code, place }) => [code, place])).toEqual([
      ['namespace-missing', { file: 'a.yaml', line: 1 }],
      ['namespace-missing', { file: 'a.yaml', line: 6 }],
    ]);
  });

  it('forgets what was not asked for longest, and keeps no document that no file holds', async () => {
    const cache = new ManifestCache(20_000);
    const first = await read(configMap('a'), cache);
    for (let i = 0; i < 100; i++) await read(`${configMap('b')}---\n${configMap(`c${i}`)}`, cache);
    expect((await read(configMap('b'), cache, 'b.yaml')).objects[0].object).toBe(
      (await read(configMap('b'), cache, 'c.yaml')).objects[0].object,
    );
    expect((await read(configMap('a'), cache)).objects[0].object).not.toBe(first.objects[0].object);
    expect(cache.held).toBeLessThanOrEqual(20_000);
  });
});
