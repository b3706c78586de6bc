import type { LoggedEntry } from '../audit/entry.js';
import { CountersignError } from '../errors.js';
import type { ExportManifest } from './export-entry.js';
import type { PopulationQuery } from './population.js';
import { Sample } from './sample.js';

/** What a listing says of each of its rows that the log can confirm. */
export interface ListedRow {
  readonly log_index: number;
  readonly leaf_hash: string;
}

/**
 * Whether a listing of changes is complete and its rows are those of the log: every decision entry of the log it was taken from that
 * its filters select is in it, once, in order, with its leaf hash, and nothing else is; and the log itself tells of this very export.
 * Of a sample it is: what its seed draws from those, and nothing else. Hears of each entry of evidence while it is verified, and tells its own fault only when that has been: for the same log at that size or later.
 * What else a row says rests on the contents that its entry names, which `verify` checks.
 */
export class PopulationCheck {
  readonly #listed: AsyncIterator<ListedRow>;
  /** Decisions that the filters select, and rows of the listing, so far. */
  #count = 0;
  #row = 0;
  #logged = false;
  #fault: CountersignError | undefined;
  readonly #sample: Sample<{ readonly index: number; readonly leafHash: string }> | undefined;

  constructor(
    private readonly manifest: ExportManifest,
    rows: AsyncIterable<ListedRow>,
  ) {
    this.#listed = rows[Symbol.asyncIterator]();
    if (manifest.sample) this.#sample = new Sample(manifest.sample.seed, manifest.sample.size);
  }

  /** In the order of the log, from its first. Never rejects for what is wrong with the listing. */
  add(entry: LoggedEntry): Promise<void> | undefined {
    const { manifest } = this;
    if (this.#fault) return undefined;
    const tellsOfIt = entry.type === 'export' && entry.predicate['id'] === manifest.id;
    const selected = entry.index < manifest.size && selects(manifest.filters, entry);
    return tellsOfIt || selected ? this.#compare(entry, tellsOfIt, selected) : undefined;
  }

  async #compare(entry: LoggedEntry, tellsOfIt: boolean, selected: boolean): Promise<void> {
    try {
      if (tellsOfIt) requireSame(this.manifest, entry);
      this.#logged ||= tellsOfIt;
      if (selected) this.#count += 1;
      if (selected && this.#sample) this.#sample.offer({ index: entry.index, leafHash: entry.leafHash });
      else if (selected) await this.#next(entry);
    } catch (error) {
      if (!(error instanceof CountersignError)) throw error;
      this.#fault = error;
    }
  }

  /** For evidence of `size` entries that was found valid. Resolves to the numbers of decisions and of rows; throws `bundle-invalid` with the first thing wrong. */
  async end(size: number): Promise<{ readonly population: number; readonly listed: number }> {
    const { manifest } = this;
    if (manifest.size > size) {
      throw wrong(
        `the listing is of a log of ${manifest.size} entries, and this evidence ends at ${size}`,
        'Export the evidence after the listing',
      );
    }
    if (this.#fault) throw this.#fault;
    for (const row of this.#sample?.rows() ?? []) await this.#next(row);
    const further = await this.#listed.next();
    if (!further.done)
      throw wrong(`row ${this.#row + 1} lists entry ${further.value.log_index}, which its ${this.#sample ? 'seed does not draw' : 'filters do not select'}`); // prettier-ignore
    if (!this.#logged)
      throw wrong(`the log tells of no export ${manifest.id}`, 'Export the evidence after the listing');
    if (this.#count !== manifest.rows)
      throw wrong(`its filters select ${this.#count} decisions, and the log tells of ${manifest.rows}`);
    return { population: this.#count, listed: this.#row };
  }

  /** Lets go of the listing's file. */
  async close(): Promise<void> {
    await this.#listed.return?.();
  }

  async #next({ index, leafHash }: { readonly index: number; readonly leafHash: string }): Promise<void> {
    const { value: row, done } = await this.#listed.next();
    if (done)
      throw wrong(
        `the listing ends after ${this.#row} rows; the decision of entry ${index} and what follows is not in it`,
      );
    const not = this.#sample ? 'seed does not draw' : 'filters do not select';
    if (row.log_index < index) throw wrong(`row ${this.#row + 1} lists entry ${row.log_index}, which its ${not} or which stood there before`); // prettier-ignore
    if (row.log_index > index) throw wrong(`the decision of entry ${index} is missing before row ${this.#row + 1}`);
    if (row.leaf_hash !== leafHash)
      throw wrong(`row ${this.#row + 1} has another leaf hash than entry ${index} of the log`);
    this.#row += 1;
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
  JSON.stringify([
    of['report'],
    of['format'],
    of['rows'],
    of['size'],
    of['time'],
    sorted(of['filters'] as object),
    sorted(of['sample'] ?? {}),
  ]);

function requireSame(manifest: ExportManifest, { index, predicate }: LoggedEntry): void {
  if (said({ ...manifest }) !== said(predicate)) {
    throw wrong(`the manifest says something else of this export than entry ${index} of the log`);
  }
}

const sorted = (value: object): [string, unknown][] => Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));

const wrong = (message: string, remedy = 'Do not rely on this listing; take it anew'): CountersignError =>
  new CountersignError('bundle-invalid', message, { remedy });
