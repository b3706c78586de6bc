import { splitDocuments } from '../cluster/documents.js';
import { commonParts } from './common-parts.js';

const PIECES = [
  'a: 1\n',
  'b: 2\n',
  '---\n',
  '--- \n',
  '---x\n',
  '\n',
  '---',
  'long: '.repeat(30),
  '# c\n',
  'é\n',
  '--',
];

function ends(bytes: Buffer): number[] {
  let at = 0;
  return splitDocuments(bytes).map((part) => (at += part.length));
}

describe('commonParts', () => {
  it('finds the documents that two versions share, and leaves between them what splitting the newer one would', () => {
    let state = 5;
    const next = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    let shared = 0;
    for (let i = 0; i < 5000; i++) {
      const pieces = Array.from({ length: 1 + next(12) }, () => PIECES[next(PIECES.length)]);
      const before = Buffer.from(pieces.join(''));
      for (let n = next(3); n > 0; n--) pieces.splice(next(pieces.length + 1), next(3), PIECES[next(PIECES.length)]);
      const after = Buffer.from(pieces.join(''));
      const old = splitDocuments(before);
      const { head, tail, from, to } = commonParts(before, ends(before), after);
      const between = from === to && head + tail > 0 ? [] : splitDocuments(after.subarray(from, to));
      const found = [...old.slice(0, head), ...between, ...old.slice(old.length - tail)];
      expect(found.map(String)).toEqual(splitDocuments(after).map(String));
      shared += head + tail;
    }
    expect(shared).toBeGreaterThan(4000);
  });
});
