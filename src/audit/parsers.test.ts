import { CountersignError } from '../errors.js';
import { openCheckpoint, parseCheckpoint, signCheckpoint } from './checkpoint.js';
import { ed25519Signer, sha256, utf8 } from './crypto.js';
import { parseEnvelope } from './dsse.js';
import { erasedBy, listErased } from './erasure.js';
import { openManifest } from './evidence.js';
import { consistencyHolds, inclusionHolds, leafHash, nodeHash, rootOf } from './merkle.js';
import { noteSigner, parseNote, parseVkey } from './note.js';
import { parseTrust } from './policy-file.js';
import { contentsOf, parseStatement, sealStatement } from './statement.js';
import { decodeEntries, encodeEntries, parseTilePath, splitTile } from './tiles.js';
import { formatTlogProof, parseTlogProof } from './tlog-proof.js';
import { formatCosignRequest, parseCosignRequest } from './witness.js';

// What anybody may hand to us: each parser gives what it should, undefined, or a fault of ours, and never hangs or throws anything else.

// More of it, with another seed each time: make soak.
const rounds = Number(process.env['CASES'] ?? 400);
const firstSeed = Number(process.env['SEED'] ?? 20_261_121);

function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
}

type Random = ReturnType<typeof randomFrom>;

/** One to four edits: a flipped bit, a cut, a doubled part, a strange piece. */
function mutate(bytes: Buffer, random: Random): Buffer {
  let out = Buffer.from(bytes);
  const strange = ['\n\n', '\u0000', '— ', '+', '\u2028', '18446744073709551616', '-1', '{"a":1,"a":2}', '\ud800', '=', '__proto__']; // prettier-ignore
  for (let edit = random(4); edit >= 0; edit -= 1) {
    const at = random(Math.max(1, out.length));
    const kind = random(4);
    if (kind === 0 && out.length > 0) out[at] ^= 1 << random(8);
    else if (kind === 1) out = out.subarray(0, at);
    else if (kind === 2) out = Buffer.concat([out.subarray(0, at), out.subarray(random(at + 1), at), out.subarray(at)]);
    else out = Buffer.concat([out.subarray(0, at), Buffer.from(strange[random(strange.length)]), out.subarray(at)]);
  }
  return out;
}

const key = ed25519Signer(sha256(utf8('fuzz')));
const log = noteSigner('log.example.org/fuzz', key);
const tree = { origin: 'log.example.org/fuzz', size: 77, root: sha256(utf8('root')) };

const text =
  (parse: (value: string) => unknown) =>
  (bytes: Buffer): unknown =>
    parse(bytes.toString());

async function seeds(): Promise<readonly [string, Buffer, (bytes: Buffer) => unknown][]> {
  const note = await signCheckpoint(tree, log);
  const predicate = { id: 'x', n: 1 };
  const reference = { mediaType: 'text/plain', sha256: 'a'.repeat(64), salted: true };
  const sealed = await sealStatement({ type: 'push', subjects: [], predicate }, '2026-11-21T00:00:00Z', { note: reference }, key); // prettier-ignore
  const leaf = Buffer.from(sealed.leaf);
  const policy = `log ${log.vkey}\n# comment\nquorum none\n`;
  const proof = [sha256(utf8('a')), sha256(utf8('b'))];
  return [
    ['note', Buffer.from(note), text(parseNote)],
    ['checkpoint', Buffer.from(note.slice(0, note.indexOf('\n\n') + 1)), text(parseCheckpoint)],
    ['vkey', Buffer.from(log.vkey), text(parseVkey)],
    ['policy file', Buffer.from(policy), text((value) => parseTrust(value, 'trust.txt'))],
    ['tile path', Buffer.from('tile/entries/x001/234.p/56'), text(parseTilePath)],
    ['tile', Buffer.concat(proof), (bytes) => splitTile(bytes, 2)],
    ['entries', Buffer.from(encodeEntries([leaf, leaf])), (bytes) => decodeEntries(bytes, 2)],
    ['envelope', leaf, parseEnvelope],
    ['statement', leaf, (bytes) => contentsOf(parseStatement(bytes).predicate)],
    ['manifest', leaf, (bytes) => openManifest(bytes, [])],
    ['list of erased', Buffer.from(listErased(['b'.repeat(64)])), erasedBy],
    [
      'tlog proof',
      Buffer.from(formatTlogProof({ index: 3, hashes: proof, checkpoint: note, extra: leaf })),
      text(parseTlogProof),
    ],
    [
      'cosign request',
      Buffer.from(formatCosignRequest({ oldSize: 3, proof, checkpoint: note })),
      text(parseCosignRequest),
    ],
  ];
}

const parsers = ['note', 'checkpoint', 'vkey', 'policy file', 'tile path', 'tile', 'entries', 'envelope', 'statement', 'manifest', 'list of erased', 'tlog proof', 'cosign request']; // prettier-ignore

it.each(parsers.map((name, i) => [name, i] as const))(
  'a %s that was damaged is refused in our words',
  async (name, i) => {
    const [, seed, parse] = (await seeds()).find(([known]) => known === name)!;
    const random = randomFrom(firstSeed + i);
    const outcomes = { read: 0, refused: 0 };
    for (let round = 0; round < rounds; round += 1) {
      const damaged = mutate(seed, random);
      try {
        parse(damaged);
        outcomes.read += 1;
      } catch (error) {
        if (!(error instanceof CountersignError)) throw new Error(`round ${round}: ${JSON.stringify(damaged.toString('latin1'))}`, { cause: error }); // prettier-ignore
        outcomes.refused += 1;
      }
    }
    expect(outcomes.read + outcomes.refused).toBe(rounds);
  },
);

it('a checkpoint with any one byte changed is refused', async () => {
  const note = Buffer.from(await signCheckpoint(tree, log));
  const verifier = parseVkey(log.vkey);
  for (let at = 0; at < note.length; at += 1) {
    const changed = Buffer.from(note);
    changed[at] ^= 1 << (at % 8);
    expect(() => openCheckpoint(changed.toString(), verifier)).toThrow(CountersignError);
  }
});

it('a proof one hash short or long, or with two of them swapped, shows nothing', () => {
  const leaves = Array.from({ length: 11 }, (_, n) => leafHash(utf8(String(n))));
  const root = rootOf(leaves);
  const eight = rootOf(leaves.slice(0, 8));
  const inclusion = [leaves[4], rootOf(leaves.slice(6, 8)), rootOf(leaves.slice(0, 4)), rootOf(leaves.slice(8))];
  const consistency = [rootOf(leaves.slice(8))];
  expect(inclusionHolds(5, 11, leaves[5], inclusion, root)).toBe(true);
  expect(consistencyHolds(8, 11, eight, root, consistency)).toBe(true);
  expect(nodeHash(eight, consistency[0])).toEqual(root);
  for (const proof of [
    inclusion.slice(1),
    inclusion.slice(0, -1),
    [...inclusion, leaves[0]],
    [leaves[0], ...inclusion],
    inclusion.toReversed(),
  ])
    // prettier-ignore
    expect(inclusionHolds(5, 11, leaves[5], proof, root)).toBe(false);
  for (const proof of [[], [...consistency, leaves[0]], [leaves[0], ...consistency]])
    expect(consistencyHolds(8, 11, eight, root, proof)).toBe(false);
});
