import { CountersignError } from '../errors.js';
import { signCheckpoint } from './checkpoint.js';
import { ed25519Signer, sha256, toBase64, utf8 } from './crypto.js';
import { leafHash, proveInclusion, rootOf } from './merkle.js';
import { noteCosigner, noteSigner, parseVkey } from './note.js';
import { parseTrust, trustIn } from './policy-file.js';
import { sealStatement } from './statement.js';
import { formatTlogProof, parseTlogProof, verifyTlogProof } from './tlog-proof.js';

const origin = 'log.example.org/proofs';
const log = noteSigner(origin, ed25519Signer(sha256(utf8('log'))));
const trust = trustIn(parseVkey(log.vkey));
const time = '2026-11-21T02:00:00.000Z';

async function proofOf(index: number, size: number): Promise<{ text: string; checkpoint: string }> {
  const key = ed25519Signer(sha256(utf8('entries')));
  const sealed = await Promise.all(Array.from({ length: size }, (_, n) => sealStatement({ type: 'push', subjects: [], predicate: { n } }, time, {}, key))); // prettier-ignore
  const leaves = sealed.map(({ leaf }) => leaf);
  const hashes = leaves.map(leafHash);
  const checkpoint = await signCheckpoint({ origin, size, root: rootOf(hashes) }, log);
  const proof = await proveInclusion(
    index,
    size,
    (nodes) =>
    Promise.resolve(nodes.map((node) => rootOf(hashes.slice(node.index * 2 ** node.level, (node.index + 1) * 2 ** node.level)))), // prettier-ignore
  );
  return { text: formatTlogProof({ index, hashes: proof, checkpoint, extra: leaves[index] }), checkpoint };
}

it('is written as the specification has it, and read back', () => {
  const [one, two] = [sha256(utf8('a')), sha256(utf8('b'))];
  const text = formatTlogProof({
    index: 73_894,
    hashes: [one, two],
    checkpoint: 'a\n1\nb\n\n— c d\n',
    extra: utf8('x'),
  });
  expect(text).toBe(
    `c2sp.org/tlog-proof@v1\nextra eA==\nindex 73894\n${toBase64(one)}\n${toBase64(two)}\n\na\n1\nb\n\n— c d\n`,
  );
  expect(formatTlogProof(parseTlogProof(text))).toBe(text);
  const bare = 'c2sp.org/tlog-proof@v1\nindex 0\n\na\n';
  expect(parseTlogProof(bare)).toEqual({ index: 0, hashes: [], checkpoint: 'a\n' });
});

it.each([
  [0, 1],
  [0, 2],
  [5, 11],
  [10, 11],
])('proves entry %i of %i, and nothing when any of it is another', async (index, size) => {
  const { text, checkpoint } = await proofOf(index, size);
  expect(verifyTlogProof(text, trust).entry.predicate).toMatchObject({ n: index });
  const lines = text.split('\n');
  const without = (n: number): string => lines.filter((_, i) => i !== n).join('\n');
  const changed = [
    text.replace(`index ${index}`, `index ${index + 1}`),
    text.replace(`index ${index}`, `index 0${index}`),
    text.replace('index ', 'Index '),
    text.replace('@v1', '@v2'),
    text.replace('extra ', 'extra  '),
    text.replace('\nindex', '\nextra eA==\nindex'),
    text.replace(/\n\n/, `\n${toBase64(sha256())}\n\n`),
    text.replace(checkpoint, ''),
    text.replaceAll('\n', '\r\n'),
    without(0),
    without(1),
    without(2),
    ...(size > 1 ? [without(3)] : []),
  ];
  for (const other of changed) expect(() => verifyTlogProof(other, trust)).toThrow(CountersignError);
});

it('asks for the log and the witnesses that its reader trusts', async () => {
  const { text } = await proofOf(5, 11);
  const stranger = noteSigner(origin, ed25519Signer(sha256(utf8('stranger'))));
  expect(() => verifyTlogProof(text, trustIn(parseVkey(stranger.vkey)))).toThrow('no signature by a trusted key');
  const witness = noteCosigner('w.example.org', ed25519Signer(sha256(utf8('witness'))));
  const strict = parseTrust(`log ${log.vkey}\nwitness w ${witness.vkey}\nquorum w\n`, 'trust.txt');
  expect(() => verifyTlogProof(text, strict)).toThrow(CountersignError);
});
