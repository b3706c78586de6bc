import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Queries, Totals } from '../report/queries.js';
import type { ServiceState } from './state.js';

/** Totals are counted from the rows, and a scraper may be eager: they are counted anew after this many milliseconds. */
const FRESH = 2_000;

/**
 * Prometheus metrics. What happened is counted from the records, so that figures survive a restart and several scrapers see the
 * same; a scrape while the database is away still shows the process.
 */
export function createMetrics(state: ServiceState, queries: Queries): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  let counted: { at: number; totals: Promise<Totals> } | undefined;
  const totals = (): Promise<Totals> => {
    if (!counted || Date.now() - counted.at > FRESH) counted = { at: Date.now(), totals: queries.totals() };
    return counted.totals;
  };
  const gauge = <L extends string>(name: string, help: string, labelNames: L[], read: Read<L>): void => {
    const sampled = new Gauge({
      name: `countersign_${name}`,
      help,
      labelNames,
      registers: [],
      async collect() {
        const samples = await read().catch(() => undefined);
        this.reset();
        for (const [labels, value] of samples ?? []) this.set(labels, value);
      },
    });
    registry.registerMetric(sampled);
  };
  gauge('decisions', 'Decisions ever made, by outcome.', ['repository', 'environment', 'outcome'], async () =>
    (await totals()).decisions.map((row) => [{ ...place(row), outcome: row.outcome }, row.count]),
  );
  gauge('runs', 'Runs ever started, by outcome.', ['repository', 'environment', 'outcome'], async () =>
    (await totals()).runs.map((row) => [{ ...place(row), outcome: row.outcome }, row.count]),
  );
  gauge('drift', 'Drift ever seen, corrected or not.', ['repository', 'environment', 'corrected'], async () =>
    (await totals()).drift.map((row) => [{ ...place(row), corrected: String(row.corrected) }, row.count]),
  );
  gauge('faults', 'Faults ever recorded, by code.', ['code'], async () =>
    (await totals()).faults.map((row) => [{ code: row.code }, row.count]),
  );
  gauge('environments_waiting', 'Environments whose tip was not judged yet.', ['repository'], async () =>
    (await totals()).waiting.map((row) => [{ repository: row.repository }, row.environments]),
  );
  gauge('tip_lag_seconds', 'How long the oldest tip not judged yet has been waiting.', ['repository'], async () =>
    (await totals()).waiting.map((row) => [{ repository: row.repository }, row.seconds]),
  );
  gauge(
    'environment_status',
    'Always 1; how the environment is: synced, progressing, degraded, failed, refused, suspended, new or removed.',
    ['repository', 'environment', 'target', 'status'],
    async () =>
      (await queries.anyOf('environment', {}))
        .filter(({ target }) => target !== null)
        .map(({ repository, name, target, status }) => [{ repository, environment: name, target: target!, status }, 1]),
  );
  // An audit that is configured and never heard is as old as this process.
  gauge('audit_silence_seconds', 'Since the last audit event of a write came.', ['target'], () =>
    Promise.resolve(
      audited(state).map(([target, { lastEventAt }]) => [{ target }, since(lastEventAt ?? state.startedAt)]),
    ),
  );
  gauge('audit_incomplete', '1 where audit events were found to be missing within the hour.', ['target'], () =>
    Promise.resolve(
      audited(state).map(([target, { lastLoss }]) => [{ target }, lastLoss && since(lastLoss.time) < 3_600 ? 1 : 0]),
    ),
  );
  gauge('notifications_waiting', 'Entries that a destination was not told of yet.', ['destination'], async () =>
    (await state.notifications()).map(({ destination, waiting }) => [{ destination }, waiting]),
  );
  gauge(
    'notifications_failing_seconds',
    'Since a destination takes nothing; 0 while it does.',
    ['destination'],
    async () =>
      (await state.notifications()).map(({ destination, failingSince }) => [
        { destination },
        failingSince === null ? 0 : since(failingSince),
      ]),
  );
  gauge('scheduled_exports', 'Exports that were taken by themselves, by schedule.', ['export'], async () =>
    (await state.exports()).map(({ name, made }) => [{ export: name }, made]),
  );
  gauge(
    'scheduled_export_failing_seconds',
    'Since the oldest export that could not be taken was due; 0 while there is none.',
    ['export'],
    async () =>
      (await state.exports()).map(({ name, failingSince }) => [
        { export: name },
        failingSince === null ? 0 : since(failingSince),
      ]),
  );
  gauge(
    'leases',
    'Repositories, environments and duties that each live instance does.',
    ['instance', 'kind'],
    async () =>
      (await state.instances()).flatMap(({ name: instance, leases }) =>
        kinds.map((kind) => [{ instance, kind }, leases.filter((lease) => lease.kind === kind).length]),
      ),
  );
  gauge('log_size', 'Entries in the log.', [], async () => [[{}, await state.ledger.size()]]);
  gauge('ready', '1 while everything the service needs answers.', [], async () => [
    [{}, (await state.ready()).ok ? 1 : 0],
  ]);
  gauge('build_info', 'Always 1; the version is a label.', ['version'], () =>
    Promise.resolve([[{ version: state.version }, 1]]),
  );
  return registry;
}

const place = ({ repository, environment }: { repository: string; environment: string }) => ({
  repository,
  environment,
});

const since = (time: string): number => Math.max(0, (Date.now() - Date.parse(time)) / 1_000);

type Audited = NonNullable<ReturnType<ServiceState['targets']>[number]['audit']>;
const audited = (state: ServiceState): (readonly [string, Audited])[] =>
  state.targets().flatMap(({ name, audit }) => (audit ? [[name, audit] as const] : []));

type Read<L extends string> = () => Promise<readonly (readonly [labels: Partial<Record<L, string>>, value: number])[]>;

const kinds = ['repository', 'environment', 'duty'] as const;

/** Requests by route and status: what a dashboard needs to see a slow or failing API. */
export function requestHistogram(registry: Registry): Histogram<'route' | 'status'> {
  return new Histogram({
    name: 'countersign_http_request_seconds',
    help: 'HTTP requests by route and status.',
    labelNames: ['route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
}
