import { randomUUID } from 'node:crypto';
import type { Ledger } from '../audit/ledger.js';
import { CountersignError } from '../errors.js';
import type { JsonObject } from '../cluster/object.js';
import { entryTypes, type LoggedEntry } from '../audit/entry.js';
import { parseCheckpoint } from '../audit/checkpoint.js';
import { toBase64 } from '../audit/crypto.js';
import { rootAt } from '../audit/merkle.js';
import type { Place } from '../audit/reach.js';
import { parseNote } from '../audit/note.js';
import { nodeReader, type TileReader } from '../audit/tiles.js';
import { assess, type Shown } from './assessment.js';
import type { Listed } from './collectors.js';
import { type Catalogue, controlsNamed } from './controls.js';
import { exportEntry, type ExportedBy, type ExportManifest, type ManagementFormat, type ReportFormat, type Sampling } from './export-entry.js'; // prettier-ignore
import { managementReport, type ManagementReport } from './management.js';
import { oscalReport } from './oscal.js';
import { drawn } from './sample.js';
import type { Queries } from './queries.js';
import type { Population, PopulationQuery, Populations } from './population.js';
import type { Counts, Delivery, Statistics } from './statistics.js';
import { writePopulation } from './write-population.js';

type LoggedManifest = ExportManifest & { readonly index: number };

/** An export under way: what it is, with the index of the entry that says so, and its text or bytes. Whoever got it closes it, read or not. */
export interface RunningExport {
  readonly manifest: LoggedManifest;
  readonly text: AsyncIterable<string | Uint8Array>;
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

export interface ReportingParts {
  readonly ledger: Ledger & { readonly readTile: TileReader };
  readonly populations: Populations;
  readonly statistics: Pick<Statistics, 'drift' | 'delivery'>;
  readonly queries: Pick<Queries, 'list' | 'count' | 'countEntries'>;
  /** What a repository is asked for; null: what ships. */
  readonly catalogues: (repository: string | null) => Promise<readonly Catalogue[]>;
  /** As PDF. */
  readonly print: (report: WholeReport) => Promise<Uint8Array>;
  /** An evidence bundle's bytes: of all, or with the contents of these places only. */
  readonly bundle: (reach: readonly Place[] | undefined) => Promise<AsyncIterable<Uint8Array>>;
  /** A decision's verification summary (src/report/vsa.ts); null for an entry that has none. */
  readonly summary: (entry: LoggedEntry) => Promise<string | null>;
  /** Of Countersign. */
  readonly version: string;
}

/** Exports for auditors. Each is in the log before its first byte is out: nobody takes data and leaves no trace. */
export class LoggedReports {
  #running = 0;

  constructor(private readonly parts: ReportingParts) {}

  /** As PDF. */
  print(report: WholeReport): Promise<Uint8Array> {
    return this.parts.print(report);
  }

