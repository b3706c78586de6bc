import { concatBytes, fromUtf8, sha256Of, view } from '../../audit/crypto.js';
import type { Evidence } from '../../audit/evidence.js';
import { belongs, evidenceLimits, invalid } from '../../audit/evidence.js';
import { CountersignError } from '../../errors.js';
import { crc32 } from './crc32.js';

/** What the directory of the zip says of a file. */
interface ZipEntry {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  /** Of its local header, from the beginning of the zip. */
  readonly at: number;
}

const endBytes = 22;
const longestComment = 65_535;
const localHeaderBytes = 30;
const maxFiles = 5_000_000;
/** A directory larger than this is of no bundle of ours: 5,000,000 names take less. */
const maxDirectoryBytes = 768 << 20;

/**
 * Evidence in a zip that a browser holds as a file, read piece by piece: with what browsers have, and Node as well. Refuses what
 * `openZip` refuses: strange and double names, overlapping files, encryption, more bytes than declared, wrong checksums. Throws `bundle-invalid`.
 */
export async function openBlobZip(blob: Blob): Promise<Evidence> {
  const files = await refusing(() => directory(blob));
  return {
    kind: 'bundle',
    names: new Set(files.keys()),
    read: (name, limit) =>
      refusing(async () => {
        const bytes = await collect(unpack(blob, files, name, limit));
        if (crc32(bytes) !== files.get(name)!.crc) throw invalid('its checksum is wrong', name);
        return bytes;
      }),
    // What is named by its SHA-256 needs no other checksum.
    digest: (name) => refusing(() => sha256Of(unpack(blob, files, name, evidenceLimits.content))),
  };
}

async function directory(blob: Blob): Promise<ReadonlyMap<string, ZipEntry>> {
  const { count, bytes, at } = await findDirectory(blob);
  if (count > maxFiles) throw invalid(`the zip holds ${count} files`);
  if (bytes > maxDirectoryBytes || at + bytes > blob.size) throw invalid('the directory of the zip lies outside of it');
  const listed = await piece(blob, at, bytes);
  const files = new Map<string, ZipEntry>();
  let from = 0;
  for (let n = 0; n < count; n += 1) {
    const { entry, next, encrypted } = readEntry(listed, from);
    from = next;
    const { name, size } = entry;
    if (name.endsWith('/') && size === 0) continue; // a folder's own entry, when packed anew
    if (!belongs(name, 'bundle')) throw invalid(`it holds a file that does not belong there: ${JSON.stringify(name)}`);
    if (files.has(name)) throw invalid('it holds two files of this name', name);
    if (encrypted) throw invalid('it is encrypted', name);
    files.set(name, entry);
  }
  const inOrder = [...files.values()].toSorted((a, b) => a.at - b.at);
  for (const [i, entry] of inOrder.entries()) {
    const next = inOrder[i + 1]?.at ?? at;
    if (entry.at + localHeaderBytes + entry.name.length + entry.packed > next)
      throw invalid('it overlaps another file', entry.name);
  }
  return files;
}

/** APPNOTE 4.3.14 to 4.3.16: the end record, and the larger one of zip64 before it. */
async function findDirectory(blob: Blob): Promise<{ count: number; bytes: number; at: number }> {
  const start = Math.max(0, blob.size - endBytes - longestComment);
  const tail = await piece(blob, start, blob.size - start);
  for (let at = tail.byteLength - endBytes; at >= 0; at -= 1) {
    if (tail.getUint32(at, true) !== 0x06054b50) continue;
    if (at + endBytes + tail.getUint16(at + 20, true) !== tail.byteLength) continue;
    const end = { count: tail.getUint16(at + 10, true), bytes: tail.getUint32(at + 12, true), at: tail.getUint32(at + 16, true) }; // prettier-ignore
    if (end.count !== 0xffff && end.bytes !== 0xffffffff && end.at !== 0xffffffff) return end;
    if (at < 20 || tail.getUint32(at - 20, true) !== 0x07064b50) return end;
    const large = await piece(blob, large64(tail, at - 12), 56);
    if (large.getUint32(0, true) !== 0x06064b50) throw invalid('the zip64 end of its directory is missing');
    return { count: large64(large, 32), bytes: large64(large, 40), at: large64(large, 48) };
  }
  throw invalid('this is no whole evidence bundle: the end of the zip is missing');
}

