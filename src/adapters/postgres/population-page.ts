import type { Client, CustomTypesConfig } from 'pg';
import type { QueryRunner } from 'typeorm';
import { toCountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';
import type { DecidedChange, PopulationCommit } from '../../report/population.js';
import { contentOfEntry } from './content-store.js';
import { databaseFault } from './faults.js';

/** Of one change; a longer list says how many more there are. */
const MOST_OBJECTS = 200;
const MOST_COMMITS = 1_000;

/** Decisions from one index of the log to another that a query chooses. */
export const WITHIN = `decision.log_index >= $1 AND decision.log_index < $2 AND ($3::text IS NULL OR decision.repository = $3)
  AND ($4::text IS NULL OR decision.environment = $4) AND ($5::text IS NULL OR decision.outcome = $5)
  AND ($6::timestamptz IS NULL OR decision.time >= $6) AND ($7::timestamptz IS NULL OR decision.time < $7)`;

/** RFC 3339, UTC, made by the database: a date less to take apart for each of a million rows. */
const iso = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** In the order of the names in `Row`. */
const DECISIONS = `SELECT decision.id, decision.log_index, encode(log_entry.leaf_hash, 'hex'), decision.repository, decision.environment,
    decision.outcome, decision.violations, decision.required, decision.excepted, decision.exceptions, decision.approvals, decision.bundle_digest,
    ${iso('decision.time')}, decision.change, change.operation, change.ref, change.base, change.head, change.tree, change.commits,
    change.object_changes, change.rendered_digest, environment.target, environment.namespace, environment.status, environment.approved_decision
  FROM decision JOIN log_entry USING (log_index) JOIN change ON change.id = decision.change
  LEFT JOIN environment ON environment.repository = decision.repository AND environment.name = decision.environment
  WHERE ${WITHIN} ORDER BY decision.log_index`;
type Columns = readonly [
  id: string,
  index: string,
  leafHash: string,
  repository: string,
  environment: string,
  outcome: string,
  violations: string,
  required: string,
  excepted: string,
  exceptions: string,
  approvals: string,
  bundleDigest: string,
  time: string,
  change: string,
  operation: string,
  ref: string,
  base: string | null,
  head: string,
  tree: string,
  commits: string,
  objectChanges: string,
  renderedDigest: string,
  target: string | null,
  namespace: string | null,
  status: string | null,
  approvedDecision: string | null,
];

/** Each answers one JSON array: a value less to find and to make for each thing of each row. */
const COMMITS = `SELECT json_agg(json_build_array(repository, id, author, committer, message, signature, jsonb_array_length(files), ${iso('first_seen')}))
  FROM unnest($1::text[], $2::text[]) AS made (repository, id) JOIN commit USING (repository, id)`;
type CommitColumns = [repository: string, id: string, author: PopulationCommit['author'], committer: PopulationCommit['committer'], message: string, signature: PopulationCommit['signature'], files: number, firstSeen: string]; // prettier-ignore

const OBJECTS = `SELECT json_agg(json_build_array(change, kind, namespace, name)) FROM (SELECT change, kind, namespace, name FROM object_change
  WHERE change = ANY($1) AND position < ${MOST_OBJECTS} ORDER BY change, position) AS touched`;
type ObjectColumns = [change: string, kind: string, namespace: string, name: string];

const APPROVALS = `SELECT json_agg(json_build_array(id, principal, person, key, via, ${iso('first_seen')})) FROM approval WHERE id = ANY($1)`;
type Approval = DecidedChange['approvals'][number];
type ApprovalColumns = [id: string, principal: string | null, person: string | null, key: string | null, via: Approval['via'], firstSeen: string]; // prettier-ignore

const EXCEPTIONS = `SELECT json_agg(json_build_array(id, rule, ticket, ${iso('expires')})) FROM exception WHERE id = ANY($1)`;
type ExceptionColumns = [id: string, rule: string | null, ticket: string | null, expires: string | null];

const RUNS = `SELECT json_agg(json_build_array(decision, id, outcome, ${iso('finished_at')})) FROM (
    SELECT DISTINCT ON (decision) decision, id, outcome, finished_at FROM run WHERE decision = ANY($1)
    ORDER BY decision, (outcome = 'succeeded') DESC, CASE WHEN outcome = 'succeeded' THEN started_at END, started_at DESC) AS one`;
type Run = NonNullable<DecidedChange['run']>;
type RunColumns = [decision: string, id: string, outcome: Run['outcome'], finishedAt: string | null];

const DUTIES = `SELECT json_agg(json_build_array(duty.id, duty.reason, duty.ticket, ${iso('duty.due_at')}, ${iso('duty.closed_at')},
    coalesce(approval.person, approval.principal))) FROM review_duty AS duty LEFT JOIN approval ON approval.id = duty.approval WHERE duty.id = ANY($1)`;
type DutyColumns = [id: string, reason: string, ticket: string | null, dueAt: string, closedAt: string | null, by: string | null]; // prettier-ignore

const LIVE = `SELECT json_agg(json_build_array(decision, uids)) FROM (SELECT decision, array_agg(uid ORDER BY kind, namespace, name) AS uids
    FROM live_object WHERE decision = ANY($1) GROUP BY decision) AS left_so`;
type LiveColumns = [decision: number, uids: string[]];

/** As the database wrote it. */
const asText: CustomTypesConfig = { getTypeParser: () => (text: string) => text };
const none: readonly never[] = [];
const list = (text: string): readonly never[] => (text === '[]' ? none : (JSON.parse(text) as never[]));

/** Reads pages of a population on a connection, whose transaction gives them all the same snapshot. */
export class PopulationReader {
  private constructor(
    private readonly client: Client,
    private readonly controls: KnownControls,
    private readonly chosen: readonly unknown[],
  ) {}

  static async on(runner: QueryRunner, controls: KnownControls, chosen: readonly unknown[]): Promise<PopulationReader> {
    return new PopulationReader((await runner.connect()) as Client, controls, chosen);
  }

  /** Decisions from one index of the log to another, `to` not included, in its order. One at a time. */
  async page(from: number, to: number): Promise<readonly DecidedChange[]> {
    const rows = (await this.#rows('decisions', DECISIONS, [from, to, ...this.chosen])).map(
      (columns) => new Row(columns as unknown as Columns),
    );
    const [commits, objects, approvals, exceptions, runs, duties, uids] = [
      await this.#commits(rows),
      await this.#objects(rows),
      await this.#approvals(rows),
      await this.#exceptions(rows),
      await this.#runs(rows),
      await this.#duties(rows),
      await this.#uids(rows),
    ];
    const page: DecidedChange[] = [];
    for (const row of rows) {
      const { columns, ids, index } = row;
      const [id, , leafHash, repository, environment, outcome, violations, required, , , , bundleDigest, time, change, operation, ref, base, head, tree, , objectChanges, renderedDigest, target, namespace, status, approvedDecision] = columns; // prettier-ignore
      const made = commits.get(repository);
      page.push({
        index,
        leafHash,
        id,
        repository,
        environment,
        target,
        namespace,
        outcome: outcome as DecidedChange['outcome'],
        violations: list(violations),
        required: list(required),
        excepted: row.excepted,
        bundleDigest,
        time,
        change: { operation: operation as DecidedChange['change']['operation'], ref, base, head, tree, renderedDigest },
        commits: known(ids, made),
        commitCount: row.commitCount,
        objects: objects.get(change) ?? none,
        objectChanges: Number(objectChanges),
        approvals: known(row.approvals, approvals),
        exceptions: known(row.exceptions, exceptions),
        run: runs.get(id) ?? null,
        duty: duties.get(id) ?? null,
        uids: uids.get(index) ?? none,
        liveMatches: approvedDecision === id && target !== null ? status === 'synced' : null,
        controls: await this.controls.of(bundleDigest, index),
      });
    }
    return page;
  }

  async #commits(rows: readonly Row[]): Promise<Map<string, Map<string, PopulationCommit>>> {
    const byRepository = new Map<string, Map<string, PopulationCommit>>();
    const [repositories, ids]: [string[], string[]] = [[], []];
    const asked = new Map<string, Set<string>>();
    for (const { columns, ids: made } of rows) {
      const repository = columns[3];
      let here = asked.get(repository);
      if (!here) asked.set(repository, (here = new Set()));
      for (const id of made) {
        if (here.has(id)) continue;
        here.add(id);
        repositories.push(repository);
        ids.push(id);
      }
    }
    const found = await this.#json<CommitColumns>('commits', COMMITS, [repositories, ids]);
    for (const [repository, id, author, committer, message, signature, files, firstSeen] of found) {
      let here = byRepository.get(repository);
      if (!here) byRepository.set(repository, (here = new Map()));
      here.set(id, { id, author, committer, message, signature, files, firstSeen });
    }
    return byRepository;
  }

  async #objects(rows: readonly Row[]): Promise<Map<string, DecidedChange['objects'][number][]>> {
    const changes = rows.map(({ columns }) => columns[13]);
    const byChange = new Map<string, DecidedChange['objects'][number][]>();
    for (const [change, kind, namespace, name] of await this.#json<ObjectColumns>('objects', OBJECTS, [changes])) {
      const touched = byChange.get(change);
      if (touched) touched.push({ kind, namespace, name });
      else byChange.set(change, [{ kind, namespace, name }]);
    }
    return byChange;
  }

  async #approvals(rows: readonly Row[]): Promise<Map<string, Approval>> {
    const ids = rows.flatMap(({ approvals }) => approvals);
    const found = await this.#json<ApprovalColumns>('approvals', APPROVALS, [ids], ids.length);
    return new Map(
      found.map(([id, principal, person, key, via, firstSeen]) => [id, { principal, person, key, via, firstSeen }]),
    );
  }

  async #exceptions(rows: readonly Row[]): Promise<Map<string, DecidedChange['exceptions'][number]>> {
    const ids = rows.flatMap(({ exceptions }) => exceptions);
    const found = await this.#json<ExceptionColumns>('exceptions', EXCEPTIONS, [ids], ids.length);
    return new Map(found.map(([id, rule, ticket, expires]) => [id, { id, rule, ticket, expires }]));
  }

  async #runs(rows: readonly Row[]): Promise<Map<string, Run>> {
    const found = await this.#json<RunColumns>('runs', RUNS, [rows.map(({ columns }) => columns[0])]);
    return new Map(found.map(([decision, id, outcome, finishedAt]) => [decision, { id, outcome, finishedAt }]));
  }

  async #duties(rows: readonly Row[]): Promise<Map<string, NonNullable<DecidedChange['duty']>>> {
    const ids = rows.flatMap(({ columns }) => (columns[14] === 'break_glass' ? columns[0] : none));
    const found = await this.#json<DutyColumns>('duties', DUTIES, [ids], ids.length);
    return new Map(
      found.map(([id, reason, ticket, dueAt, closedAt, by]) => [id, { reason, ticket, dueAt, closedAt, by }]),
    );
  }

  async #uids(rows: readonly Row[]): Promise<Map<number, string[]>> {
    return new Map(await this.#json<LiveColumns>('live', LIVE, [rows.map(({ index }) => index)]));
  }

  async #json<T>(name: string, text: string, values: readonly unknown[], asked = 1): Promise<readonly T[]> {
    if (asked === 0) return none;
    const [[found]] = await this.#rows(name, text, values);
    return found === null ? none : (JSON.parse(found) as T[]);
  }

  /** Planned once a connection. */
  async #rows(name: string, text: string, values: readonly unknown[]): Promise<(string | null)[][]> {
    try {
      const query = { name: `population ${name}`, text, values: [...values], rowMode: 'array' as const, types: asText };
      return (await this.client.query<(string | null)[]>(query)).rows;
    } catch (thrown) {
      throw databaseFault(thrown);
    }
  }
}