  /** Throws `not-found` for a repository or an environment that nobody knows, `query-limit` while too many are being read. */
  async changes(
    filters: PopulationQuery,
    format: ReportFormat,
    by: ExportedBy,
    sample?: Sampling,
  ): Promise<RunningExport> {
    const { population, close } = await this.#open(filters);
    try {
      const manifest = await this.#log(population, { report: 'changes', format, filters, ...(sample && { sample }) }, by); // prettier-ignore
      const pages = sample ? () => drawn(population.pages(), sample) : () => population.pages();
      return { manifest, text: writePopulation({ ...population, pages }, format), close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** What each of them was allowed or denied, as verification summaries of SLSA. Throws as `changes` does. */
  async summaries(filters: PopulationQuery, by: ExportedBy): Promise<RunningExport> {
    const { population, close } = await this.#open(filters);
    try {
      const manifest = await this.#log(population, { report: 'vsa', format: 'jsonl', filters }, by);
      return { manifest, text: this.#summaries(population), close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** Every entry of the log, and the contents within reach; all of them without one. Throws `query-limit` as `changes` does. */
  async evidence(reach: readonly Place[] | undefined, by: ExportedBy): Promise<RunningExport> {
    this.#begin();
    const close = once(() => Promise.resolve(void (this.#running -= 1)));
    try {
      const size = await this.parts.ledger.size();
      const filters = { repository: null, environment: null, outcome: null, since: null, until: null };
      const what = { report: 'evidence', format: 'zip', filters, ...(reach && { reach }) } as const;
      const manifest = await this.#log({ rows: size, size }, what, by);
      return { manifest, text: await this.parts.bundle(reach), close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  async *#summaries(population: Population): AsyncIterable<string> {
    const { ledger, summary } = this.parts;
    for await (const page of population.pages())
      for (const { index } of page) yield (await summary(await ledger.entry(index))) ?? '';
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
      const asked = askedBy(filters);
      const [delivery, byPerson, byEnvironment, checkpoint] = await Promise.all([
        this.parts.statistics.delivery(asked),
        this.parts.statistics.drift('person', asked, MOST_GROUPS),
        this.parts.statistics.drift('environment', asked, MOST_GROUPS),
        this.parts.ledger.checkpoint(),
      ]);
      return { manifest, report, delivery, drift: { byPerson, byEnvironment }, checkpoint };
    } finally {
      await close();
    }
  }

  /**
   * How the controls of a catalogue came out in a period: OSCAL assessment-results. Throws as `changes` does, `usage` for a control that is in no
   * catalogue, naming the nearest.
   */
  async oscal(
    filters: PopulationQuery,
    controls: string | undefined,
    by: ExportedBy,
  ): Promise<{ readonly manifest: LoggedManifest; readonly document: JsonObject }> {
    const { ledger, queries, version } = this.parts;
    const asked = controlsNamed(await this.parts.catalogues(filters.repository), controls);
    const { population, close } = await this.#open(filters);
    try {
      const what = { report: 'oscal', format: 'json', filters, ...(controls !== undefined && { controls }) } as const;
      const manifest = await this.#log(population, what, by);
      const { size } = manifest;
      const assessment = await assess(population.pages(), asked, manifest.time);
      const entries = new Map<string, number>([['log', size]]);
      for (const type of entryTypes)
        entries.set(type, await queries.countEntries({ types: [type], from: 0, to: size }));
      const { origin } = parseCheckpoint(parseNote(await ledger.checkpoint()).text);
      const drift = {
        open: await this.#drift(filters, size, false),
        corrected: await this.#drift(filters, size, true),
      };
      const read = nodeReader(await ledger.size(), ledger.readTile);
      const root = toBase64(await rootAt(size, read));
      return { manifest, document: oscalReport(manifest, assessment, { origin, root, drift, entries, version }) };
    } finally {
      await close();
    }
  }

  /** The newest first, of those that the log holds by now. */
  async #drift(filters: PopulationQuery, size: number, corrected: boolean): Promise<Listed<Shown>> {
    const { ledger, queries } = this.parts;
    const filter = { ...askedBy(filters), corrected };
    const { rows } = await queries.list('drift', filter, { first: MOST_DRIFT });
    const shown: Shown[] = [];
    for (const { index, repository, environment, detectedAt: time } of rows) {
      if (index === null || index >= size) continue;
      shown.push({ index, leafHash: (await ledger.entry(index)).leafHash, repository, environment, time });
    }
    return { total: await queries.count('drift', filter), rows: shown };
  }

  async #open(filters: PopulationQuery): Promise<{ population: Population; close: () => Promise<void> }> {
    this.#begin();
    try {
      const population = await this.parts.populations.open(filters);
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

  #begin(): void {
    if (this.#running >= MOST_AT_ONCE) {
      throw new CountersignError('query-limit', `${MOST_AT_ONCE} exports are being read already`, {
        remedy: 'Try again when one of them is done',
        retry: true,
      });
    }
    this.#running += 1;
  }

  async #log(
    { rows, size }: Pick<Population, 'rows' | 'size'>,
    what: Omit<ExportManifest, 'id' | 'rows' | 'size' | 'time'>,
    by: ExportedBy,
  ): Promise<LoggedManifest> {
    const manifest: ExportManifest = { id: randomUUID(), ...what, rows, size, time: new Date().toISOString() };
    const { entries } = await this.parts.ledger.record(async (transaction) =>
      transaction.append(exportEntry(manifest, by)),
    );
    return { ...manifest, index: entries[0].index };
  }
}

const MOST_GROUPS = 25;
/** That an assessment names; it counts all of them. */
const MOST_DRIFT = 100;

const askedBy = ({ repository, environment, since, until }: PopulationQuery) => ({
  ...(repository === null ? {} : { repository }),
  ...(environment === null ? {} : { environment }),
  ...(since === null ? {} : { from: since }),
  ...(until === null ? {} : { to: until }),
});

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}
