import type { Leases, Share } from '../audit/lease.js';
import type { PostgresPast } from '../adapters/postgres/past-decisions.js';
import { CountersignError } from '../errors.js';
import type { Evaluator } from '../policy/evaluator.js';
import type { Cluster } from '../reconcile/cluster.js';
import { ClusterReports, type NamedEnvironment, type ReportsState } from '../report/cluster-reports.js';
import type { Reported } from '../report/openreports.js';
import { exceptionsFor } from '../review/exceptions.js';
import type { Standing } from '../review/governance.js';
import { judgeLive } from '../review/judge-live.js';
import type { EnvironmentRecord, Records } from '../review/records.js';

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

/** The reports in one target, which one of several instances keeps. */
export class SharedReports {
  #keeper: ClusterReports | null = null;
  readonly #share: Share;

  constructor(target: string, make: () => ClusterReports, leases: Leases) {
    this.#share = leases.share('duty', `reports ${target}`, async () => {
      const keeper = (this.#keeper = make());
      keeper.start();
      return async () => {
        await keeper.stop();
        this.#keeper = null;
      };
    });
  }

  /** As this instance knows it: nothing, where another one keeps them. */
  get state(): ReportsState {
    return this.#keeper?.state ?? NO_REPORTS;
  }

  refresh(environment: NamedEnvironment): void {
    this.#keeper?.refresh(environment);
  }

  stop(): Promise<void> {
    return this.#share.withdraw();
  }
}

const NO_REPORTS: ReportsState = { api: null, reports: 0, lookedAt: null, trouble: null };

/** What keeps the reports in each target. */
export function openReports(
  clusters: ReadonlyMap<string, Cluster>,
  leases: Leases,
  parts: ReportingParts,
): ReadonlyMap<string, SharedReports> {
  const keepers = [...clusters].map(([target, cluster]) => {
    const make = (): ClusterReports =>
      new ClusterReports({
        cluster,
        origin: parts.origin,
        environments: async () => {
          const all = await parts.records.find('environment', { target });
          return all.filter(isThere).map(({ repository, name: environment }) => ({ repository, environment }));
        },
        judge: (environment) => judge(environment, target, parts),
        onTrouble: (trouble) => parts.onTrouble(target, trouble),
      });
    return [target, new SharedReports(target, make, leases)] as const;
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
