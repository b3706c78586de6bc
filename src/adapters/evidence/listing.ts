import { parse } from 'csv-parse';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { CountersignError } from '../../errors.js';
import type { ListedRow } from '../../report/check-population.js';
import { reportFormats, type ExportManifest, type ReportFormat } from '../../report/export-entry.js';

/** Where a listing's manifest is kept: beside it. */
export const manifestFileOf = (file: string): string => `${file}.manifest.json`;

/** Throws `usage` where there is none, `bundle-invalid` where it is malformed. */
export async function readManifest(file: string): Promise<ExportManifest & { readonly format: ReportFormat }> {
  const path = manifestFileOf(file);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new CountersignError('usage', `${path} cannot be read: ${(cause as Error).message}`, {
      remedy: 'countersign report writes it beside the listing; keep the two together',
      cause,
    });
  }
  try {
    const manifest = JSON.parse(text) as ExportManifest;
    if (typeof manifest.id === 'string' && Number.isSafeInteger(manifest.size) && Number.isSafeInteger(manifest.rows)) {
      const formats: readonly string[] = reportFormats;
      if (manifest.report === 'changes' && formats.includes(manifest.format) && typeof manifest.filters === 'object')
        return { ...manifest, format: manifest.format as ReportFormat };
    }
  } catch {
    // As what is JSON and no manifest.
  }
  throw new CountersignError('bundle-invalid', `${path} is no manifest of a listing`, { place: { file: path } });
}

/** The rows of a listing, a few at a time. Throws `bundle-invalid` with the line that cannot be read. */
export async function* readListing(file: string, format: ReportFormat): AsyncIterable<ListedRow> {
  let line = format === 'csv' ? 1 : 0;
  try {
    for await (const row of format === 'csv' ? csvRows(file) : jsonRows(file)) {
      line += 1;
      const [index, hash] = [Number(row['log_index']), row['leaf_hash']];
      if (!Number.isSafeInteger(index) || typeof hash !== 'string') throw new Error('it names no entry of a log');
      yield { log_index: index, leaf_hash: hash };
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

const linesOf = (file: string): AsyncIterable<string> =>
  createInterface({ input: createReadStream(file), crlfDelay: Infinity });
