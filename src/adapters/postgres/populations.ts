import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, QueryRunner } from 'typeorm';
import { CountersignError, toCountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';
import type { DecidedChange, Population, PopulationCommit, PopulationQuery, Populations } from '../../report/population.js'; // prettier-ignore
import { suggest } from '../../settings.js';
import { contentOfEntry } from './content-store.js';
import { databaseFault } from './faults.js';
import { LogReader, rowsOf } from './log-storage.js';

/** Rows that are fetched at a time; with what belongs to each they are what is held in memory. */
const PAGE = 300;
/** How long a listing waits for decisions that are being placed in the log, and how often it looks: in milliseconds. */
const [PATIENCE, PAUSE] = [3_000, 20];
/** Of one change; a longer list says how many more there are. */
const MOST_OBJECTS = 200;
const MOST_COMMITS = 1_000;

const WITHIN = `decision.log_index < $1 AND ($2::text IS NULL OR decision.repository = $2)
  AND ($3::text IS NULL OR decision.environment = $3) AND ($4::text IS NULL OR decision.outcome = $4)
  AND ($5::timestamptz IS NULL OR decision.time >= $5) AND ($6::timestamptz IS NULL OR decision.time < $6)`;

/** RFC 3339, UTC, made by the database: a date less to take apart for each of a million rows. */
const iso = (column: string, name = column): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ${name}`;

interface Row {
  readonly id: string;
  readonly log_index: string;
  readonly leaf_hash: Buffer;
  readonly repository: string;
  readonly environment: string;
  readonly outcome: DecidedChange['outcome'];
  readonly violations: DecidedChange['violations'];
  readonly required: DecidedChange['required'];
  readonly excepted: DecidedChange['excepted'];
  readonly exceptions: readonly string[];
  readonly approvals: readonly string[];
  readonly bundle_digest: string;
  readonly time: string;
  readonly change: string;
  readonly operation: DecidedChange['change']['operation'];
  readonly ref: string;
  readonly base: string | null;
  readonly head: string;
  readonly tree: string;
  readonly commits: readonly string[];
  readonly object_changes: number;
  readonly rendered_digest: string;
  readonly target: string | null;
  readonly namespace: string | null;
  readonly status: string | null;
  readonly approved_decision: string | null;
}

/** src/report/population.ts on PostgreSQL: one snapshot, a cursor in the database, and a page of it in memory. */
export class PostgresPopulations implements Populations {
  constructor(private readonly dataSource: DataSource) {}

  async open(query: PopulationQuery): Promise<Population> {
    const runner = this.dataSource.createQueryRunner();
    try {
      const reading = new Reading(runner);
      for (const until = Date.now() + PATIENCE; ;) {
        await runner.startTransaction('REPEATABLE READ');
        await runner.query('SET TRANSACTION READ ONLY');
        if (!(await reading.isPlacing()) || Date.now() > until) break;
        await runner.rollbackTransaction();
        await sleep(PAUSE);
      }
      await reading.requireKnown(query);
      const size = await reading.size();
      const chosen = [size, query.repository, query.environment, query.outcome, query.since, query.until];
      const rows = await reading.count(chosen);
      return { rows, size, pages: () => reading.pages(chosen), close: () => end(runner) };
    } catch (thrown) {
      await end(runner);
      throw databaseFault(thrown);
    }
  }
}

async function end(runner: QueryRunner): Promise<void> {
  try {
    if (runner.isTransactionActive) await runner.rollbackTransaction();
  } finally {
    await runner.release();
  }
}

function requireOne(what: string, name: string, names: readonly string[]): void {
  if (names.includes(name)) return;
  const there = `There ${names.length === 1 ? 'is' : 'are'} ${names.slice(0, 20).join(', ')}`;
  throw new CountersignError('not-found', `no ${what} ${name.slice(0, 200)} is known here${suggest(name, names)}`, {
    remedy: names.length > 0 ? there : 'Nothing was judged here yet',
  });
}

class Reading {
  readonly #controls = new Map<string, readonly string[]>();

  constructor(private readonly runner: QueryRunner) {}

  async requireKnown({ repository, environment }: PopulationQuery): Promise<void> {
    const known = await rowsOf<{ repository: string; name: string }>(
      this.runner,
      'SELECT repository, name FROM environment',
    );
    if (repository !== null) requireOne('repository', repository, [...new Set(known.map((row) => row.repository))]);
    if (environment === null) return;
    const here = known.filter((row) => repository === null || row.repository === repository);
    requireOne('environment', environment, [...new Set([...here.map((row) => row.name), 'governance'])]);
  }

  /**
   * Whether the entry of a decision may be in the log, and where is not written beside the decision yet: a moment later it is. It stays so
   * only while nothing can be appended, and then the entry is in no log that a listing is taken from.
   */
  async isPlacing(): Promise<boolean> {
    return (await rowsOf(this.runner, 'SELECT 1 FROM decision WHERE log_index IS NULL LIMIT 1')).length > 0;
  }

  /** What the newest released checkpoint covers: nothing later is told. */
  async size(): Promise<number> {
    return (await new LogReader(this.runner).released()).size;
  }

  async count(chosen: unknown[]): Promise<number> {
    const [{ count }] = await rowsOf<{ count: string }>(
      this.runner,
      `SELECT count(*) FROM decision WHERE ${WITHIN}`,
      chosen,
    );
    return Number(count);
  }

  async *pages(chosen: unknown[]): AsyncIterable<readonly DecidedChange[]> {
    await rowsOf(
      this.runner,
      `DECLARE population NO SCROLL CURSOR FOR
       SELECT decision.id, decision.log_index, log_entry.leaf_hash, decision.repository, decision.environment, decision.outcome,
         decision.violations, decision.required, decision.excepted, decision.exceptions, decision.approvals, decision.bundle_digest, ${iso('decision.time', 'time')},
         decision.change, change.operation, change.ref, change.base, change.head, change.tree, change.commits, change.object_changes,
         change.rendered_digest, environment.target, environment.namespace, environment.status, environment.approved_decision
       FROM decision JOIN log_entry USING (log_index) JOIN change ON change.id = decision.change
       LEFT JOIN environment ON environment.repository = decision.repository AND environment.name = decision.environment
       WHERE ${WITHIN} ORDER BY decision.log_index`,
      chosen,
    );
    // The database reads a page while the one before it is written.
    let next = this.#page();
    for (let page = await next; page.length > 0; page = await next) {
      next = this.#page();
      next.catch(() => undefined); // thrown when it is its turn
      yield page;
    }
    await rowsOf(this.runner, 'CLOSE population');
  }

  async #page(): Promise<readonly DecidedChange[]> {
    const rows = await rowsOf<Row>(this.runner, `FETCH FORWARD ${PAGE} FROM population`);
    return rows.length === 0 ? [] : this.#whole(rows);
  }

  async #whole(rows: readonly Row[]): Promise<readonly DecidedChange[]> {
    const [commits, objects, approvals, exceptions, runs, duties, live] = [
      await this.#commits(rows),
      await this.#objects(rows),
      await this.#approvals(rows),
      await this.#exceptions(rows),
      await this.#runs(rows),
      await this.#duties(rows),
      await this.#live(rows),
    ];
    const whole: DecidedChange[] = [];
    for (const row of rows) {
      const { id, repository, environment, outcome, violations, required, excepted, target, namespace } = row;
      const index = Number(row.log_index);
      const touched = objects.get(row.change) ?? [];
      const isLive = row.approved_decision === id;
      whole.push({
        index,
        leafHash: row.leaf_hash.toString('hex'),
        id,
        repository,
        environment,
        target,
        namespace,
        outcome,
        violations,
        required,
        excepted,
        bundleDigest: row.bundle_digest,
        time: row.time,
        change: {
          operation: row.operation,
          ref: row.ref,
          base: row.base,
          head: row.head,
          tree: row.tree,
          renderedDigest: row.rendered_digest,
        },
        commits: idsOf(row).flatMap((commit) => commits.get(`${repository}\0${commit}`) ?? []),
        commitCount: idsOf(row, Infinity).length,
        objects: touched,
        objectChanges: row.object_changes,
        approvals: row.approvals.flatMap((approval) => approvals.get(approval) ?? []),
        exceptions: row.exceptions.flatMap((exception) => exceptions.get(exception) ?? []),
        run: runs.get(id) ?? null,
        duty: duties.get(id) ?? null,
        uids: live.get(index) ?? [],
        liveMatches: isLive && target !== null ? row.status === 'synced' : null,
        controls: await this.#controlsOf(row.bundle_digest, index),
      });
    }
    return whole;
  }

  async #commits(rows: readonly Row[]): Promise<Map<string, PopulationCommit>> {
    const found = new Map<string, PopulationCommit>();
    for (const [repository, here] of Map.groupBy(rows, (row) => row.repository)) {
      type Found = Omit<PopulationCommit, 'firstSeen'> & { first_seen: string };
      const commits = await rowsOf<Found>(
        this.runner,
        `SELECT id, author, committer, message, signature, jsonb_array_length(files) AS files, ${iso('first_seen')} FROM commit
         WHERE repository = $1 AND id = ANY($2)`,
        [repository, [...new Set(here.flatMap((row) => idsOf(row)))]],
      );
      for (const { first_seen, ...commit } of commits)
        found.set(`${repository}\0${commit.id}`, { ...commit, firstSeen: first_seen });
    }
    return found;
  }

  async #objects(rows: readonly Row[]): Promise<Map<string, { kind: string; namespace: string; name: string }[]>> {
    const found = await rowsOf<{ change: string; kind: string; namespace: string; name: string }>(
      this.runner,
      'SELECT change, kind, namespace, name FROM object_change WHERE change = ANY($1) AND position < $2 ORDER BY change, position',
      [rows.map((row) => row.change), MOST_OBJECTS],
    );
    const byChange = new Map<string, { kind: string; namespace: string; name: string }[]>();
    for (const { change, ...object } of found) {
      const known = byChange.get(change);
      if (known) known.push(object);
      else byChange.set(change, [object]);
    }
    return byChange;
  }

  async #approvals(rows: readonly Row[]): Promise<Map<string, DecidedChange['approvals'][number]>> {
    const ids = rows.flatMap((row) => row.approvals);
    if (ids.length === 0) return new Map();
    type Found = Omit<DecidedChange['approvals'][number], 'firstSeen'> & { id: string; first_seen: string };
    const found = await rowsOf<Found>(
      this.runner,
      `SELECT id, principal, person, key, via, ${iso('first_seen')} FROM approval WHERE id = ANY($1)`,
      [ids],
    );
    return new Map(found.map(({ id, first_seen, ...rest }) => [id, { ...rest, firstSeen: first_seen }]));
  }

  async #exceptions(rows: readonly Row[]): Promise<Map<string, DecidedChange['exceptions'][number]>> {
    const ids = rows.flatMap((row) => row.exceptions);
    if (ids.length === 0) return new Map();
    type Found = Omit<DecidedChange['exceptions'][number], 'expires'> & { expires: string | null };
    const found = await rowsOf<Found>(
      this.runner,
      `SELECT id, rule, ticket, ${iso('expires')} FROM exception WHERE id = ANY($1)`,
      [ids],
    );
    return new Map(found.map(({ expires, ...rest }) => [rest.id, { ...rest, expires }]));
  }

  async #runs(rows: readonly Row[]): Promise<Map<string, NonNullable<DecidedChange['run']>>> {
    type Found = { decision: string; id: string; outcome: NonNullable<DecidedChange['run']>['outcome']; finished_at: string | null }; // prettier-ignore
    const found = await rowsOf<Found>(
      this.runner,
      `SELECT DISTINCT ON (decision) decision, id, outcome, ${iso('finished_at')} FROM run WHERE decision = ANY($1)
       ORDER BY decision, (outcome = 'succeeded') DESC, CASE WHEN outcome = 'succeeded' THEN started_at END, started_at DESC`,
      [rows.map((row) => row.id)],
    );
    return new Map(
      found.map(({ decision, id, outcome, finished_at }) => [decision, { id, outcome, finishedAt: finished_at }]),
    );
  }

  async #duties(rows: readonly Row[]): Promise<Map<string, NonNullable<DecidedChange['duty']>>> {
    const ids = rows.flatMap((row) => (row.operation === 'break_glass' ? row.id : []));
    if (ids.length === 0) return new Map();
    type Found = { id: string; reason: string; ticket: string | null; due_at: string; closed_at: string | null; by: string | null }; // prettier-ignore
    const found = await rowsOf<Found>(
      this.runner,
      `SELECT duty.id, duty.reason, duty.ticket, ${iso('duty.due_at', 'due_at')}, ${iso('duty.closed_at', 'closed_at')}, coalesce(approval.person, approval.principal) AS by
       FROM review_duty AS duty LEFT JOIN approval ON approval.id = duty.approval WHERE duty.id = ANY($1)`,
      [ids],
    );
    return new Map(
      found.map(({ id, due_at, closed_at, ...rest }) => [id, { ...rest, dueAt: due_at, closedAt: closed_at }]),
    );
  }

  async #live(rows: readonly Row[]): Promise<Map<number, string[]>> {
    const found = await rowsOf<{ decision: string; uids: string[] }>(
      this.runner,
      'SELECT decision, array_agg(uid ORDER BY kind, namespace, name) AS uids FROM live_object WHERE decision = ANY($1) GROUP BY decision',
      [rows.map((row) => row.log_index)],
    );
    return new Map(found.map(({ decision, uids }) => [Number(decision), uids]));
  }

  /** What the rules of a bundle answer to, read once from what one of its decisions kept; empty where that was erased. */
  async #controlsOf(digest: string, index: number): Promise<readonly string[]> {
    const known = this.#controls.get(digest);
    if (known) return known;
    const controls = await this.#readControls(index);
    this.#controls.set(digest, controls);
    return controls;
  }

  async #readControls(index: number): Promise<readonly string[]> {
    try {
      const policy = await contentOfEntry(this.runner.manager, index, 'policy');
      const { rules } = JSON.parse(policy.toString('utf8')) as Pick<PolicyBundle, 'rules'>;
      return [...new Set(rules.flatMap((rule) => rule.controls))].toSorted();
    } catch (thrown) {
      if (toCountersignError(thrown).code === 'content-missing') return [];
      throw thrown;
    }
  }
}

/** The head first. */
const idsOf = ({ head, commits }: Row, most = MOST_COMMITS): readonly string[] =>
  [head, ...commits.filter((id) => id !== head)].slice(0, most);
