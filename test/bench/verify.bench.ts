// Evidence of 1,000,000 entries verified from its zip, against the signatures and SHA-256 alone in the same process (at most 4 times), and
// the most memory that this took (below 300 MiB). One entry in ten is a decision with a run, the others are pushes; `--quick`: 50,000. CPU
// times are given, too: on a machine that others use, their ratio is the one to look at.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
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
const { ed25519Signer, ed25519Verifier, sha256, toBase64, toHex, utf8 } = (await built(
  'audit/crypto',
)) as typeof CryptoModule;
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
const made = '2026-03-02T09:05:00.000Z';
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

/** Of the first leaves: signatures are deterministic. */
async function fingerprint(): Promise<string> {
  const leaves = await Promise.all(Array.from({ length: 11 }, (_, n) => sealStatement(draft(n), made, {}, entryKey)));
  return toHex(sha256(...leaves.map(({ leaf }) => leaf))).slice(0, 16);
}

async function make(path: string): Promise<void> {
  const frontier = new Frontier();
  const tiles = [...tilesOf(size)].filter((tile) => tile.level === 'entries');
  // The checkpoint comes after the leaves in the zip, and is signed when they are written.
  const parts = tiles.map((tile) => ({
    name: tilePath(tile),
    bytes: async () => {
      const numbers = Array.from({ length: tile.width }, (_, i) => tile.index * tileWidth + i);
      const leaves = await Promise.all(numbers.map((n) => sealStatement(draft(n), made, {}, entryKey)));
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
            exportedAt: made,
            contents: 0,
            withheld: [],
            readme: readmeDigest(readme()),
          },
          entryKey,
        ),
    },
  ]);
}

interface Took {
  readonly elapsed: number;
  readonly cpu: number;
}

/** Milliseconds that the signatures and hashes of the first leaves take, and nothing else. */
async function bare(path: string, leaves: number): Promise<Took> {
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
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  for (const { leaf, message, signature } of signed) {
    frontier.append(leafHash(leaf));
    if (!verify(message, signature)) throw new Error('a signature is wrong');
  }
  frontier.root();
  const [elapsed, { user, system }] = [performance.now() - start, process.cpuUsage(cpu)];
  const each = leaves / signed.length;
  return { elapsed: elapsed * each, cpu: ((user + system) / 1e3) * each };
}

if (process.argv.includes('--make')) {
  await make(process.argv.at(-1)!);
} else {
  // Made once for what its leaves are, which is the same each time: signing a million takes longer than verifying them.
  const folder = join(process.env['COUNTERSIGN_CACHE'] ?? tmpdir(), 'bench');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `evidence-${size}-${await fingerprint()}.zip`);
  // Elsewhere, so that making it takes none of the memory that is measured here.
  const options = process.argv.slice(2);
  if (!existsSync(path)) {
    const { status } = spawnSync(
      process.execPath,
      [...process.execArgv, fileURLToPath(import.meta.url), ...options, '--make', path],
      { stdio: 'inherit' },
    );
    if (status !== 0) throw new Error('the evidence could not be made');
  }
  const sample = Math.min(10_240, size - (size % tileWidth));
  const evidence = await openZip(path);
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const { fault, proven } = await verifyEvidence(evidence, { trust: parseTrust(logKey.vkey, 'bench') });
  const took = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  await evidence.close();
  if (fault) throw fault;
  if (!proven[0].claim.includes('complete')) throw new Error('nothing was proven');
  // Of verifying alone: what follows keeps its sample in memory.
  const { maxRSS } = process.resourceUsage();
  const [before, after] = [await bare(path, sample), await bare(path, sample)];
  const alone = {
    elapsed: (((before.elapsed + after.elapsed) / 2) * size) / sample,
    cpu: (((before.cpu + after.cpu) / 2) * size) / sample,
  };
  console.log(`${size} entries verified in ${(took / 1000).toFixed(1)} s`);
  console.log(`signatures and SHA-256 alone, from ${sample} of them, twice: ${(alone.elapsed / 1000).toFixed(1)} s`);
  console.log(`verified in ${(took / alone.elapsed).toFixed(2)} times that (to be at most 4)`);
  console.log(
    `processor time: ${((user + system) / 1e6).toFixed(1)} s, ${((user + system) / 1e3 / alone.cpu).toFixed(2)} times that of these alone`,
  );
  console.log(`memory at most ${(maxRSS / 1024).toFixed(0)} MiB (to be below 300)`);
}
