// Evidence of 1,000,000 entries verified from its zip, against the signatures and SHA-256 alone in the same process (at most 4 times), and
// the most memory that this took (below 300 MiB). One entry in ten is a decision with a run, the others are pushes; `--quick`: 50,000.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as ZipModule from '../../src/adapters/evidence/zip.js';
import type * as CheckpointModule from '../../src/audit/checkpoint.js';
import type * as CryptoModule from '../../src/audit/crypto.js';
import type * as DsseModule from '../../src/audit/dsse.js';
import type { EntryDraft } from '../../src/audit/entry.js';
import type * as EvidenceModule from '../../src/audit/evidence.js';
import type * as MerkleModule from '../../src/audit/merkle.js';
import type * as NoteModule from '../../src/audit/note.js';
import type * as PolicyFileModule from '../../src/audit/policy-file.js';
import type * as StatementModule from '../../src/audit/statement.js';
import type * as TilesModule from '../../src/audit/tiles.js';
import type * as VerifyModule from '../../src/audit/verify.js';

const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { openZip, writeZip } = (await built('adapters/evidence/zip')) as typeof ZipModule;
const { signCheckpoint } = (await built('audit/checkpoint')) as typeof CheckpointModule;
const { ed25519Signer, ed25519Verifier, toBase64, utf8 } = (await built('audit/crypto')) as typeof CryptoModule;
const { envelopeKeyId, parseEnvelope } = (await built('audit/dsse')) as typeof DsseModule;
const { evidenceFiles, readmeDigest, readmeText, sealManifest } = (await built(
  'audit/evidence',
)) as typeof EvidenceModule;
const { Frontier, leafHash } = (await built('audit/merkle')) as typeof MerkleModule;
const { noteSigner } = (await built('audit/note')) as typeof NoteModule;
const { parseTrust } = (await built('audit/policy-file')) as typeof PolicyFileModule;
const { sealStatement } = (await built('audit/statement')) as typeof StatementModule;
const { decodeEntries, encodeEntries, tilePath, tilesOf, tileWidth } = (await built(
  'audit/tiles',
)) as typeof TilesModule;
const { verifyEvidence } = (await built('audit/verify')) as typeof VerifyModule;

const size = process.argv.includes('--quick') ? 50_000 : 1_000_000;
const origin = 'log.example.org/bench';
const entryKey = ed25519Signer(Buffer.alloc(32, 7));
const logKey = noteSigner(origin, ed25519Signer(Buffer.alloc(32, 8)));
const commit = (n: number): string => n.toString(16).padStart(40, 'c');
const idOf = (n: number): string => `0190aaaa-0000-7000-8000-${String(n).padStart(12, '0')}`;

/** As the service writes them, about 1 kB each as a leaf. */
function draft(n: number): EntryDraft {
  if (n === 0) {
    const keyid = envelopeKeyId(entryKey.publicKey);
    const publicKey = toBase64(entryKey.publicKey);
    return { type: 'key', subjects: [], predicate: { use: 'entry-signing', algorithm: 'ed25519', keyid, publicKey } };
  }
  const [repository, environment, head] = ['shop', 'shop/production', commit(n - (n % 10))];
  const subjects = [{ name: 'git:shop', digest: { gitCommit: head } }];
  const common = { repository, environment, head, text: 'x'.repeat(250) };
  const decision = n - (n % 10) + 1;
  if (n % 10 === 1) {
    const predicate = { id: idOf(n), outcome: 'allow', pushEntry: n > 10 ? idOf(n - 1) : null, ...common };
    return { type: 'decision', subjects, predicate };
  }
  if (n % 10 === 2) {
    return {
      type: 'run',
      subjects,
      predicate: { phase: 'started', id: idOf(n), decision, decisionId: idOf(decision), ...common },
    };
  }
  if (n % 10 === 3) {
    return {
      type: 'run',
      subjects,
      predicate: { phase: 'finished', id: idOf(n - 1), outcome: 'succeeded', ...common },
    };
  }
  return { type: 'push', subjects, predicate: { id: idOf(n), ...common } };
}

