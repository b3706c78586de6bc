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

/** RFC 3339, UTC, made by the database: where little is asked for. */
const iso = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
/** A list of JSON; null for an empty one, which most of them are: a text less to make, to send and to read. */
const some = (column: string): string => `CASE WHEN ${column} <> '[]' THEN ${column} END`;

/** In the order of the names in `Columns`. Most changes bring one commit, which comes along; the others of more are asked for apart. */
const DECISIONS = `SELECT decision.id, decision.log_index, log_entry.leaf_hash, decision.repository, decision.environment, decision.outcome,
    ${['violations', 'required', 'excepted', 'exceptions', 'approvals'].map((list) => some(`decision.${list}`)).join(', ')},
    decision.bundle_digest, decision.time, decision.change, change.operation, change.ref, change.base, change.head, change.tree,
    CASE WHEN jsonb_array_length(change.commits) <> 1 OR change.commits ->> 0 <> change.head THEN change.commits END,
    change.object_changes, change.rendered_digest, environment.target, environment.namespace, environment.status, environment.approved_decision,
    commit.author ->> 'name', commit.author ->> 'email', commit.committer ->> 'time', commit.message, commit.signature ->> 'status',
    commit.signature ->> 'principal', commit.signature ->> 'person', commit.signature ->> 'key', jsonb_array_length(commit.files), commit.first_seen
  FROM decision JOIN log_entry USING (log_index) JOIN change ON change.id = decision.change
  LEFT JOIN environment ON environment.repository = decision.repository AND environment.name = decision.environment
  LEFT JOIN commit ON commit.repository = decision.repository AND commit.id = change.head
  WHERE ${WITHIN} ORDER BY decision.log_index`;
type Columns = readonly [
  id: string,
  index: string,
  leafHash: string,
  repository: string,
  environment: string,
  outcome: DecidedChange['outcome'],
  violations: string | null,
  required: string | null,
  excepted: string | null,
  exceptions: string | null,
  approvals: string | null,
  bundleDigest: string,
  time: string,
  change: string,
  operation: DecidedChange['change']['operation'],
  ref: string,
  base: string | null,
  head: string,
  tree: string,
  commits: string | null,
  objectChanges: string,
  renderedDigest: string,
  target: string | null,
  namespace: string | null,
  status: string | null,
  approvedDecision: string | null,
  ...commit: CommitColumns,
];
/** All null where the commit is not known. */
type CommitColumns = readonly [author: string, email: string, committed: string, message: string, status: PopulationCommit['signature']['status'], principal: string | null, person: string | null, key: string | null, files: string, firstSeen: string]; // prettier-ignore

const COMMITS = `SELECT repository, id, author ->> 'name', author ->> 'email', committer ->> 'time', message, signature ->> 'status', signature ->> 'principal',
    signature ->> 'person', signature ->> 'key', jsonb_array_length(files), first_seen
  FROM unnest($1::text[], $2::text[]) AS made (repository, id) JOIN commit USING (repository, id)`;

const OBJECTS = `SELECT change, position, kind || CASE namespace WHEN '' THEN ' ' ELSE ' ' || namespace || '/' END || name FROM object_change
  WHERE change = ANY($1) AND position < ${MOST_OBJECTS}`;

const APPROVALS = `SELECT id, principal, person, key, via, first_seen FROM approval WHERE id = ANY($1)`;
type Approval = DecidedChange['approvals'][number];
type ApprovalColumns = readonly [id: string, principal: string | null, person: string | null, key: string | null, via: Approval['via'], firstSeen: string]; // prettier-ignore

const EXCEPTIONS = `SELECT id, rule, ticket, ${iso('expires')} FROM exception WHERE id = ANY($1)`;
type ExceptionColumns = readonly [id: string, rule: string | null, ticket: string | null, expires: string | null];

