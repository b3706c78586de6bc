import type { DataSource } from 'typeorm';
import type { KubernetesObject } from '../../cluster/object.js';
import type { Filters, InEnvironment, ListName, Period } from '../../report/queries.js';
import type { Counts, DecisionGroup, Delivery, DriftGroup, PastState, Statistics } from '../../report/statistics.js';
import type { Reach } from '../../audit/reach.js';
import { contentOfEntry } from './content-store.js';
import { rowsOf } from './log-storage.js';
import { rulesOf, type PostgresQueries } from './queries.js';
import { PostgresRecords } from './records.js';

/** A list of keys, each of which counts once. */
const each = (column: string): Key => ({ sql: `row.${column}`, isList: true });
const one = (sql: string): Key => ({ sql, isList: false });
const month = (column: string): string => `to_char(row.${column} AT TIME ZONE 'UTC', 'YYYY-MM')`;
const environment = `row.repository || ' ' || row.environment`;

/** What a row is counted under: an expression over `row`. */
interface Key {
  readonly sql: string;
  readonly isList: boolean;
}

const decisionKeys: Readonly<Record<DecisionGroup, Key>> = {
  rule: { sql: `CASE WHEN row.violations = '[]' THEN '[]' ELSE ${rulesOf('row')} END`, isList: true },
  control: each('controls'),
  team: each('teams'),
  signer: each('signers'),
  approver: each('approvers'),
  ticket: each('tickets'),
  repository: one('row.repository'),
  environment: one(environment),
  outcome: one('row.outcome'),
  month: one(month('time')),
};

const driftKeys: Readonly<Record<DriftGroup, string>> = {
  // As src/report/evidence-of-drift.ts chooses: the strongest, and of two that are equal the later.
  person: `coalesce((SELECT coalesce(said #>> '{user,name}', said ->> 'manager', said #>> '{user,agent}')
    FROM jsonb_array_elements(jsonb_build_array(row.attribution) || row.supplements) WITH ORDINALITY AS evidence (said, place)
    ORDER BY array_position(ARRAY['none', 'hint', 'likely', 'strong'], said ->> 'strength') DESC NULLS LAST, place DESC LIMIT 1), 'unknown')`,
  repository: 'row.repository',
  environment,
  kind: `CASE row.group WHEN '' THEN row.kind ELSE row.kind || '.' || row.group END`,
  object: `row.kind || ' ' || CASE row.namespace WHEN '' THEN '' ELSE row.namespace || '/' END || row.name`,
  month: month('detectedAt'),
};

const summary = (column: string, name: string): string => `
  count(${column})::int AS ${name}_count, avg(${column})::float8 AS ${name}_mean,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY ${column}) AS ${name}_median,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY ${column}) AS ${name}_p90`;

type Summary<N extends string> = Readonly<Record<`${N}_count`, number>> &
  Readonly<Record<`${N}_${'mean' | 'median' | 'p90'}`, number | null>>;
type DeliveryRow = Summary<'lead'> & Summary<'recovery'> & { readonly deployments: number; readonly failures: number };

