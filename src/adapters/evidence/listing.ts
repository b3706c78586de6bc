import { parse } from 'csv-parse';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { CountersignError } from '../../errors.js';
import type { ListedRow } from '../../report/check-population.js';
import { reportFormats, type ExportManifest, type ReportFormat } from '../../report/export-entry.js';

/** Bytes; nothing of ours comes near. */
const limits = { manifest: 1 << 20, line: 16 << 20 } as const;

/** Where a listing's manifest is kept: beside it. */
export const manifestFileOf = (file: string): string => `${file}.manifest.json`;

/** Throws `usage` where there is none, `bundle-invalid` where it is malformed. */
export async function readManifest(file: string): Promise<ExportManifest & { readonly format: ReportFormat }> {
  const path = manifestFileOf(file);
  const text = await readWhole(path);
  try {
    const manifest: unknown = JSON.parse(text);
    if (isManifest(manifest)) return manifest;
  } catch {
    // As what is JSON and no manifest.
  }
  throw new CountersignError('bundle-invalid', `${path} is no manifest of a listing`, { place: { file: path } });
}

async function readWhole(path: string): Promise<string> {
  let length: number;
  const bytes = Buffer.alloc(limits.manifest + 1);
  try {
    await using file = await open(path, 'r');
    length = (await file.read(bytes)).bytesRead;
  } catch (cause) {
    throw new CountersignError('usage', `${path} cannot be read: ${(cause as Error).message}`, {
      remedy: 'countersign report writes it beside the listing; keep the two together',
      cause,
    });
  }
  return bytes.toString('utf8', 0, length);
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isSampling = (value: unknown): boolean =>
  isRecord(value) &&
  typeof value['seed'] === 'string' &&
  Number.isSafeInteger(value['size']) &&
  Number(value['size']) > 0;

/** In the hands of whoever sent the listing; whether it says what the log says is for the log to tell. */
function isManifest(value: unknown): value is ExportManifest & { readonly format: ReportFormat } {
  const { id, report, format, size, rows, filters, sample } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const formats: readonly unknown[] = reportFormats;
  return (
    typeof id === 'string' &&
    report === 'changes' &&
    formats.includes(format) &&
    Number.isSafeInteger(size) &&
    Number.isSafeInteger(rows) &&
    isRecord(filters) &&
    (sample === undefined || isSampling(sample))
  );
}

/** The rows of a listing, a few at a time. Throws `bundle-invalid` with the line that cannot be read. */
export async function* readListing(file: string, format: ReportFormat): AsyncIterable<ListedRow> {
  let line = format === 'csv' ? 2 : 1;
  try {
    for await (const row of format === 'csv' ? csvRows(file) : jsonRows(file)) {
      const [index, hash] = [Number(row['log_index']), row['leaf_hash']];
      if (!Number.isSafeInteger(index) || typeof hash !== 'string') throw new Error('it names no entry of a log');
      yield { log_index: index, leaf_hash: hash };
      line += 1;
    }
  } catch (cause) {
    if (cause instanceof CountersignError) throw cause;
    throw new CountersignError('bundle-invalid', `row ${line} of ${file} cannot be read: ${(cause as Error).message}`, {
      place: { file },
      cause,
    });
  }
}

function csvRows(file: string): AsyncIterable<Readonly<Record<string, unknown>>> {
  return createReadStream(file).pipe(parse({ columns: true, bom: true, max_record_size: 16 << 20 }));
}

async function* jsonRows(file: string): AsyncIterable<Readonly<Record<string, unknown>>> {
  for await (const line of linesOf(file)) yield JSON.parse(line) as Readonly<Record<string, unknown>>;
}

/** A file's lines, one at a time. Throws `usage` where it cannot be read. */
export async function* readLines(file: string): AsyncIterable<string> {
  try {
    yield* linesOf(file);
  } catch (cause) {
    throw new CountersignError('usage', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** JSON may hold every line break but two; readline takes others for ends of lines, too, and knows no limit. */
async function* linesOf(file: string): AsyncIterable<string> {
  let begun: Buffer[] = [];
  let length = 0;
  const line = (end: Buffer): string => {
    const whole = Buffer.concat([...begun, end]).toString('utf8');
    [begun, length] = [[], 0];
    return whole.endsWith('\r') ? whole.slice(0, -1) : whole;
  };
  for await (const read of createReadStream(file)) {
    let chunk = read as Buffer;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10)) {
      yield line(chunk.subarray(0, at));
      chunk = chunk.subarray(at + 1);
    }
    begun.push(chunk);
    length += chunk.length;
    if (length > limits.line) throw new Error(`a line of it is longer than ${limits.line} bytes`);
  }
  if (length > 0) yield line(Buffer.alloc(0));
}
