import { decodeEntries, tilePath, tilesOf } from '../audit/tiles.js';
import { evidenceLimits, type Evidence } from '../audit/evidence.js';
import type { LoggedEntry } from '../audit/entry.js';
import { entryOf } from '../audit/statement.js';
import { CountersignError } from '../errors.js';
import type { ExportManifest } from './export-entry.js';
import type { PopulationQuery } from './population.js';

/** What a listing says of each of its rows that the log can confirm. */
export interface ListedRow {
  readonly log_index: number;
  readonly leaf_hash: string;
}

/**
 * Whether a listing of changes is complete and its rows are those of the log: every decision entry of the log it was taken from that
 * its filters select is in it, once, in order, with its leaf hash, and nothing else is; and the log itself tells of this very export.
 * For evidence that was verified before, of that log at that size or later. What else a row says rests on the contents that its entry
 * names, which `verify` checks. Returns the number of rows; throws `bundle-invalid` with the first thing that is wrong.
 */
export async function checkPopulation(
  evidence: Evidence,
  size: number,
  manifest: ExportManifest,
  rows: AsyncIterable<ListedRow>,
): Promise<number> {
  if (manifest.size > size) {
    throw wrong(
      `the listing is of a log of ${manifest.size} entries, and this evidence ends at ${size}`,
      'Export the evidence after the listing',
    );
  }
  const listed = rows[Symbol.asyncIterator]();
  let count = 0;
  let logged = false;
  for await (const entry of entriesOf(evidence, size)) {
    if (entry.type === 'export' && entry.predicate['id'] === manifest.id) {
      requireSame(manifest, entry);
      logged = true;
    }
    if (entry.index >= manifest.size || !selects(manifest.filters, entry)) continue;
    const { value: row, done } = await listed.next();
    if (done)
      throw wrong(
        `the listing ends after ${count} rows; the decision of entry ${entry.index} and what follows is not in it`,
      );
    if (row.log_index < entry.index) throw wrong(`row ${count + 1} lists entry ${row.log_index}, which its filters do not select or which stood there before`); // prettier-ignore
    if (row.log_index > entry.index)
      throw wrong(`the decision of entry ${entry.index} is missing before row ${count + 1}`);
    if (row.leaf_hash !== entry.leafHash)
      throw wrong(`row ${count + 1} has another leaf hash than entry ${entry.index} of the log`);
    count += 1;
  }
  const further = await listed.next();
  if (!further.done)
    throw wrong(`row ${count + 1} lists entry ${further.value.log_index}, which its filters do not select`);
  if (!logged) throw wrong(`the log tells of no export ${manifest.id}`, 'Export the evidence after the listing');
  if (count !== manifest.rows) throw wrong(`the listing has ${count} rows, and the log tells of ${manifest.rows}`);
  return count;
}

async function* entriesOf(evidence: Evidence, size: number): AsyncIterable<LoggedEntry> {
  let index = 0;
  for (const tile of tilesOf(size)) {
    if (tile.level !== 'entries') break;
    for (const leaf of decodeEntries(await evidence.read(tilePath(tile), evidenceLimits.entries), tile.width)) {
      yield entryOf(index++, leaf);
    }
  }
}

/** The same question as the database was asked (adapters/postgres/populations.ts), of a leaf. */
function selects(filters: PopulationQuery, { type, predicate }: LoggedEntry): boolean {
  if (type !== 'decision' || predicate['advice'] === true) return false;
  const { repository, environment, outcome, time } = predicate;
  if (typeof time !== 'string') return false;
  return (
    (filters.repository === null || filters.repository === repository) &&
    (filters.environment === null || filters.environment === environment) &&
    (filters.outcome === null || filters.outcome === outcome) &&
    (filters.since === null || Date.parse(time) >= Date.parse(filters.since)) &&
    (filters.until === null || Date.parse(time) < Date.parse(filters.until))
  );
}

const said = (of: Readonly<Record<string, unknown>>): string =>
  JSON.stringify([of['report'], of['format'], of['rows'], of['size'], of['time'], sorted(of['filters'] as object)]);

function requireSame(manifest: ExportManifest, { index, predicate }: LoggedEntry): void {
  if (said({ ...manifest }) !== said(predicate)) {
    throw wrong(`the manifest says something else of this export than entry ${index} of the log`);
  }
}

const sorted = (value: object): [string, unknown][] => Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));

const wrong = (message: string, remedy = 'Do not rely on this listing; take it anew'): CountersignError =>
  new CountersignError('bundle-invalid', message, { remedy });