/** src/report/statistics.ts on PostgreSQL. */
export class PostgresStatistics implements Statistics {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queries: PostgresQueries,
  ) {}

  within(reach: Reach): Statistics {
    return reach.everywhere ? this : new PostgresStatistics(this.dataSource, this.queries.within(reach));
  }

  decisions(by: DecisionGroup, filter: Filters['decision'], first: number): Promise<Counts> {
    return this.#counts('decision', decisionKeys[by], filter, first);
  }

  drift(by: DriftGroup, filter: Filters['drift'], first: number): Promise<Counts> {
    return this.#counts('drift', one(driftKeys[by]), filter, first);
  }

  /** Rows that have the same keys are counted together before these are told apart: a list is made up of few of them. */
  async #counts<K extends ListName>(list: K, { sql, isList }: Key, filter: Filters[K], first: number): Promise<Counts> {
    const [counted, parameters] = await this.queries.counted(list, sql, filter);
    const single = isList
      ? `SELECT key ->> 0 AS key, n FROM counted WHERE jsonb_array_length(key) = 1 UNION ALL
         SELECT single.key, n FROM counted, LATERAL (SELECT DISTINCT jsonb_array_elements_text(counted.key) AS key) AS single
         WHERE jsonb_array_length(counted.key) > 1`
      : 'SELECT key, n FROM counted';
    const rows = await rowsOf<{ total: number; key: string | null; count: number; groups: number }>(
      this.dataSource,
      `WITH counted AS MATERIALIZED (${counted}), grouped AS (
         SELECT key, sum(n)::int AS count, (count(*) OVER ())::int AS groups FROM (${single}) AS keyed
         WHERE key IS NOT NULL GROUP BY key ORDER BY count DESC, key LIMIT ${first})
       SELECT (SELECT coalesce(sum(n), 0)::int FROM counted) AS total, grouped.* FROM (SELECT) AS nothing LEFT JOIN grouped ON true
       ORDER BY count DESC, key`,
      parameters,
    );
    const found = rows.flatMap(({ key, count }) => (key === null ? [] : { key, count }));
    return { total: rows[0].total, groups: found, more: (rows[0].groups ?? 0) - found.length };
  }

  async delivery({ from, to, repository, environment: name }: Period & InEnvironment): Promise<Delivery> {
    const [row] = await rowsOf<DeliveryRow>(
      this.dataSource,
      // What came after the period tells how a deployment in it went.
      `WITH deployment AS (
         SELECT DISTINCT ON (run.decision) run.repository, run.environment, run.finished_at, run.outcome = 'succeeded' AS succeeded,
           change.operation, extract(epoch FROM run.finished_at - least(head.first_seen,
             CASE WHEN change.commits <> jsonb_build_array(change.head) THEN (
               SELECT min((SELECT first_seen FROM commit WHERE commit.repository = change.repository AND commit.id = made.id))
               FROM jsonb_array_elements_text(change.commits) AS made (id)) END)) AS lead
         FROM run JOIN decision ON decision.id = run.decision JOIN change ON change.id = decision.change
           LEFT JOIN commit AS head ON head.repository = change.repository AND head.id = change.head
         WHERE run.outcome IN ('succeeded', 'failed') AND ($1::timestamptz IS NULL OR run.finished_at >= $1)
           AND ($3::text IS NULL OR run.repository = $3) AND ($4::text IS NULL OR run.environment = $4)
         ORDER BY run.decision, run.finished_at),
       followed AS (
         SELECT *, NOT succeeded OR coalesce(lead(operation) OVER later IN ('rollback', 'break_glass'), false) AS failed,
           min(finished_at) FILTER (WHERE succeeded) OVER (PARTITION BY repository, environment ORDER BY finished_at DESC
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS recovered
         FROM deployment WINDOW later AS (PARTITION BY repository, environment ORDER BY finished_at)),
       measured AS (
         SELECT *, CASE WHEN succeeded THEN lead END AS lead_time,
           CASE WHEN failed THEN extract(epoch FROM recovered - finished_at) END AS recovery_time
         FROM followed WHERE $2::timestamptz IS NULL OR finished_at < $2)
       SELECT count(*)::int AS deployments, (count(*) FILTER (WHERE failed))::int AS failures,
         ${summary('lead_time', 'lead')}, ${summary('recovery_time', 'recovery')} FROM measured`,
      [from ?? null, to ?? null, repository ?? null, name ?? null],
    );
    const days = from && to ? (Date.parse(to) - Date.parse(from)) / 86_400_000 : null;
    const { deployments, failures } = row;
    return {
      deployments,
      perDay: days === null || days <= 0 ? null : deployments / days,
      leadTime: { count: row.lead_count, mean: row.lead_mean, median: row.lead_median, p90: row.lead_p90 },
      failures,
      failureRate: deployments === 0 ? null : failures / deployments,
      recovery: {
        count: row.recovery_count,
        mean: row.recovery_mean,
        median: row.recovery_median,
        p90: row.recovery_p90,
      },
    };
  }

  async at(repository: string, name: string, instant: string): Promise<PastState | null> {
    const runs = await rowsOf<{ id: string; log_index: string; until: Date | null }>(
      this.dataSource,
      `SELECT run.id, decision.log_index, (SELECT min(later.finished_at) FROM run AS later WHERE later.repository = $1
           AND later.environment = $2 AND later.outcome = 'succeeded' AND later.finished_at > $3) AS until
       FROM run JOIN decision ON decision.id = run.decision
       WHERE run.repository = $1 AND run.environment = $2 AND run.outcome = 'succeeded' AND run.finished_at <= $3
       ORDER BY run.finished_at DESC LIMIT 1`,
      [repository, name, instant],
    );
    if (runs.length === 0) return null;
    const [{ id, log_index: index, until }] = runs;
    const records = new PostgresRecords(this.dataSource);
    const [run] = await records.find('run', { id });
    const [decision] = await records.find('decision', { id: run.decision });
    const [change] = await records.find('change', { id: decision.change });
    const rendered = await contentOfEntry(this.dataSource.manager, Number(index), 'rendered');
    const objects = JSON.parse(rendered.toString('utf8')) as KubernetesObject[];
    return { run, change: change ?? null, until: until?.toISOString() ?? null, objects };
  }
}
