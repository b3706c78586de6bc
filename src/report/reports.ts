import { randomUUID } from 'node:crypto';
import type { Ledger } from '../audit/ledger.js';
import { CountersignError } from '../errors.js';
import { exportEntry, type ExportedBy, type ExportManifest, type ManagementFormat, type ReportFormat, type Sampling } from './export-entry.js'; // prettier-ignore
import { managementReport, type ManagementReport } from './management.js';
import type { Population, PopulationQuery, Populations } from './population.js';
import type { Counts, Delivery, Statistics } from './statistics.js';
import { writePopulation } from './write-population.js';

type LoggedManifest = ExportManifest & { readonly index: number };

/** An export under way: what it is, with the index of the entry that says so, and its text. Whoever got it closes it, read or not. */
export interface RunningExport {
  readonly manifest: LoggedManifest;
  readonly text: AsyncIterable<string>;
  readonly close: () => Promise<void>;
}

/** A report on a population, and what it rests on. */
export interface WholeReport {
  readonly manifest: LoggedManifest;
  readonly report: ManagementReport;
  /** Counted from the rows a moment later than the rest. */
  readonly delivery: Delivery;
  readonly drift: { readonly byPerson: Counts; readonly byEnvironment: Counts };
  /** The newest checkpoint, which covers the entry of this export: a C2SP signed note. */
  readonly checkpoint: string;
}

/** Each holds a snapshot of the database for as long as its reader takes. */
const MOST_AT_ONCE = 4;

/** Exports for auditors. Each is in the log before its first byte is out: nobody takes data and leaves no trace. */
export class LoggedReports {
  #running = 0;

  constructor(
    private readonly ledger: Ledger,
    private readonly populations: Populations,
    private readonly statistics: Pick<Statistics, 'drift' | 'delivery'>,
    /** As PDF. */
    readonly print: (report: WholeReport) => Promise<Uint8Array>,
  ) {}

  /** Throws `not-found` for a repository or an environment that nobody knows, `query-limit` while too many are being read. */
  async changes(filters: PopulationQuery, format: ReportFormat, by: ExportedBy): Promise<RunningExport> {
    const { population, close } = await this.#open(filters);
    try {
      const manifest = await this.#log(population, { report: 'changes', format, filters }, by);
      return { manifest, text: writePopulation(population, format), close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** What there is to say of the changes that the filters select. Throws as `changes` does. */
  async management(
    filters: PopulationQuery,
    format: ManagementFormat,
    sample: Sampling,
    by: ExportedBy,
  ): Promise<WholeReport> {
    const { population, close } = await this.#open(filters);
    try {
      const manifest = await this.#log(population, { report: 'management', format, filters, sample }, by);
      const report = await managementReport(population.pages(), sample);
      const asked = {
        ...(filters.repository === null ? {} : { repository: filters.repository }),
        ...(filters.environment === null ? {} : { environment: filters.environment }),
        ...(filters.since === null ? {} : { from: filters.since }),
        ...(filters.until === null ? {} : { to: filters.until }),
      };
      const [delivery, byPerson, byEnvironment, checkpoint] = await Promise.all([
        this.statistics.delivery(asked),
        this.statistics.drift('person', asked, MOST_GROUPS),
        this.statistics.drift('environment', asked, MOST_GROUPS),
        this.ledger.checkpoint(),
      ]);
      return { manifest, report, delivery, drift: { byPerson, byEnvironment }, checkpoint };
    } finally {
      await close();
    }
  }

  async #open(filters: PopulationQuery): Promise<{ population: Population; close: () => Promise<void> }> {
    if (this.#running >= MOST_AT_ONCE) {
      throw new CountersignError('query-limit', `${MOST_AT_ONCE} exports are being read already`, {
        remedy: 'Try again when one of them is done',
        retry: true,
      });
    }
    this.#running += 1;
    try {
      const population = await this.populations.open(filters);
      const close = once(async () => {
        this.#running -= 1;
        await population.close();
      });
      return { population, close };
    } catch (error) {
      this.#running -= 1;
      throw error;
    }
  }

  async #log(
    { rows, size }: Population,
    what: Pick<ExportManifest, 'report' | 'format' | 'filters' | 'sample'>,
    by: ExportedBy,
  ): Promise<LoggedManifest> {
    const manifest: ExportManifest = { id: randomUUID(), ...what, rows, size, time: new Date().toISOString() };
    const { entries } = await this.ledger.record(async (transaction) => transaction.append(exportEntry(manifest, by)));
    return { ...manifest, index: entries[0].index };
  }
}

const MOST_GROUPS = 25;

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}