class Row {
  readonly index: number;
  /** Of its commits, the head first. */
  readonly ids: readonly string[];
  readonly commitCount: number;
  readonly approvals: readonly string[];
  readonly exceptions: readonly string[];
  readonly excepted: DecidedChange['excepted'];

  constructor(readonly columns: Columns) {
    const [, index, , , , , , , excepted, exceptions, approvals, , , , , , , head, , commits] = columns;
    this.index = Number(index);
    const ids = [head, ...list(commits).filter((id: string) => id !== head)];
    this.commitCount = ids.length;
    this.ids = ids.slice(0, MOST_COMMITS);
    this.approvals = list(approvals);
    this.exceptions = list(exceptions);
    this.excepted = list(excepted);
  }
}

/** Those of a row that are known. */
function known<T>(ids: readonly string[], among: ReadonlyMap<string, T> | undefined): readonly T[] {
  const found: T[] = [];
  for (const id of ids) {
    const one = among?.get(id);
    if (one !== undefined) found.push(one);
  }
  return found;
}

/** What the rules of a bundle answer to, read once from what one of its decisions kept; empty where that was erased. */
export class KnownControls {
  readonly #known = new Map<string, readonly string[] | Promise<readonly string[]>>();

  constructor(private readonly runner: QueryRunner) {}

  async of(digest: string, index: number): Promise<readonly string[]> {
    let controls = this.#known.get(digest);
    if (controls === undefined) {
      controls = this.#read(index);
      this.#known.set(digest, controls);
      // A value that is there costs no turn of the queue for each of a million rows.
      this.#known.set(digest, await controls);
    }
    return controls;
  }

  async #read(index: number): Promise<readonly string[]> {
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