/** Of each decision the one that counts comes first. */
const RUNS = `SELECT DISTINCT ON (decision) decision, id, outcome, finished_at FROM run WHERE decision = ANY($1)
  ORDER BY decision, (outcome = 'succeeded') DESC, CASE WHEN outcome = 'succeeded' THEN started_at END, started_at DESC`;
type Run = NonNullable<DecidedChange['run']>;
type RunColumns = readonly [decision: string, id: string, outcome: Run['outcome'], finishedAt: string | null];

const DUTIES = `SELECT duty.id, duty.reason, duty.ticket, ${iso('duty.due_at')}, ${iso('duty.closed_at')}, coalesce(approval.person, approval.principal)
  FROM review_duty AS duty LEFT JOIN approval ON approval.id = duty.approval WHERE duty.id = ANY($1)`;
type DutyColumns = readonly [id: string, reason: string, ticket: string | null, dueAt: string, closedAt: string | null, by: string | null]; // prettier-ignore

const LIVE = `SELECT decision, uid FROM live_object WHERE decision = ANY($1) ORDER BY decision, kind, namespace, name`;

/** As the database wrote it. */
const asText: CustomTypesConfig = { getTypeParser: () => (text: string) => text };
const none: readonly never[] = [];
const list = (text: string | null): readonly never[] => (text === null ? none : (JSON.parse(text) as never[]));

