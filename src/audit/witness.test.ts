import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WitnessFiles } from '../adapters/witness/memory-file.js';
import { openCheckpoint, signCheckpoint } from './checkpoint.js';
import { ed25519Signer, sha256, utf8 } from './crypto.js';
import type { Hash } from './crypto.js';
import { emptyRoot, leafHash, proveConsistency, rootOf } from './merkle.js';
import { noteCosigner, noteSigner, parseVkey } from './note.js';
import { nodeReader, subtreeRoot } from './tiles.js';
import { formatCosignRequest, parseCosignRequest, Witness } from './witness.js';

const origin = 'countersign.example.org/test';
const logKey = noteSigner(origin, ed25519Signer(sha256(utf8('log'))));
const stranger = noteSigner(origin, ed25519Signer(sha256(utf8('stranger'))));
const elsewhere = noteSigner('elsewhere.example.org', ed25519Signer(sha256(utf8('elsewhere'))));
const cosigner = noteCosigner('witness.example.org/w1', ed25519Signer(sha256(utf8('witness'))));
const log = parseVkey(logKey.vkey);
const witnessKey = parseVkey(cosigner.vkey);
const seconds = 1_760_000_000;

/** A log of `size` entries; those from `fork` on are others. */
function leaves(size: number, fork = size): readonly Hash[] {
  return Array.from({ length: size }, (_, i) => leafHash(utf8(i < fork ? `entry ${i}` : `other ${i}`)));
}

const noteOf = (tree: readonly Hash[], signer = logKey, name = origin): Promise<string> =>
  signCheckpoint({ origin: name, size: tree.length, root: rootOf(tree) }, signer);

const three = await noteOf(leaves(3));
const ofAnother = await noteOf(leaves(3), elsewhere, 'elsewhere.example.org');
const byStranger = await noteOf(leaves(3), stranger);
const notEmpty = await signCheckpoint({ origin, size: 0, root: sha256(utf8('x')) }, logKey);

const proof = (tree: readonly Hash[], from: number): Promise<readonly Hash[]> =>
  proveConsistency(
    from,
    tree.length,
    nodeReader(tree.length, async ({ level, index, width }) => {
      const count = 256 ** Number(level);
      const roots = Array.from({ length: width }, (_, i) =>
        subtreeRoot(tree.slice((index * 256 + i) * count, (index * 256 + i + 1) * count)),
      );
      return Buffer.concat(roots);
    }),
  );

async function ask(tree: readonly Hash[], oldSize: number, given?: readonly Hash[]): Promise<string> {
  return formatCosignRequest({
    oldSize,
    proof: given ?? (oldSize === 0 ? [] : await proof(tree, oldSize)),
    checkpoint: await noteOf(tree),
  });
}

let folder: string;
let witness: Witness;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-witness-'));
  witness = new Witness([log], cosigner, new WitnessFiles(folder), () => seconds * 1000);
});

afterEach(() => rmSync(folder, { recursive: true }));

describe('a witness', () => {
  it('signs the first tree it sees, what it grew to, and the same again', async () => {
    for (const [size, oldSize] of [
      [3, 0],
      [300, 3],
      [300, 300],
    ]) {
      const tree = leaves(size);
      const answer = await witness.addCheckpoint(await ask(tree, oldSize));
      expect(answer.status).toBe(200);
      const opened = openCheckpoint((await noteOf(tree)) + answer.body, log, [witnessKey]);
      expect(opened.signedBy).toContain(witnessKey);
      expect(opened.cosignedAt.get(witnessKey)).toBe(seconds);
    }
  });

  it('remembers after a restart', async () => {
    await witness.addCheckpoint(await ask(leaves(7), 0));
    const again = new Witness([log], cosigner, new WitnessFiles(folder));
    expect(await again.addCheckpoint(await ask(leaves(9), 0))).toEqual({ status: 409, body: '7\n' });
    expect((await again.addCheckpoint(await ask(leaves(9), 7))).status).toBe(200);
  });

  it('signs one of two trees that grew apart, whichever comes first', async () => {
    await witness.addCheckpoint(await ask(leaves(8), 0));
    const fork = leaves(8, 5);
    expect(await witness.addCheckpoint(await ask(fork, 0))).toMatchObject({ status: 409 });
    expect(await witness.addCheckpoint(await ask(fork, 8, []))).toEqual({ status: 409, body: '8\n' });
    const later = leaves(12, 5);
    expect(await witness.addCheckpoint(await ask(later, 8))).toMatchObject({ status: 422 });
  });

  it('signs one of two that come at the same moment, and never goes back', async () => {
    const answers = await Promise.all(
      [10, 20, 30, 40].map(async (size) => witness.addCheckpoint(await ask(leaves(size), 0))),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(3);
  });

  it.each([
    ['nothing', '', 400],
    ['no old size', `\n${three}`, 400],
    ['leading zeros', `old 00\n\n${three}`, 400],
    ['a proof of other bytes', `old 1\nAAAA\n\n${three}`, 400],
    ['too long a proof', `old 1\n${`${'A'.repeat(43)}=\n`.repeat(64)}\n${three}`, 400],
    ['an old size beyond the checkpoint', `old 4\n\n${three}`, 400],
    ['a proof of the first tree', `old 0\n${'A'.repeat(43)}=\n\n${three}`, 422],
    ['a log it does not watch', `old 0\n\n${ofAnother}`, 404],
    ["a stranger's signature", `old 0\n\n${byStranger}`, 403],
    ['no signature', `old 0\n\n${three.split('\n\n')[0]}\n\n`, 400],
    ['an empty tree with a root', `old 0\n\n${notEmpty}`, 422],
  ])('refuses %s', async (_what, body, status) => {
    expect((await witness.addCheckpoint(body)).status).toBe(status);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('signs the empty tree, and what grows from it', async () => {
    const empty = await signCheckpoint({ origin, size: 0, root: emptyRoot }, logKey);
    expect((await witness.addCheckpoint(`old 0\n\n${empty}`)).status).toBe(200);
    expect((await witness.addCheckpoint(await ask(leaves(5), 0))).status).toBe(200);
  });

  it('signs nothing once its memory is damaged', async () => {
    await witness.addCheckpoint(await ask(leaves(7), 0));
    writeFileSync(join(folder, readdirSync(folder)[0]), 'rubbish');
    await expect(witness.addCheckpoint(await ask(leaves(9), 0))).rejects.toMatchObject({ code: 'data-folder' });
  });

  it('reads back every request it writes', async () => {
    const request = { oldSize: 3, proof: await proof(leaves(9), 3), checkpoint: await noteOf(leaves(9)) };
    expect(parseCosignRequest(formatCosignRequest(request))).toEqual(request);
  });
});
