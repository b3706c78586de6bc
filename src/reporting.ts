import type { PostgresPast } from './adapters/postgres/past-decisions.js';
import { CountersignError } from './errors.js';
import type { Evaluator } from './policy/evaluator.js';
import type { Cluster } from './reconcile/cluster.js';
import { ClusterReports, type NamedEnvironment } from './report/cluster-reports.js';
import type { Reported } from './report/openreports.js';
import { exceptionsFor } from './review/exceptions.js';
import type { Standing } from './review/governance.js';
import { judgeLive } from './review/judge-live.js';
import type { EnvironmentRecord, Records } from './review/records.js';

export interface ReportingParts {
  readonly records: Records;
  readonly past: PostgresPast;
  readonly evaluator: Evaluator;
  /** What a repository is judged by right now. */
  readonly standing: (repository: string) => Standing | null;
  /** Of the log. */
  readonly origin: string;
  readonly onTrouble: (target: string, trouble: CountersignError) => void;
}

/** What keeps the reports in each target. */
export function openReports(
  clusters: ReadonlyMap<string, Cluster>,
  parts: ReportingParts,
): ReadonlyMap<string, ClusterReports> {
  const keepers = [...clusters].map(([target, cluster]) => {
    const keeper = new ClusterReports({
      cluster,
      origin: parts.origin,
      environments: async () => {
        const all = await parts.records.find('environment', { target });
        return all.filter(isThere).map(({ repository, name: environment }) => ({ repository, environment }));
      },
      judge: (environment) => judge(environment, target, parts),
      onTrouble: (trouble) => parts.onTrouble(target, trouble),
    });
    return [target, keeper] as const;
  });
  return new Map(keepers);
}

async function judge(
  { repository, environment }: NamedEnvironment,
  target: string,
  { records, past, evaluator, standing }: ReportingParts,
): Promise<Reported | null> {
  const [record] = await records.find('environment', { repository, name: environment });
  if (!record || !isThere(record) || record.target !== target) return null;
  const governance = standing(repository)?.governance;
  if (!governance) {
    throw new CountersignError('not-found', `what governs ${repository} is not known yet`, { retry: true });
  }
  const { bundle, exceptions } = governance;
  for await (const live of past.all(repository, environment)) {
    const time = new Date();
    const now = { time, exceptions: exceptionsFor(exceptions, environment, time) };
    return { live, bundle, decision: await judgeLive(live, bundle, evaluator, now) };
  }
  return null;
}

/** One that was removed from governance leaves its objects, and takes its reports along. */
const isThere = ({ status }: EnvironmentRecord): boolean => status !== 'removed';