async function make(path: string): Promise<void> {
  const frontier = new Frontier();
  const tiles = [...tilesOf(size)].filter((tile) => tile.level === 'entries');
  const time = '2026-03-02T09:05:00.000Z';
  // The checkpoint comes after the leaves in the zip, and is signed when they are written.
  const parts = tiles.map((tile) => ({
    name: tilePath(tile),
    bytes: async () => {
      const numbers = Array.from({ length: tile.width }, (_, i) => tile.index * tileWidth + i);
      const leaves = await Promise.all(numbers.map((n) => sealStatement(draft(n), time, {}, entryKey)));
      for (const { leaf } of leaves) frontier.append(leafHash(leaf));
      return encodeEntries(leaves.map(({ leaf }) => leaf));
    },
  }));
  const readme = (): string => readmeText(logKey.vkey, origin, size, frontier.root());
  await writeZip(path, [
    ...parts,
    {
      name: evidenceFiles.checkpoint,
      bytes: async () => utf8(await signCheckpoint({ origin, size, root: frontier.root() }, logKey)),
    },
    { name: evidenceFiles.readme, bytes: () => Promise.resolve(utf8(readme())) },
    {
      name: evidenceFiles.manifest,
      bytes: () =>
        sealManifest(
          {
            origin,
            vkey: logKey.vkey,
            size,
            exportedAt: time,
            contents: 0,
            withheld: [],
            readme: readmeDigest(readme()),
          },
          entryKey,
        ),
    },
  ]);
}

/** Milliseconds that the signatures and hashes of the first leaves take, and nothing else. */
async function bare(path: string, leaves: number): Promise<number> {
  const evidence = await openZip(path);
  const signed: { leaf: Uint8Array; message: Uint8Array; signature: Uint8Array }[] = [];
  for (const tile of tilesOf(leaves)) {
    if (tile.level !== 'entries') break;
    for (const leaf of decodeEntries(
      await evidence.read(tilePath({ ...tile, width: tileWidth }), 2 ** 24),
      tileWidth,
    )) {
      const { payloadType, payload, signatures } = parseEnvelope(leaf);
      const message = Buffer.concat([utf8(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
      signed.push({ leaf, message, signature: signatures[0].sig });
    }
  }
  await evidence.close();
  const verify = ed25519Verifier(entryKey.publicKey);
  const frontier = new Frontier();
  const start = performance.now();
  for (const { leaf, message, signature } of signed) {
    frontier.append(leafHash(leaf));
    if (!verify(message, signature)) throw new Error('a signature is wrong');
  }
  frontier.root();
  return ((performance.now() - start) / signed.length) * leaves;
}

if (process.argv.includes('--make')) {
  await make(process.argv.at(-1)!);
} else {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-verify-'));
  const path = join(folder, 'evidence.zip');
  // Elsewhere, so that making it takes none of the memory that is measured here.
  const options = process.argv.slice(2);
  const { status } = spawnSync(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url), ...options, '--make', path],
    { stdio: 'inherit' },
  );
  if (status !== 0) throw new Error('the evidence could not be made');
  const sample = Math.min(10_240, size - (size % tileWidth));
  const before = await bare(path, sample);
  const evidence = await openZip(path);
  const start = performance.now();
  const { fault, proven } = await verifyEvidence(evidence, { trust: parseTrust(logKey.vkey, 'bench') });
  const took = performance.now() - start;
  await evidence.close();
  if (fault) throw fault;
  if (!proven[0].claim.includes('complete')) throw new Error('nothing was proven');
  const alone = (((before + (await bare(path, sample))) / 2) * size) / sample;
  const { maxRSS } = process.resourceUsage();
  console.log(`${size} entries verified in ${(took / 1000).toFixed(1)} s`);
  console.log(`signatures and SHA-256 alone, from ${sample} of them before and after: ${(alone / 1000).toFixed(1)} s`);
  console.log(`verified in ${(took / alone).toFixed(2)} times that (to be at most 4)`);
  console.log(`memory at most ${(maxRSS / 1024).toFixed(0)} MiB (to be below 300)`);
  rmSync(folder, { recursive: true });
}
