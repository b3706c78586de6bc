import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import yauzl from 'yauzl';
import yazl from 'yazl';
import { expectThat } from './failure.js';

/** One file of an evidence bundle. */
export interface ZippedFile {
  readonly name: string;
  readonly bytes: Buffer;
}

export async function readZip(path: string): Promise<readonly ZippedFile[]> {
  const files: ZippedFile[] = [];
  const zip = await yauzl.openPromise(path);
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith('/')) continue;
      files.push({ name: entry.fileName, bytes: await buffer(await zip.openReadStreamPromise(entry)) });
    }
  } finally {
    zip.close();
  }
  return files;
}

export async function writeZip(path: string, files: readonly ZippedFile[]): Promise<void> {
  const zip = new yazl.ZipFile();
  for (const { name, bytes } of files) zip.addBuffer(bytes, name);
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(path));
}

export interface Flip {
  readonly file: string;
  readonly offset: number;
  readonly before: number;
  readonly after: number;
}

/**
 * Changes one byte of one entry: a character of its envelope's payload, to the next one that base64 knows, so that everything still
 * parses and only the mathematics can tell. `envelope` is the entry's exact bytes, as the service gives them.
 */
export function flipByteOf(
  files: readonly ZippedFile[],
  envelope: Buffer,
): { readonly files: ZippedFile[]; readonly flip: Flip } {
  const file = files.find(({ bytes }) => bytes.includes(envelope));
  expectThat(file !== undefined, 'the entry is nowhere in the evidence');
  const marker = '"payload":"';
  const payload = envelope.indexOf(marker);
  expectThat(payload >= 0, 'the entry has no payload');
  const end = envelope.indexOf('"', payload + marker.length);
  const offset = file.bytes.indexOf(envelope) + Math.floor((payload + marker.length + end) / 2);
  const bytes = Buffer.from(file.bytes);
  const before = bytes[offset];
  const after = before === 0x41 ? 0x42 : 0x41; // "A", or "B" where there is an "A"
  bytes[offset] = after;
  const flip = { file: file.name, offset, before, after };
  return { files: files.map((other) => (other === file ? { name: file.name, bytes } : other)), flip };
}
