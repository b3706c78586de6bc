import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { openPromise } from 'yauzl';
import type { Entry, ZipFile } from 'yauzl';
import { ZipFile as ZipWriter } from 'yazl';
import type { Evidence } from '../../audit/evidence.js';
import { belongs, evidenceLimits, invalid } from '../../audit/evidence.js';
import { CountersignError } from '../../errors.js';

const localHeaderBytes = 30;
const maxFiles = 5_000_000;

export interface OpenEvidence extends Evidence {
  close(): Promise<void>;
}

/**
 * Evidence in a zip. Nothing is ever unpacked to disk, so a name such as `../x` can only be refused, not followed; overlapping
 * files (the way to a bomb of a few kilobytes), two files of one name, and wrong checksums are refused. Throws `bundle-invalid`.
 */
export async function openZip(path: string): Promise<OpenEvidence> {
  const options = { lazyEntries: true, autoClose: false, strictFileNames: true, validateEntrySizes: true } as const;
  const zip = await refusing(() => openPromise(path, options));
  try {
    const files = await refusing(() => directory(zip));
    return {
      kind: 'bundle',
      names: new Set(files.keys()),
      read: (name, limit) => refusing(() => read(zip, files, name, limit)),
      digest: (name) => refusing(() => digest(zip, files, name)),
      close: () => Promise.resolve(zip.close()),
    };
  } catch (error) {
    zip.close();
    throw error;
  }
}

async function directory(zip: ZipFile): Promise<ReadonlyMap<string, Entry>> {
  if (zip.entryCount > maxFiles) throw invalid(`the zip holds ${zip.entryCount} files`);
  const files = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) {
    if (entry.fileName.endsWith('/') && entry.uncompressedSize === 0) continue; // a folder's own entry, when packed anew
    if (!belongs(entry.fileName, 'bundle')) {
      throw invalid(`it holds a file that does not belong there: ${JSON.stringify(entry.fileName)}`);
    }
    if (files.has(entry.fileName)) throw invalid('it holds two files of this name', entry.fileName);
    if (entry.isEncrypted()) throw invalid('it is encrypted', entry.fileName);
    files.set(entry.fileName, entry);
  }
  const inOrder = [...files.values()].toSorted((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
  for (const [
    i,
    { relativeOffsetOfLocalHeader: start, compressedSize, fileNameLength, fileName },
  ] of inOrder.entries()) {
    const next = inOrder[i + 1]?.relativeOffsetOfLocalHeader ?? zip.fileSize;
    if (start + localHeaderBytes + fileNameLength + compressedSize > next)
      throw invalid('it overlaps another file', fileName);
  }
  return files;
}

async function read(zip: ZipFile, files: ReadonlyMap<string, Entry>, name: string, limit: number): Promise<Buffer> {
  const entry = find(files, name);
  if (entry.uncompressedSize > limit) throw invalid(`it is longer than ${limit} bytes`, name);
  const bytes = await buffer(await zip.openReadStreamPromise(entry));
  if (crc32(bytes) !== entry.crc32) throw invalid('its checksum is wrong', name);
  return bytes;
}

async function digest(zip: ZipFile, files: ReadonlyMap<string, Entry>, name: string): Promise<Uint8Array> {
  const entry = find(files, name);
  // No larger one could be read for what it says.
  if (entry.uncompressedSize > evidenceLimits.content)
    throw invalid(`it is longer than ${evidenceLimits.content} bytes`, name);
  const hash = createHash('sha256');
  for await (const chunk of await zip.openReadStreamPromise(entry)) hash.update(chunk as Buffer);
  return hash.digest();
}

function find(files: ReadonlyMap<string, Entry>, name: string): Entry {
  const entry = files.get(name);
  if (!entry) throw invalid('the file is missing', name);
  return entry;
}

/** What yauzl and zlib throw is about the file, not about us. */
async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CountersignError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const system = code !== undefined && /^E[A-Z]+$/.test(code);
    if (system) throw new CountersignError('usage', `the evidence cannot be read: ${message}`, { cause: error });
    throw new CountersignError('bundle-invalid', `this is no whole evidence bundle: ${message}`, { cause: error });
  }
}

/** A file for the zip; read only when its turn comes. */
export interface ZipPart {
  readonly name: string;
  readonly bytes: () => Promise<Uint8Array>;
}

/** Its bytes. Memory holds one part at a time; one that cannot be read ends it with that error, before the zip is whole. */
export function zipStream(parts: Iterable<ZipPart>): Readable {
  const zip = new ZipWriter();
  // Fixed: the same evidence exported twice differs in nothing but its manifest.
  const options = { mtime: new Date('1980-01-01T00:00:00Z'), mode: 0o100644, forceDosTimestamp: true };
  const output = new Transform({ transform: (chunk, _encoding, done) => done(null, chunk) });
  zip.on('error', (error: Error) => output.destroy(error));
  zip.outputStream.pipe(output);
  for (const { name, bytes } of parts) {
    zip.addReadStreamLazy(name, options, (ready) => {
      bytes().then(
        (content) => ready(null, Readable.from([Buffer.from(content.buffer, content.byteOffset, content.byteLength)])),
        (error: unknown) => output.destroy(error as Error),
      );
    });
  }
  zip.end();
  return output;
}

/** Whole or not there at all. */
export async function writeZip(path: string, parts: Iterable<ZipPart>): Promise<void> {
  const staging = `${path}.partial`;
  try {
    await pipeline(zipStream(parts), createWriteStream(staging));
    const file = await open(staging, 'r+');
    await file.sync();
    await file.close();
    await rename(staging, path);
  } catch (error) {
    await rm(staging, { force: true });
    throw error;
  }
}
