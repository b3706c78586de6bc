import { identityKey, identityOf, type KubernetesObject } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { Backoff } from '../reconcile/backoff.js';
import type { ApiKind, Cluster, LiveObject } from '../reconcile/cluster.js';
import {
  environmentReports,
  isSameReport,
  REPORT_APIS,
  REPORT_LIMITS,
  REPORT_LOG,
  REPORT_OF,
  type ReportApi,
  type Reported,
  type ReportLimits,
  reportLog,
  reportOf,
} from './openreports.js';

/** Another one than that of what is governed: nobody confuses the two in `managedFields`. */
export const REPORT_MANAGER = 'countersign-reports';
/** Milliseconds between two looks at everything: somebody may have installed the CRDs, or changed a report. */
const EVERY = 600_000;

export interface NamedEnvironment {
  readonly repository: string;
  readonly environment: string;
}

export interface ClusterReportsParts {
  readonly cluster: Cluster;
  /** Of the log: reports of other services in the same cluster are left alone. */
  readonly origin: string;
  /** The environments that have something in this cluster. */
  readonly environments: () => Promise<readonly NamedEnvironment[]>;
  /** What is to be told of one now; null where nothing of it runs. */
  readonly judge: (environment: NamedEnvironment) => Promise<Reported | null>;
  readonly onTrouble?: (trouble: CountersignError) => void;
  readonly limits?: ReportLimits;
}

/** How the reports in one cluster are. */
export interface ReportsState {
  /** `openreports.io/v1alpha1`; null where the cluster serves no kind of report, or was not looked at yet. */
  readonly api: string | null;
  /** Reports that are there. */
  readonly reports: number;
  /** RFC 3339; of the last complete look. */
  readonly lookedAt: string | null;
  readonly trouble: CountersignError | null;
}

/**
 * Keeps the reports in one cluster as policy in force judges what runs there: written when different, deleted with their
 * environment. What is wrong with reports is told and tried again, and stands in nobody's way.
 */
export class ClusterReports {
  readonly #due = new Map<string, NamedEnvironment>();
  readonly #backoff = new Backoff();
  readonly #counts = new Map<string, number>();
  #all = true;
  #allAt = 0;
  #state: ReportsState = { api: null, reports: 0, lookedAt: null, trouble: null };
  #wake: (() => void) | null = null;
  #stopped = false;
  #running: Promise<void> | null = null;

  constructor(private readonly parts: ClusterReportsParts) {}

  get state(): ReportsState {
    return { ...this.#state, reports: [...this.#counts.values()].reduce((sum, count) => sum + count, 0) };
  }

  start(): void {
    this.#running ??= this.#loop();
  }

  /** Something about it is new: a decision, a run, its end. */
  refresh(environment: NamedEnvironment): void {
    this.#due.set(reportOf(environment), environment);
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      try {
        if (this.#all || this.#due.size > 0) await this.#look();
        this.#backoff.reset();
      } catch (thrown) {
        const trouble = toCountersignError(thrown);
        this.#backoff.failed(trouble);
        if (trouble.message !== this.#state.trouble?.message) this.parts.onTrouble?.(trouble);
        this.#state = { ...this.#state, trouble };
      }
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    const failing = this.#backoff.isFailing();
    if (this.#stopped || (!failing && this.#due.size > 0)) return;
    const at = failing ? this.#backoff.retryAt() : this.#allAt + EVERY;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, at - Date.now()));
      timer.unref();
      this.#wake = () => {
        // What failed waits for its turn, however much is new meanwhile.
        if (failing && !this.#stopped) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
    if (Date.now() >= this.#allAt + EVERY) this.#all = true;
  }

  async #look(): Promise<void> {
    const { api, served } = await this.#served();
    this.#state = { ...this.#state, api: api && `${api.group}/${api.version}` };
    if (this.#all) {
      for (const environment of await this.parts.environments()) this.#due.set(reportOf(environment), environment);
      await this.#dropOthers(served);
    }
    while (this.#due.size > 0 && !this.#stopped) {
      const [[key, environment]] = this.#due;
      this.#due.delete(key);
      try {
        await this.#keep(environment, api, served);
      } catch (thrown) {
        // Unless it is new again already: then that is what is tried.
        if (!this.#due.has(key)) this.#due.set(key, environment);
        throw thrown;
      }
    }
    if (this.#all) this.#allAt = Date.now();
    this.#all = false;
    this.#state = { ...this.#state, lookedAt: new Date().toISOString(), trouble: null };
  }

  /** Every kind of report that the cluster serves, and those that are written. */
  async #served(): Promise<{ api: ReportApi | null; served: readonly ApiKind[] }> {
    const served: ApiKind[] = [];
    const whole: ReportApi[] = [];
    for (const api of REPORT_APIS) {
      const { group, version, namespaced, cluster } = api;
      const kinds = await Promise.all([namespaced, cluster].map((kind) => this.#kind({ group, version, kind })));
      served.push(...kinds.filter((kind) => kind !== null));
      if (kinds.every((kind) => kind !== null)) whole.push(api);
    }
    return { api: whole[0] ?? null, served };
  }

  async #kind(identity: Pick<ApiKind, 'group' | 'version' | 'kind'>): Promise<ApiKind | null> {
    try {
      return await this.parts.cluster.kind(identity);
    } catch (thrown) {
      if (thrown instanceof CountersignError && thrown.code === 'kind-unknown') return null;
      throw thrown;
    }
  }

  async #keep(environment: NamedEnvironment, api: ReportApi | null, served: readonly ApiKind[]): Promise<void> {
    const { cluster, origin, limits = REPORT_LIMITS } = this.parts;
    if (served.length === 0) return void this.#counts.delete(reportOf(environment));
    const reported = api && (await this.parts.judge(environment));
    const wanted = new Map<string, KubernetesObject>(
      reported
        ? environmentReports(reported, api, origin, limits).map((report) => [identityKey(identityOf(report)), report])
        : [],
    );
    const there = await this.#there(served, `${REPORT_LOG}=${reportLog(origin)},${REPORT_OF}=${reportOf(environment)}`);
    for (const [key, report] of wanted) {
      const live = there.get(key);
      if (!live || !isSameReport(report, live)) await cluster.apply(report, { manager: REPORT_MANAGER });
    }
    for (const [key, live] of there) {
      if (!wanted.has(key)) await cluster.delete(identityOf(live), live.metadata.uid);
    }
    this.#counts.set(reportOf(environment), wanted.size);
  }

  /** Of environments that went while nobody looked. */
  async #dropOthers(served: readonly ApiKind[]): Promise<void> {
    const there = await this.#there(served, `${REPORT_LOG}=${reportLog(this.parts.origin)}`);
    for (const live of there.values()) {
      const { [REPORT_OF]: of = '' } = (live.metadata['labels'] ?? {}) as Record<string, string>;
      if (!this.#due.has(of)) await this.parts.cluster.delete(identityOf(live), live.metadata.uid);
    }
    for (const of of this.#counts.keys()) if (!this.#due.has(of)) this.#counts.delete(of);
  }

  async #there(served: readonly ApiKind[], selector: string): Promise<ReadonlyMap<string, LiveObject>> {
    const lists = await Promise.all(served.map((kind) => this.parts.cluster.list(kind, selector)));
    return new Map(lists.flatMap(({ items }) => items.map((live) => [identityKey(identityOf(live)), live] as const)));
  }
}
