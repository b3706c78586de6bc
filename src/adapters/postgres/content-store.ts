import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import type { EntityManager } from 'typeorm';
import { concatBytes, fromHex, randomSalt, sha256, toHex } from '../../audit/crypto.js';
import type { ContentDraft, ContentReference } from '../../audit/entry.js';
import { contentsOf, entryOf } from '../../audit/statement.js';
import { CountersignError } from '../../errors.js';
import { rowsOf } from './log-storage.js';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
const saltBytes = 32;

/** A content as it will be stored: salt included, named by the digest of all of it. */
export interface SealedContent {
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
  readonly reference: ContentReference;
}

export function sealContent({ mediaType, bytes, salted }: ContentDraft): SealedContent {
  const stored = salted ? concatBytes(randomSalt(), bytes) : bytes;
  const digest = sha256(stored);
  return { digest, bytes: stored, reference: { mediaType, sha256: toHex(digest), salted } };
}

/** Stores what is not there yet, in the caller's transaction. */
export async function storeContents(manager: EntityManager, contents: readonly SealedContent[]): Promise<void> {
  const unique = new Map(contents.map((content) => [content.reference.sha256, content]));
  const known = await manager.query<{ digest: Buffer }[]>('SELECT digest FROM content WHERE digest = ANY($1)', [
    [...unique.values()].map((content) => content.digest),
  ]);
  for (const { digest } of known) unique.delete(toHex(digest));
  // In one order everywhere: two transactions that insert the same contents wait for each other, but never in a circle.
  const missing = [...unique.values()].toSorted((a, b) => (a.reference.sha256 < b.reference.sha256 ? -1 : 1));
  for (const { digest, bytes } of missing) {
    const packed = await compress(bytes);
    const [encoding, stored] = packed.length < bytes.length ? ['zstd', packed] : ['identity', Buffer.from(bytes)];
    await manager.query(
      'INSERT INTO content (digest, encoding, size, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
      [digest, encoding, bytes.length, stored],
    );
  }
}

/** The stored bytes, salt included, checked against the digest that names them. Throws `content-missing`, `content-corrupt`. */
export async function loadContent(manager: EntityManager, digest: string): Promise<Buffer> {
  const key = fromHex(digest, 32);
  const [row] = await manager.query<StoredContent[]>('SELECT encoding, size, bytes FROM content WHERE digest = $1', [
    key,
  ]);
  if (!row) {
    throw new CountersignError(
      'content-missing',
      `the content ${digest} is not in the store: withheld, erased or lost`,
    );
  }
  return unpacked(digest, row);
}

/** Those of several that are in the store, in one question. Throws `content-corrupt`. */
export async function loadContents(manager: EntityManager, digests: readonly string[]): Promise<Map<string, Buffer>> {
  const rows = await manager.query<({ digest: Buffer } & StoredContent)[]>(
    'SELECT digest, encoding, size, bytes FROM content WHERE digest = ANY($1)',
    [[...new Set(digests)].map((digest) => fromHex(digest, 32))],
  );
  const loaded = await Promise.all(
    rows.map(async (row) => [toHex(row.digest), await unpacked(toHex(row.digest), row)] as const),
  );
  return new Map(loaded);
}

/** A row of the store. */
export interface StoredContent {
  readonly encoding: string;
  readonly size: string;
  readonly bytes: Buffer;
}

/** What a row holds, checked against its digest. Throws `content-corrupt`. */
export async function unpacked(digest: string, row: StoredContent): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = row.encoding === 'zstd' ? await decompress(row.bytes, { maxOutputLength: Number(row.size) }) : row.bytes;
  } catch (cause) {
    throw corrupt(digest, cause);
  }
  if (toHex(sha256(bytes)) !== digest) throw corrupt(digest);
  return bytes;
}

/** Which of these are in the store. */
export async function storedDigests(manager: EntityManager, digests: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (let at = 0; at < digests.length; at += 10_000) {
    const rows = await manager.query<{ digest: string }[]>(
      `SELECT encode(digest, 'hex') AS digest FROM content WHERE digest = ANY($1)`,
      [digests.slice(at, at + 10_000).map((digest) => fromHex(digest, 32))],
    );
    for (const row of rows) found.add(row.digest);
  }
  return found;
}

/** What an entry names in a role, salt taken off. Throws `content-missing`, also for what it never named; `content-corrupt`. */
export async function contentOfEntry(manager: EntityManager, index: number, role: string): Promise<Buffer> {
  const [row] = await rowsOf<{ leaf: Buffer }>(manager, 'SELECT leaf FROM log_entry WHERE log_index = $1', [index]);
  const reference: ContentReference | undefined = row && contentsOf(entryOf(index, row.leaf).predicate).get(role);
  if (!reference) throw new CountersignError('content-missing', `entry ${index} was recorded without its ${role}`);
  return withoutSalt(await loadContent(manager, reference.sha256), reference);
}

export function withoutSalt(stored: Buffer, reference: ContentReference): Buffer {
  return reference.salted ? stored.subarray(saltBytes) : stored;
}

function corrupt(digest: string, cause?: unknown): CountersignError {
  return new CountersignError('content-corrupt', `the stored content ${digest} is not what its digest says`, {
    remedy: 'Restore the content table from a backup; the log itself is not affected',
    cause,
  });
}
