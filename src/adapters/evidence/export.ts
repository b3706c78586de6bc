import { writeFile } from 'node:fs/promises';
import { openCheckpoint } from '../../audit/checkpoint.js';
import type { Checkpoint, SignedCheckpoint } from '../../audit/checkpoint.js';
import { equalBytes, utf8 } from '../../audit/crypto.js';
import {
  contentName,
  evidenceFiles,
  handoverName,
  readmeDigest,
  readmeText,
  sealManifest,
} from '../../audit/evidence.js';
import type { KeyRing } from '../../audit/keys.js';
import { Frontier, leafHash, proveInclusion } from '../../audit/merkle.js';
import { parseVkey } from '../../audit/note.js';
import { bodiesWithin, type Place, type Reach, reachOfPlaces } from '../../audit/reach.js';
import { contentsOf, entryOf, parseStatement } from '../../audit/statement.js';
import type { TileReader } from '../../audit/tiles.js';
import { decodeEntries, nodeReader, tilePath, tilesOf, tileWidth, widthAt } from '../../audit/tiles.js';
import { formatTlogProof } from '../../audit/tlog-proof.js';
import { CountersignError } from '../../errors.js';
import { sealSummary } from '../../report/vsa.js';
import { newFolder } from './folder.js';
import { writeWhole } from './whole-file.js';
import type { ZipPart } from './zip.js';
import { writeZip } from './zip.js';

/** A log to be exported, as src/adapters/postgres opens it. */
export interface ExportableLog {
  /** The newest. */
  checkpoint(): Promise<string>;
  /** The newest that enough witnesses signed; undefined where nobody witnesses. */
  cosigned?(): Promise<string | undefined>;
  readonly readTile: TileReader;
  /** Which of these contents are in the store. */
  storedDigests(digests: readonly string[]): Promise<ReadonlySet<string>>;
  /** Salt included. */
  storedContent(digest: string): Promise<Uint8Array>;
}

export interface Exported {
  readonly size: number;
  readonly contents: number;
  readonly withheld: number;
  /** Entries that came after the checkpoint that witnesses signed, and are therefore not in it. */
  readonly later: number;
}

export interface ExportOptions {
  /** The newest checkpoint, even if no witness has signed it yet. */
  readonly newest?: boolean;
  /** For a reader who may not see everything: every entry, and the contents of these places only. */
  readonly reach?: readonly Place[];
}

const fixed = (name: string, bytes: Uint8Array): ZipPart => ({ name, bytes: () => Promise.resolve(bytes) });

type Advance = (done: number, of: number) => void;

/** A bundle that is ready to be written. */
export interface Bundle {
  readonly exported: Exported;
  readonly parts: readonly ZipPart[];
}

/** Every entry up to the newest checkpoint, and the contents they name, in one zip. */
export async function exportBundle(
  log: ExportableLog,
  keys: KeyRing,
  path: string,
  advance: Advance,
  options: ExportOptions = {},
): Promise<Exported> {
  const { exported, parts } = await bundleOf(log, keys, advance, options);
  await writeZip(path, parts);
  return exported;
}

export async function bundleOf(
  log: ExportableLog,
  keys: KeyRing,
  advance: Advance,
  options: ExportOptions = {},
): Promise<Bundle> {
  const { checkpoint, later } = await chooseCheckpoint(log, keys, options);
  const { note, origin, size } = checkpoint;
  const { within, beyond } = await contentsNamed(log, checkpoint, advance, options.reach && reachOfPlaces(options.reach)); // prettier-ignore
  const stored = await log.storedDigests([...within]);
  const readme = readmeText(keys.log.vkey, origin, size, checkpoint.root);
  const manifest = {
    origin,
    vkey: keys.log.vkey,
    size,
    exportedAt: new Date().toISOString(),
    contents: stored.size,
    withheld: [...[...within].filter((digest) => !stored.has(digest)), ...beyond].toSorted(),
    readme: readmeDigest(readme),
    ...(options.reach && { reach: options.reach }),
  };
  const entries = [...tilesOf(size)].filter((tile) => tile.level === 'entries');
  const parts = [
    fixed(evidenceFiles.readme, utf8(readme)),
    fixed(evidenceFiles.manifest, await sealManifest(manifest, keys.entries)),
    fixed(evidenceFiles.checkpoint, utf8(note)),
    ...keys.handovers.map((handover, i) => fixed(handoverName(i + 1), utf8(handover))),
    ...entries.map((tile) => ({ name: tilePath(tile), bytes: () => log.readTile(tile) })),
    ...[...stored].toSorted().map((digest) => ({ name: contentName(digest), bytes: () => log.storedContent(digest) })),
  ];
  return { exported: { size, contents: stored.size, withheld: manifest.withheld.length, later }, parts };
}

