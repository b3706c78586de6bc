import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import yauzl from 'yauzl';
import yazl from 'yazl';
import { expectThat, StepFailed } from './failure.js';

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
  /** The byte before and after. */
  readonly before: number;
  readonly after: number;
  /** What the entry says with it. */
  readonly payload: Readonly<Record<string, unknown>>;
}

const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789');

/**
 * Changes one byte of one entry so that it still is base64 of JSON, but says something else at `word`: only mathematics can tell.
 * `envelope` is the entry's exact bytes, as the service gives them.
 */
export function flipByteOf(
  files: readonly ZippedFile[],
  envelope: Buffer,
  word: string,
): { readonly files: readonly ZippedFile[]; readonly flip: Flip } {
  const file = files.find(({ bytes }) => bytes.includes(envelope));
  expectThat(file !== undefined, 'the entry is nowhere in the evidence');
  const bytes = Buffer.from(file.bytes);
  const start = bytes.indexOf('"payload":"', bytes.indexOf(envelope)) + '"payload":"'.length;
  const end = bytes.indexOf('"', start);
  const decoded = (): Buffer => Buffer.from(bytes.toString('latin1', start, end), 'base64');
  const at = decoded().indexOf(word);
  expectThat(at >= 0, `the entry does not say ${word}`);
  const from = start + Math.floor(at / 3) * 4;
  for (let offset = from; offset < Math.min(end, from + Math.ceil(word.length / 3) * 4 + 4); offset++) {
    const before = bytes[offset];
    for (const after of BASE64) {
      bytes[offset] = after;
      const text = decoded();
      const payload = plainWord.test(text.toString('latin1', at, at + word.length)) ? parse(text) : null;
      if (after !== before && payload && !text.includes(word)) {
        const flip = { file: file.name, offset, before, after, payload };
        return { files: files.map((other) => (other === file ? { name: file.name, bytes } : other)), flip };
      }
    }
    bytes[offset] = before;
  }
  throw new StepFailed(`no single byte changes ${word} into something that can be read`);
}

/** A tamperer who wants to be believed writes plain letters. */
const plainWord = /^"[a-z]+"$/;

function parse(payload: Buffer): Readonly<Record<string, unknown>> | null {
  try {
    return JSON.parse(payload.toString('utf8')) as Readonly<Record<string, unknown>>;
  } catch {
    return null; // no JSON any more: the next byte is tried
  }
}