/** RFC 3339 of what PostgreSQL writes as `2026-07-01 08:05:00.12+00`, in its own time zone UTC: its own words for it take it longer. */
function instant(text: string): string {
  const fraction = text.length > 22 ? text.slice(20, -3).padEnd(3, '0') : '000';
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z`;
}

/** Reads pages of a population on a connection, whose transaction gives them all the same snapshot and has the time zone UTC. */
export class PopulationReader {
  private constructor(
    private readonly client: Client,
    private readonly controls: KnownControls,
    private readonly chosen: readonly unknown[],
  ) {}

  static async on(runner: QueryRunner, controls: KnownControls, chosen: readonly unknown[]): Promise<PopulationReader> {
    return new PopulationReader((await runner.connect()) as Client, controls, chosen);
  }

  /**
   * Decisions from one index of the log to another, `to` not included, in its order. One at a time. Each is put together when it is its turn: what most of
   * the time went to was moving the young ones that wait, again and again.
   */
  async page(from: number, to: number): Promise<Iterable<DecidedChange>> {
    const found = await this.#rows<Columns>('decisions', DECISIONS, [from, to, ...this.chosen]);
    const rows = found.map((columns) => new Row(columns));
    const belonging: Belonging = {
      commits: await this.#otherCommits(rows),
      objects: await this.#objects(rows),
      approvals: await this.#approvals(rows),
      exceptions: await this.#exceptions(rows),
      runs: await this.#runs(rows),
      duties: await this.#duties(rows),
      uids: await this.#uids(rows),
      controls: await this.controls.of(rows),
    };
    return {
      *[Symbol.iterator]() {
        for (const row of rows) yield decidedChange(row, belonging);
      },
    };
  }

  /** By repository and id, without those that came along. */
  async #otherCommits(rows: readonly Row[]): Promise<ReadonlyMap<string, ReadonlyMap<string, PopulationCommit>>> {
    const asked = new Map<string, Set<string>>();
    for (const { columns, others } of rows) {
      if (others.length === 0) continue;
      const here = asked.get(columns[3]) ?? new Set();
      asked.set(columns[3], here);
      for (const id of others) here.add(id);
    }
    const pairs = [...asked].flatMap(([repository, ids]) => [...ids].map((id) => [repository, id] as const));
    if (pairs.length === 0) return new Map();
    const found = await this.#rows<readonly [repository: string, id: string, ...CommitColumns]>('commits', COMMITS, [
      pairs.map(([repository]) => repository),
      pairs.map(([, id]) => id),
    ]);
    const byRepository = new Map(
      [...asked.keys()].map((repository) => [repository, new Map<string, PopulationCommit>()]),
    );
    for (const [repository, id, ...columns] of found) byRepository.get(repository)?.set(id, commitOf(id, columns));
    return byRepository;
  }

  async #objects(rows: readonly Row[]): Promise<ReadonlyMap<string, string[]>> {
    const changes = rows.map(({ columns }) => columns[13]);
    const found = await this.#rows<readonly [change: string, position: string, object: string]>('objects', OBJECTS, [changes]); // prettier-ignore
    const byChange = new Map<string, string[]>();
    // Put in its place, whenever it comes: a thing less to sort for the database.
    for (const [change, position, object] of found) {
      const objects = byChange.get(change);
      if (objects) objects[Number(position)] = object;
      else byChange.set(change, placed(Number(position), object));
    }
    return byChange;
  }

  async #approvals(rows: readonly Row[]): Promise<ReadonlyMap<string, Approval>> {
    const ids = rows.flatMap(({ approvals }) => approvals);
    const found = ids.length === 0 ? none : await this.#rows<ApprovalColumns>('approvals', APPROVALS, [ids]);
    return new Map(
      found.map(([id, principal, person, key, via, firstSeen]) => [
        id,
        { principal, person, key, via, firstSeen: instant(firstSeen) },
      ]),
    );
  }

  async #exceptions(rows: readonly Row[]): Promise<ReadonlyMap<string, DecidedChange['exceptions'][number]>> {
    const ids = rows.flatMap(({ exceptions }) => exceptions);
    const found = ids.length === 0 ? none : await this.#rows<ExceptionColumns>('exceptions', EXCEPTIONS, [ids]);
    return new Map(found.map(([id, rule, ticket, expires]) => [id, { id, rule, ticket, expires }]));
  }

  async #runs(rows: readonly Row[]): Promise<ReadonlyMap<string, Run>> {
    const found = await this.#rows<RunColumns>('runs', RUNS, [rows.map(({ columns }) => columns[0])]);
    return new Map(
      found.map(([decision, id, outcome, finishedAt]) => [
        decision,
        { id, outcome, finishedAt: finishedAt === null ? null : instant(finishedAt) },
      ]),
    );
  }

  async #duties(rows: readonly Row[]): Promise<ReadonlyMap<string, NonNullable<DecidedChange['duty']>>> {
    const ids = rows.flatMap(({ columns }) => (columns[14] === 'break_glass' ? columns[0] : none));
    const found = ids.length === 0 ? none : await this.#rows<DutyColumns>('duties', DUTIES, [ids]);
    return new Map(
      found.map(([id, reason, ticket, dueAt, closedAt, by]) => [id, { reason, ticket, dueAt, closedAt, by }]),
    );
  }

  async #uids(rows: readonly Row[]): Promise<ReadonlyMap<string, string[]>> {
    const indexes = rows.map(({ index }) => index);
    const found = await this.#rows<readonly [decision: string, uid: string]>('live', LIVE, [indexes]);
    const byDecision = new Map<string, string[]>();
    for (const [decision, uid] of found) {
      const uids = byDecision.get(decision);
      if (uids) uids.push(uid);
      else byDecision.set(decision, [uid]);
    }
    return byDecision;
  }

  /** Planned once a connection. */
  async #rows<T extends readonly unknown[]>(name: string, text: string, values: readonly unknown[]): Promise<T[]> {
    try {
      const query = { name: `population ${name}`, text, values: [...values], rowMode: 'array' as const, types: asText };
      return (await this.client.query(query)).rows as unknown as T[];
    } catch (thrown) {
      throw databaseFault(thrown);
    }
  }
}

/** What a page brings along, by what its rows name. */
interface Belonging {
  readonly commits: ReadonlyMap<string, ReadonlyMap<string, PopulationCommit>>;
  readonly objects: ReadonlyMap<string, readonly string[]>;
  readonly approvals: ReadonlyMap<string, Approval>;
  readonly exceptions: ReadonlyMap<string, DecidedChange['exceptions'][number]>;
  readonly runs: ReadonlyMap<string, Run>;
  readonly duties: ReadonlyMap<string, NonNullable<DecidedChange['duty']>>;
  readonly uids: ReadonlyMap<string, readonly string[]>;
  readonly controls: ReadonlyMap<string, readonly string[]>;
}

function decidedChange(row: Row, belonging: Belonging): DecidedChange {
  const [id, index, leafHash, repository, environment, outcome, violations, required, excepted, , , bundleDigest, time, change, operation, ref, base, head, tree, , objectChanges, renderedDigest, target, namespace, status, approvedDecision, ...commit] = row.columns; // prettier-ignore
  const headCommit = commit[9] === null ? none : [commitOf(head, commit)];
  return {
    index: row.index,
    // Written as \\x and hexadecimal.
    leafHash: leafHash.slice(2),
    id,
    repository,
    environment,
    target,
    namespace,
    outcome,
    violations: list(violations),
    required: list(required),
    excepted: list(excepted),
    bundleDigest,
    time: instant(time),
    change: { operation, ref, base, head, tree, renderedDigest },
    commits: row.others.length === 0 ? headCommit : [...headCommit, ...known(row.others, belonging.commits.get(repository))], // prettier-ignore
    commitCount: row.commitCount,
    objects: belonging.objects.get(change) ?? none,
    objectChanges: Number(objectChanges),
    approvals: known(row.approvals, belonging.approvals),
    exceptions: known(row.exceptions, belonging.exceptions),
    run: belonging.runs.get(id) ?? null,
    duty: belonging.duties.get(id) ?? null,
    uids: belonging.uids.get(index) ?? none,
    liveMatches: approvedDecision === id && target !== null ? status === 'synced' : null,
    controls: belonging.controls.get(bundleDigest) ?? none,
  };
}

class Row {
  readonly index: number;
  /** Ids of the commits that it brings beside the head. */
  readonly others: readonly string[];
  readonly commitCount: number;
  readonly approvals: readonly string[];
  readonly exceptions: readonly string[];

  constructor(readonly columns: Columns) {
    const [, index, , , , , , , , exceptions, approvals, , , , , , , head, , commits] = columns;
    this.index = Number(index);
    const others = commits === null ? none : list(commits).filter((id: string) => id !== head);
    this.commitCount = 1 + others.length;
    this.others = others.length < MOST_COMMITS ? others : others.slice(0, MOST_COMMITS - 1);
    this.approvals = list(approvals);
    this.exceptions = list(exceptions);
  }
}

function commitOf(id: string, columns: CommitColumns): PopulationCommit {
  const [name, email, time, message, status, principal, person, key, files, firstSeen] = columns;
  return {
    id,
    author: { name, email },
    committer: { time },
    message,
    signature: { status, principal: principal ?? undefined, person: person ?? undefined, key: key ?? undefined },
    files: Number(files),
    firstSeen: instant(firstSeen),
  };
}

function placed(position: number, object: string): string[] {
  const objects: string[] = [];
  objects[position] = object;
  return objects;
}

/** Those of a row that are known. */
function known<T>(ids: readonly string[], among: ReadonlyMap<string, T> | undefined): readonly T[] {
  if (ids.length === 0) return none;
  const found: T[] = [];
  for (const id of ids) {
    const one = among?.get(id);
    if (one !== undefined) found.push(one);
  }
  return found;
}

/** What the rules of a bundle answer to, read once from what one of its decisions kept; empty where that was erased. */
export class KnownControls {
  readonly #known = new Map<string, readonly string[]>();

  constructor(private readonly runner: QueryRunner) {}

  /** By the digest of the bundle. */
  async of(rows: readonly Row[]): Promise<ReadonlyMap<string, readonly string[]>> {
    for (const { columns, index } of rows) {
      const digest = columns[11];
      if (!this.#known.has(digest)) this.#known.set(digest, await this.#read(index));
    }
    return this.#known;
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
