import type { ConfigOptions, MirrorConfig } from '../config.js';
import type { Written } from './file.js';
import { resolvePlace } from './log.js';
import type { FaultAt } from './repository.js';
import { parseSchedule } from '../change/schedule.js';
import { toCountersignError } from '../errors.js';
import { managementFormats, reportFormats, type ReportName } from '../report/export-entry.js';
import { dateIn, parseOptionalSampling, parsePopulationQuery } from '../report/population-query.js';
import type { ExportSchedule } from '../report/scheduled-exports.js';
import { suggest } from '../settings.js';

/** A report that is taken by itself, of the period before, and where it goes. */
export interface ExportConfig extends ExportSchedule {
  readonly report: ReportName;
  /** As its file is called behind the last dot. */
  readonly format: string;
  /** As the words of a report's address: `repository`, `environment`, `decision`, `controls`, `sample`, `seed`. */
  readonly words: Readonly<Record<string, string>>;
  readonly to: MirrorConfig['to'] & { readonly lock?: ObjectLock };
}

/** For how long a store keeps an object from being removed or replaced. */
export interface ObjectLock {
  readonly mode: 'governance' | 'compliance';
  readonly days: number;
}

/** The first of each is what is written unless told. */
const FORMATS: Readonly<Record<ReportName, readonly string[]>> = {
  changes: reportFormats,
  management: managementFormats,
  oscal: ['json'],
  vsa: ['jsonl'],
  evidence: ['zip'],
};

/** Adds to the faults. */
export function resolveExport(
  written: NonNullable<Written['exports']>[number],
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): ExportConfig {
  const { name, report, cron, zone, period, to: place, format = FORMATS[report][0] } = written;
  const { repository, environment, decision, controls, sample, seed } = written;
  const given = { repository, environment, decision, controls, sample, seed };
  const words = Object.fromEntries(Object.entries(given).flatMap(([word, text]) => (text === undefined ? [] : [[word, text]]))); // prettier-ignore
  const trying = (path: readonly PropertyKey[], attempt: () => unknown): void => {
    try {
      attempt();
    } catch (thrown) {
      fault(path, toCountersignError(thrown).message);
    }
  };
  trying(['zone'], () => dateIn(zone, 0));
  trying(['cron'], () => parseSchedule(cron));
  trying([], () => parsePopulationQuery({ repository, environment, decision }));
  trying([], () => parseOptionalSampling({ sample, seed }));
  if (!FORMATS[report].includes(format))
    fault(['format'], `${report} is written as ${FORMATS[report].join(' or ')}${suggest(format, FORMATS[report])}`);
  const foreign: readonly (readonly [string, boolean])[] = [
    ['controls', report === 'oscal'],
    ['sample', report === 'changes' || report === 'management'],
    ['seed', report === 'changes' || report === 'management'],
    ['repository', report !== 'evidence'],
    ['environment', report !== 'evidence'],
    ['decision', report !== 'evidence'],
  ];
  for (const [word, fits] of foreign)
    if (!fits && words[word] !== undefined) fault([word], `it is not for the report ${report}`);
  const { lock, ...where } = place;
  if (lock && where.folder !== undefined) fault(['to', 'lock'], 'it is for a bucket');
  const to = resolvePlace(where, base, env, (field, message) => fault(['to', ...field], message)) ?? { folder: base };
  return {
    name,
    file: `${report}.${format}`,
    report,
    format,
    cron,
    zone,
    period,
    words,
    to: { ...to, ...(lock && { lock }) },
  };
}
