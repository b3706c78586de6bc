import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { DataSource } from 'typeorm';
import { openExportPlace } from '../adapters/log-files/export-place.js';
import { PostgresScheduleBook } from '../adapters/postgres/schedule-book.js';
import type { EndWork, Lease } from '../audit/lease.js';
import { Repeating } from '../audit/repeating.js';
import type { ExportConfig } from '../config/exports.js';
import type { CountersignError } from '../errors.js';
import type { ExportedBy, ExportManifest, ManagementFormat, ReportFormat } from '../report/export-entry.js';
import { parseOptionalSampling, parsePopulationQuery, parseSampling } from '../report/population-query.js';
import type { LoggedReports } from '../report/reports.js';
import { type ExportSchedule, type Period, ScheduledExports, type TakenExport } from '../report/scheduled-exports.js';

/** How often it is looked whether something is due, in milliseconds. */
const EVERY = 15_000;

export interface ExportingParts {
  readonly exports: readonly ExportConfig[];
  readonly reports: LoggedReports;
  readonly dataSource: DataSource;
  /** Exports are whole in a folder here before they go anywhere. */
  readonly data: string;
  readonly onFault: (fault: CountersignError) => void;
  readonly onMade: (name: string, period: string, file: string) => void;
  /** Of tests, which do not wait for it. */
  readonly every?: number;
  readonly now?: () => Date;
}

/** A duty that one instance does at a time. */
export async function beginExporting(parts: ExportingParts, lease: Lease): Promise<EndWork> {
  const { exports, dataSource, onFault, onMade, every = EVERY, now = () => new Date() } = parts;
  const spool = join(parts.data, 'exports');
  // What a process left that was killed.
  await rm(spool, { recursive: true, force: true });
  await mkdir(spool, { recursive: true, mode: 0o700 });
  const of = ({ name }: ExportSchedule): ExportConfig => exports.find((one) => one.name === name)!;
  const scheduled = new ScheduledExports(exports, {
    book: new PostgresScheduleBook(dataSource),
    take: (schedule, period) => take(of(schedule), period, parts.reports, spool),
    place: (schedule) => openExportPlace(of(schedule).to),
    onMade: (schedule, { period }, file) => onMade(schedule.name, period.name, file),
  });
  const loop = new Repeating(() => scheduled.round(lease, now()), every, onFault);
  loop.start();
  return () => loop.stop();
}

interface Running {
  readonly manifest: ExportManifest & { readonly index: number };
  readonly content: AsyncIterable<string | Uint8Array>;
  readonly close: () => Promise<void>;
}

async function take(config: ExportConfig, period: Period, reports: LoggedReports, spool: string): Promise<TakenExport> {
  const folder = await mkdtemp(join(spool, `${config.name}-`));
  const close = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const running = await run(config, period, reports);
    const file = join(folder, 'content');
    try {
      await pipeline(running.content, createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true }));
    } finally {
      await running.close();
    }
    const { manifest } = running;
    const text = `${JSON.stringify(manifest, null, 2)}\n`;
    return { file, manifest: text, index: manifest.index, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const running = ({ text, ...rest }: Awaited<ReturnType<LoggedReports['changes']>>): Running => ({ ...rest, content: text }); // prettier-ignore

async function run(config: ExportConfig, { since, until }: Period, reports: LoggedReports): Promise<Running> {
  const { report, format, name, words } = config;
  const by: ExportedBy = { token: 'schedule', login: `schedule ${name}` };
  const { sample, seed, controls, ...filters } = words;
  const query = parsePopulationQuery({ ...filters, since, until });
  const whole = (manifest: Running['manifest'], bytes: string | Uint8Array): Running => ({ manifest, content: one(bytes), close: () => Promise.resolve() }); // prettier-ignore
  if (report === 'changes') return running(await reports.changes(query, format as ReportFormat, by, parseOptionalSampling({ sample, seed }))); // prettier-ignore
  if (report === 'vsa') return running(await reports.summaries(query, by));
  if (report === 'evidence') return running(await reports.evidence(undefined, by));
  if (report === 'oscal') {
    const { manifest, document } = await reports.oscal(query, controls, by);
    return whole(manifest, JSON.stringify(document));
  }
  const made = await reports.management(query, format as ManagementFormat, parseSampling({ sample, seed }), by);
  return whole(made.manifest, format === 'json' ? JSON.stringify(made) : await reports.print(made));
}

const one = (bytes: string | Uint8Array): AsyncIterable<string | Uint8Array> => Readable.from([bytes]);