/** The log as static files that any C2SP tlog-tiles client reads. */
export async function exportTiles(
  log: ExportableLog,
  keys: KeyRing,
  path: string,
  advance: Advance,
  options: ExportOptions = {},
): Promise<Exported> {
  const { checkpoint, later } = await chooseCheckpoint(log, keys, options);
  const { note } = checkpoint;
  await contentsNamed(log, checkpoint, advance);
  const write = await newFolder(path);
  for (const tile of tilesOf(checkpoint.size)) await write(tilePath(tile), await log.readTile(tile));
  // Last: a checkpoint promises that everything below it is there.
  await write(evidenceFiles.checkpoint, utf8(note));
  return { size: checkpoint.size, contents: 0, withheld: 0, later };
}

/** One entry with its proof, as one text (C2SP tlog-proof). Throws `usage` for an entry that the checkpoint does not cover. */
export async function exportProof(
  log: ExportableLog,
  keys: KeyRing,
  index: number,
  path: string,
  options: ExportOptions = {},
): Promise<void> {
  const { note, size } = (await chooseCheckpoint(log, keys, options)).checkpoint;
  if (index >= size) {
    throw new CountersignError('usage', `there is no entry ${index}: the checkpoint covers ${size}, the first is 0`);
  }
  const number = Math.floor(index / tileWidth);
  const tile = { level: 'entries', index: number, width: widthAt(size, 'entries', number) } as const;
  const leaves = decodeEntries(await log.readTile(tile), tile.width);
  const hashes = await proveInclusion(index, size, nodeReader(size, log.readTile));
  const text = formatTlogProof({ index, hashes, checkpoint: note, extra: leaves[index % tileWidth] });
  await writeFile(path, text, { flag: 'wx' }).catch((cause: Error) => {
    throw new CountersignError('usage', `${path} cannot be written: ${cause.message}`, { cause });
  });
}

/** What each decision of the log allowed or denied, as verification summaries of SLSA: a signed envelope a line, in the log's order. */
export async function exportSummaries(
  log: ExportableLog,
  keys: KeyRing,
  path: string,
  advance: Advance,
  options: ExportOptions & { readonly entry?: number } = {},
): Promise<{ readonly size: number; readonly summaries: number }> {
  const { size, origin } = (await chooseCheckpoint(log, keys, options)).checkpoint;
  const { entry: only } = options;
  if (only !== undefined && only >= size) throw new CountersignError('usage', `there is no entry ${only}: the checkpoint covers ${size}, the first is 0`); // prettier-ignore
  let summaries = 0;
  const lines = async function* (): AsyncIterable<string> {
    for (const tile of tilesOf(size)) {
      if (tile.level !== 'entries') break;
      const first = tile.index * tileWidth;
      if (only !== undefined && Math.floor(only / tileWidth) !== tile.index) continue;
      const leaves = decodeEntries(await log.readTile(tile), tile.width);
      for (const [i, leaf] of leaves.entries()) {
        if (only !== undefined && only !== first + i) continue;
        const line = await sealSummary(origin, entryOf(first + i, leaf), keys.entries);
        if (line === null) continue;
        summaries += 1;
        yield line;
      }
      advance(Math.min(size, first + tile.width), size);
    }
  };
  await writeWhole(path, lines());
  return { size, summaries };
}

async function chooseCheckpoint(
  log: ExportableLog,
  keys: KeyRing,
  { newest = false }: ExportOptions,
): Promise<{ readonly checkpoint: SignedCheckpoint; readonly later: number }> {
  const key = parseVkey(keys.log.vkey);
  const last = openCheckpoint(await log.checkpoint(), key);
  const cosigned = newest ? undefined : await log.cosigned?.();
  if (cosigned === undefined) return { checkpoint: last, later: 0 };
  const checkpoint = openCheckpoint(cosigned, key);
  return { checkpoint, later: last.size - checkpoint.size };
}

/** Reads every entry once, refusing to export what does not give the signed root. */
async function contentsNamed(
  log: ExportableLog,
  checkpoint: Checkpoint,
  advance: Advance,
  reach?: Reach,
): Promise<{ readonly within: ReadonlySet<string>; readonly beyond: ReadonlySet<string> }> {
  const [within, beyond] = [new Set<string>(), new Set<string>()];
  const frontier = new Frontier();
  for (const tile of tilesOf(checkpoint.size)) {
    if (tile.level !== 'entries') break;
    for (const leaf of decodeEntries(await log.readTile(tile), tile.width)) {
      frontier.append(leafHash(leaf));
      const statement = parseStatement(leaf);
      const permitted = reach === undefined || bodiesWithin(reach, statement);
      // What an erasure took away is told by digests alone, and tells it apart from what was left out.
      for (const [role, { sha256 }] of contentsOf(statement.predicate)) (permitted || role === 'erased' ? within : beyond).add(sha256); // prettier-ignore
    }
    advance(frontier.size, checkpoint.size);
  }
  if (!equalBytes(frontier.root(), checkpoint.root)) {
    throw new CountersignError('log-invalid', 'the stored entries do not give the root of the checkpoint', {
      remedy: 'The database is damaged: restore it from a backup',
    });
  }
  for (const digest of within) beyond.delete(digest);
  return { within, beyond };
}
