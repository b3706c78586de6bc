import { randomUUID } from 'node:crypto';
import type { Ledger } from '../audit/ledger.js';
import { CountersignError } from '../errors.js';
import { exportEntry, type ExportedBy, type ExportManifest, type ReportFormat } from './export-entry.js';
import type { Population, PopulationQuery, Populations } from './population.js';
import { writePopulation } from './write-population.js';

/** An export under way: what it is, with the index of the entry that says so, and its text. Whoever got it closes it, read or not. */
export interface RunningExport {
  readonly manifest: ExportManifest & { readonly index: number };
  readonly text: AsyncIterable<string>;
  readonly close: () => Promise<void>;
}

/** Each holds a snapshot of the database for as long as its reader takes. */
const MOST_AT_ONCE = 4;

/** Listings for auditors. Each is in the log before its first row is out: nobody takes data and leaves no trace. */
export class LoggedReports {
  #running = 0;

  constructor(
    private readonly ledger: Ledger,
    private readonly populations: Populations,
  ) {}

  /** Throws `not-found` for a repository or an environment that nobody knows, `query-limit` while too many are being read. */
  async changes(filters: PopulationQuery, format: ReportFormat, by: ExportedBy): Promise<RunningExport> {
    if (this.#running >= MOST_AT_ONCE) {
      throw new CountersignError('query-limit', `${MOST_AT_ONCE} exports are being read already`, {
        remedy: 'Try again when one of them is done',
        retry: true,
      });
    }
    this.#running += 1;
    let population: Population | undefined;
    const close = once(async () => {
      this.#running -= 1;
      await population?.close();
    });
    try {
      population = await this.populations.open(filters);
      const { rows, size } = population;
      const time = new Date().toISOString();
      const manifest: ExportManifest = { id: randomUUID(), report: 'changes', format, filters, rows, size, time };
      const { entries } = await this.ledger.record(async (transaction) =>
        transaction.append(exportEntry(manifest, by)),
      );
      const text = writePopulation(population, format);
      return { manifest: { ...manifest, index: entries[0].index }, text, close };
    } catch (error) {
      await close();
      throw error;
    }
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}