/** APPNOTE 4.3.12. */
function readEntry(listed: DataView, from: number): { entry: ZipEntry; next: number; encrypted: boolean } {
  if (from + 46 > listed.byteLength || listed.getUint32(from, true) !== 0x02014b50)
    throw invalid('the directory of the zip is damaged');
  const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((at) => listed.getUint16(from + at, true));
  const next = from + 46 + nameBytes + extraBytes + commentBytes;
  if (next > listed.byteLength) throw invalid('the directory of the zip is damaged');
  const name = fromUtf8(new Uint8Array(listed.buffer, listed.byteOffset + from + 46, nameBytes).slice());
  if (name === undefined) throw invalid('it holds a name that is no text');
  const sizes = [24, 20, 42].map((at) => listed.getUint32(from + at, true));
  // APPNOTE 4.5.3: those that do not fit stand in the extra field, in this order.
  let extra = from + 46 + nameBytes;
  const extraEnd = extra + extraBytes;
  while (sizes.includes(0xffffffff) && extra + 4 <= extraEnd) {
    const [id, length] = [listed.getUint16(extra, true), listed.getUint16(extra + 2, true)];
    if (id === 1) {
      let value = extra + 4;
      for (const [i, size] of sizes.entries()) {
        if (size !== 0xffffffff) continue;
        if (value + 8 > Math.min(extra + 4 + length, extraEnd)) throw invalid('the directory of the zip is damaged');
        sizes[i] = large64(listed, value);
        value += 8;
      }
      break;
    }
    extra += 4 + length;
  }
  const [size, packed, at] = sizes;
  const method = listed.getUint16(from + 10, true);
  const crc = listed.getUint32(from + 16, true);
  return { entry: { name, method, crc, packed, size, at }, next, encrypted: (listed.getUint16(from + 8, true) & 1) === 1 }; // prettier-ignore
}

/** As many bytes as were declared, and never more: what goes on is a bomb. */
async function* unpack(
  blob: Blob,
  files: ReadonlyMap<string, ZipEntry>,
  name: string,
  limit: number,
): AsyncGenerator<Uint8Array> {
  const entry = files.get(name);
  if (!entry) throw invalid('the file is missing', name);
  if (entry.size > limit) throw invalid(`it is longer than ${limit} bytes`, name);
  const header = await piece(blob, entry.at, localHeaderBytes);
  if (header.getUint32(0, true) !== 0x04034b50) throw invalid('its header in the zip is damaged', name);
  const from = entry.at + localHeaderBytes + header.getUint16(26, true) + header.getUint16(28, true);
  const packed = blob.slice(from, from + entry.packed);
  if (packed.size !== entry.packed) throw invalid('it is cut short', name);
  if (entry.method !== 0 && entry.method !== 8) throw invalid(`it is packed by method ${entry.method}`, name);
  const stream = packed.stream();
  let length = 0;
  for await (const chunk of entry.method === 0 ? stream : stream.pipeThrough(new DecompressionStream('deflate-raw'))) {
    length += chunk.length;
    if (length > entry.size) throw invalid('it unpacks to more than it declares', name);
    yield chunk;
  }
  if (length !== entry.size) throw invalid('it unpacks to less than it declares', name);
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of pieces) chunks.push(chunk);
  return view(concatBytes(...chunks));
}

async function piece(blob: Blob, from: number, length: number): Promise<DataView> {
  const bytes = await blob.slice(from, from + length).arrayBuffer();
  if (bytes.byteLength !== length) throw invalid('this is no whole evidence bundle: it ends too soon');
  return new DataView(bytes);
}

function large64(bytes: DataView, at: number): number {
  const value = bytes.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid('the zip declares what no file can hold');
  return Number(value);
}

/** What the streams of the platform throw is about the file, not about us. */
async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CountersignError) throw error;
    const { message } = error as Error;
    throw new CountersignError('bundle-invalid', `this is no whole evidence bundle: ${message}`, { cause: error });
  }
}
