import { readFile } from './manifest-cache.js';
import { ParserThread } from './parsing.js';

const limits = { bytes: 1000 };
const files: readonly (readonly [string, string])[] = [
  ['a.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {__proto__: "1", b: "é"}\n---\nother: 1\n'],
  ['b.json', '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}'],
  ['bad.yaml', 'a: [1\nb: 2\n'],
  ['big.yaml', '# '.repeat(600)],
  ['empty.yaml', ''],
];

describe('ParserThread', () => {
  it('reads every file as this thread would, problems and their places too', async () => {
    const parser = new ParserThread(limits);
    try {
      const elsewhere = await Promise.all(files.map(([path, text]) => parser.parse(path, Buffer.from(text))));
      const here = files.map(([path, text]) => readFile(path, Buffer.from(text), limits));
      expect(JSON.stringify(elsewhere.map(({ objects }) => objects))).toBe(
        JSON.stringify(here.map(({ objects }) => objects)),
      );
      elsewhere.forEach(({ problems, otherDocuments, bytes }, i) => {
        expect([otherDocuments, bytes]).toEqual([here[i].otherDocuments, here[i].bytes]);
        expect(problems.map((problem) => problem.sentence)).toEqual(
          here[i].problems.map((problem) => problem.sentence),
        );
      });
    } finally {
      await parser.close();
    }
  });
});
