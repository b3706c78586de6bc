import { Brackets, type DataSource, type EntityTarget, type SelectQueryBuilder } from 'typeorm';
import type { ObjectLiteral } from 'typeorm';
import {
  listOrder,
  type AnyOf,
  type EntryRange,
  type Filters,
  type ListName,
  type ObjectMatch,
  type Page,
  type PageRequest,
  type Position,
  type ExceptionUses,
  type Queries,
  type Totals,
} from '../../report/queries.js';
import type { Reach } from '../../audit/reach.js';
import type { Tables } from '../../review/records.js';
import { databaseFault } from './faults.js';
import { Places, type KnownPlaces } from './places.js';
import { schemas } from './schemas.js';

/** A condition, and the parameters it names. */
type Condition = readonly [sql: string, parameters?: ObjectLiteral];
type Conditions<K extends ListName> = {
  readonly [F in keyof Required<Filters[K]>]: (value: NonNullable<Filters[K][F]>) => Condition;
};

const equal =
  (column: string) =>
  (value: string): Condition => [`row.${column} = :${column}`, { [column]: value }];
const oneOf =
  (column: string) =>
  (values: readonly string[]): Condition => [`row.${column} = ANY(:${column})`, { [column]: values }];
const period = (column: string) => ({
  from: (value: string): Condition => [`row.${column} >= CAST(:from AS timestamptz)`, { from: value }],
  to: (value: string): Condition => [`row.${column} < CAST(:to AS timestamptz)`, { to: value }],
});
const holds =
  (column: string) =>
  (value: string): Condition => [`row.${column} @> CAST(:${column} AS jsonb)`, { [column]: JSON.stringify([value]) }];
const environment = { repository: equal('repository'), environment: equal('environment') };
const object = { group: equal('group'), kind: equal('kind'), namespace: equal('namespace'), name: equal('name') };

/** The rules that denied, as an index has them. */
export const rulesOf = (row: string): string => `jsonb_path_query_array(${row}.violations, '$[*].rule')`;

const conditions: { readonly [K in ListName]: Conditions<K> } = {
  environment: { repository: equal('repository'), status: oneOf('status'), target: equal('target') },
  push: { ...period('time'), repository: equal('repository'), ref: equal('ref'), kind: oneOf('kind') },
  commit: {
    ...period('firstSeen'),
    repository: equal('repository'),
    signature: (statuses) => [`row.signature ->> 'status' = ANY(:statuses)`, { statuses }],
    signer: (signer) => [`row.signature ->> 'principal' = :signer`, { signer }],
  },
  change: { ...period('time'), ...environment, object: touches('row.id') },
  decision: {
    ...period('time'),
    ...environment,
    outcome: oneOf('outcome'),
    operation: (operations) => [
      'EXISTS (SELECT 1 FROM change judged WHERE judged.id = row.change AND judged.operation = ANY(:operations))',
      { operations },
    ],
    rule: (rule) => [`${rulesOf('row')} @> CAST(:rule AS jsonb)`, { rule: JSON.stringify([rule]) }], // prettier-ignore
    control: holds('controls'),
    team: holds('teams'),
    ticket: holds('tickets'),
    signer: holds('signers'),
    approver: holds('approvers'),
    approved: (approved) => [`row.approvers ${approved ? '<>' : '='} '[]'`],
    selfApproved: (own) => [own ? 'row.selfApproved' : 'NOT row.selfApproved'],
    object: touches('row.change'),
  },
  liveObject: { ...environment, ...object, health: oneOf('health') },
  run: { ...period('startedAt'), ...environment, outcome: oneOf('outcome') },
  drift: {
    ...period('detectedAt'),
    ...environment,
    ...object,
    corrected: (corrected) => [`row.correctedAt IS ${corrected ? 'NOT ' : ''}NULL`],
  },
  fault: { ...period('time'), ...environment, code: (code) => [`row.trouble ->> 'code' = :code`, { code }] },
  approval: { ...period('firstSeen'), ...environment, head: equal('head'), status: oneOf('status') },
  exception: {
    ...period('firstSeen'),
    repository: equal('repository'),
    rule: equal('rule'),
    status: oneOf('status'),
    expired: (expired) => [`(row.expires <= now()) = :expired`, { expired }],
    environment: (name) => [`row.scope ->> 'environment' = :name`, { name }],
    owner: equal('owner'),
    principal: equal('principal'),
    // Accepted says what is so today; the spans, what was so then.
    inForceAt: (at) => [
      `row.expires > :at AND EXISTS (SELECT 1 FROM jsonb_array_elements(row.counted) AS span
         WHERE CAST(span ->> 'from' AS timestamptz) <= :at AND coalesce(CAST(span ->> 'to' AS timestamptz) > :at, true))`,
      { at },
    ],
  },
  advice: {
    ...period('time'),
    ...environment,
    number: (number) => ['row.number = :number', { number }],
    head: equal('head'),
    outcome: oneOf('outcome'),
    open: (open) => [`row.endedAt IS ${open ? '' : 'NOT '}NULL`],
  },
  reviewDuty: {
    ...period('openedAt'),
    ...environment,
    open: (open) => [`row.closedAt IS ${open ? '' : 'NOT '}NULL`],
    // Late counts, whether it was made good since or not.
    expired: (expired) => [`(coalesce(row.closedAt, now()) > row.dueAt) = :expired`, { expired }],
  },
};

function touches(change: string): (match: ObjectMatch) => Condition {
  const columns = { group: 'api_group', kind: 'kind', namespace: 'namespace', name: 'name' } as const;
  return (match) => {
    const given = (Object.keys(columns) as (keyof typeof columns)[]).filter((key) => match[key] !== undefined);
    const where = given.map((key) => ` AND touched.${columns[key]} = :object_${key}`).join('');
    return [
      `EXISTS (SELECT 1 FROM object_change touched WHERE touched.change = ${change}${where})`,
      Object.fromEntries(given.map((key) => [`object_${key}`, match[key]])),
    ];
  };
}

/** Which columns say where a row belongs; null for what is only reached from a row that says it. */
const placeOf: {
  readonly [K in keyof Tables]: { readonly repository: string; readonly environment?: string } | null;
} = {
  repository: { repository: 'name' },
  tip: { repository: 'repository' },
  push: { repository: 'repository' },
  commit: { repository: 'repository' },
  environment: { repository: 'repository', environment: 'name' },
  return: { repository: 'repository', environment: 'environment' },
  change: { repository: 'repository', environment: 'environment' },
  objectChange: null,
  decision: { repository: 'repository', environment: 'environment' },
  run: { repository: 'repository', environment: 'environment' },
  drift: { repository: 'repository', environment: 'environment' },
  liveObject: { repository: 'repository', environment: 'environment' },
  fault: { repository: 'repository', environment: 'environment' },
  advice: { repository: 'repository', environment: 'environment' },
  approval: { repository: 'repository', environment: 'environment' },
  exception: { repository: 'repository' },
  reviewDuty: { repository: 'repository', environment: 'environment' },
  protection: { repository: 'repository' },
};

/** src/report/queries.ts on PostgreSQL: keyset pages, every value a parameter. */
export class PostgresQueries implements Queries {
  readonly #places: Places;

  constructor(
    private readonly dataSource: DataSource,
    private readonly reach: Reach | null = null,
    places?: Places,
  ) {
    this.#places = places ?? new Places(dataSource);
  }

  within(reach: Reach): PostgresQueries {
    return reach.everywhere ? this : new PostgresQueries(this.dataSource, reach, this.#places);
  }

  async list<K extends ListName>(list: K, filter: Filters[K], page: PageRequest): Promise<Page<Tables[K]>> {
    const query = await this.#filtered(list, filter);
    for (const { column, newestFirst } of listOrder[list])
      query.addOrderBy(`row.${column}`, newestFirst ? 'DESC' : 'ASC');
    if (page.after) query.andWhere(...beyond(list, page.after));
    const rows = await available(query.limit(page.first + 1).getMany());
    return { rows: rows.slice(0, page.first), hasNext: rows.length > page.first };
  }

  async count<K extends ListName>(list: K, filter: Filters[K]): Promise<number> {
    return await available((await this.#filtered(list, filter)).getCount());
  }

  /** As SQL, how many rows match under each `key` (SQL over `row`): both, `key` and `n`. */
  async counted<K extends ListName>(
    list: K,
    key: string,
    filter: Filters[K],
  ): Promise<[sql: string, parameters: unknown[]]> {
    return (await this.#filtered(list, filter))
      .select(key, 'key')
      .addSelect('count(*)', 'n')
      .groupBy('1')
      .getQueryAndParameters() as [string, unknown[]];
  }

  async anyOf<K extends keyof Tables>(table: K, columns: AnyOf<Tables[K]>): Promise<readonly Tables[K][]> {
    const query = await this.#rows(table);
    for (const [column, values] of Object.entries(columns) as [string, readonly unknown[]][]) {
      const known = values.filter((value) => value !== null);
      query.andWhere(
        new Brackets((either) => {
          either.where(`row.${column} = ANY(:${column})`, { [column]: known });
          if (known.length < values.length) either.orWhere(`row.${column} IS NULL`);
        }),
      );
    }
    for (const { propertyName } of this.dataSource.getMetadata(schemas[table]).primaryColumns) {
      query.addOrderBy(`row.${propertyName}`, 'ASC');
    }
    return await available(query.getMany());
  }

  async entryIndexes({ types, from, to }: EntryRange, limit: number, newestFirst: boolean): Promise<readonly number[]> {
    const rows = await available(
      this.dataSource.query<{ log_index: string }[]>(
        `SELECT log_index FROM log_entry WHERE type = ANY($1) AND log_index >= $2 AND log_index < $3
         ORDER BY log_index ${newestFirst ? 'DESC' : 'ASC'} LIMIT $4`,
        [types, from, to, limit],
      ),
    );
    return rows.map((row) => Number(row.log_index));
  }

  async countEntries({ types, from, to }: EntryRange): Promise<number> {
    const [{ count }] = await available(
      this.dataSource.query<[{ count: string }]>(
        'SELECT count(*) FROM log_entry WHERE type = ANY($1) AND log_index >= $2 AND log_index < $3',
        [types, from, to],
      ),
    );
    return Number(count);
  }

  async exceptionUses(ids: readonly string[]): Promise<readonly ExceptionUses[]> {
    const { whole, repositories, environments } = (await this.#known()) ?? everywhere;
    const rows = await available(
      this.dataSource.query<{ id: string; decisions: string; excused: string }[]>(
        `SELECT asked.id, count(*) AS decisions, sum(jsonb_array_length(jsonb_path_query_array(excepted, '$[*] ? (@.exception == $id)',
           jsonb_build_object('id', asked.id)))) AS excused
         FROM unnest($1::text[]) AS asked (id) JOIN decision ON decision.exceptions @> jsonb_build_array(asked.id)
         WHERE $2::text[] IS NULL OR decision.repository = ANY($2)
           OR (decision.repository, decision.environment) IN (SELECT * FROM unnest($3::text[], $4::text[]))
         GROUP BY asked.id`,
        [ids, whole, repositories, environments],
      ),
    );
    const found = new Map(rows.map(({ id, decisions, excused }) => [id, { decisions: Number(decisions), excused: Number(excused) }])); // prettier-ignore
    return ids.map((id) => found.get(id) ?? { decisions: 0, excused: 0 });
  }

  async totals(): Promise<Totals> {
    const rows = async <T>(sql: string): Promise<T[]> => await available(this.dataSource.query<T[]>(sql));
    const counted = 'repository, environment, outcome, count(*)::int AS count';
    const [decisions, runs, drift, faults, waiting] = await Promise.all([
      rows<Totals['decisions'][number]>(`SELECT ${counted} FROM decision GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`),
      rows<Totals['runs'][number]>(`SELECT ${counted} FROM run GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`),
      rows<Totals['drift'][number]>(
        `SELECT repository, environment, corrected_at IS NOT NULL AS corrected, count(*)::int AS count
         FROM drift GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
      ),
      rows<Totals['faults'][number]>(
        `SELECT trouble ->> 'code' AS code, count(*)::int AS count FROM fault GROUP BY 1 ORDER BY 1`,
      ),
      rows<Totals['waiting'][number]>(
        `SELECT tip.repository, count(*)::int AS environments,
           extract(epoch FROM now() - min(push.time))::float8 AS seconds
         FROM tip JOIN environment ON environment.repository = tip.repository AND environment.ref = tip.ref
         LEFT JOIN push ON push.id = tip.push
         WHERE environment.head IS DISTINCT FROM tip.commit_id AND environment.status NOT IN ('removed', 'refused')
           AND environment.name <> 'governance'
         GROUP BY 1 ORDER BY 1`,
      ),
    ]);
    return { decisions, runs, drift, faults, waiting };
  }

  async kinds(): Promise<readonly string[]> {
    const query = (await this.#rows('liveObject')).select('row.kind', 'kind').distinct(true).orderBy('row.kind');
    return (await available(query.getRawMany<{ kind: string }>())).map(({ kind }) => kind);
  }

  async ping(): Promise<void> {
    await available(this.dataSource.query('SELECT 1'));
  }

  async #rows<K extends keyof Tables>(table: K): Promise<SelectQueryBuilder<Tables[K]>> {
    const query = this.dataSource.getRepository(schemas[table] as EntityTarget<Tables[K]>).createQueryBuilder('row');
    const [place, known] = [placeOf[table], await this.#known()];
    return place && known ? query.where(...withinReach(place, known)) : query;
  }

  /** Null: all of them. */
  async #known(): Promise<KnownPlaces | null> {
    return this.reach && (await available(this.#places.within(this.reach)));
  }

  async #filtered<K extends ListName>(list: K, filter: Filters[K]): Promise<SelectQueryBuilder<Tables[K]>> {
    const query = await this.#rows(list);
    // An environment's rows are found by its repository and its name; most names are in one repository only.
    if (
      judged.includes(list) &&
      'environment' in filter &&
      filter.environment &&
      !('repository' in filter && filter.repository)
    ) {
      const repositories = await available(this.#places.repositoriesOf(filter.environment));
      if (repositories.length === 1)
        query.andWhere('row.repository = :place_repository', { place_repository: repositories[0] });
    }
    const known = conditions[list] as Readonly<Record<string, (value: unknown) => Condition>>;
    for (const [name, value] of Object.entries(filter)) {
      if (value !== undefined && value !== null) query.andWhere(...known[name](value));
    }
    return query;
  }
}

/** Lists of which each row belongs to an environment that is known. */
const judged: readonly ListName[] = ['decision', 'change', 'run'];

const everywhere = { whole: null, repositories: [], environments: [] };

/** What belongs to a repository as a whole is seen by whoever may see any of its environments. */
function withinReach(
  { repository, environment }: NonNullable<(typeof placeOf)[keyof Tables]>,
  { whole, partly, repositories, environments }: KnownPlaces,
): Condition {
  if (environment === undefined) return [`row.${repository} = ANY(:reach_partly)`, { reach_partly: partly }];
  return [
    `(row.${repository} = ANY(:reach_whole) OR (row.${environment} IS NULL AND row.${repository} = ANY(:reach_partly))
      OR (row.${repository}, row.${environment}) IN (SELECT * FROM unnest(CAST(:reach_repositories AS text[]), CAST(:reach_environments AS text[]))))`,
    { reach_whole: whole, reach_partly: partly, reach_repositories: repositories, reach_environments: environments },
  ];
}

/** Rows after a position: `a < :a OR (a = :a AND (b > :b OR …))`, led by a bound on `a` that an index can use. */
function beyond(list: ListName, after: Position): Condition {
  const order = listOrder[list];
  const is = (i: number, operator: string): string => {
    const { column, newestFirst } = order[i];
    return `row.${column} ${newestFirst ? operator.replace('>', '<') : operator} ${newestFirst ? `CAST(:after${i} AS timestamptz)` : `:after${i}`}`;
  };
  let sql = is(order.length - 1, '>');
  for (let i = order.length - 2; i >= 0; i--) sql = `${is(i, '>')} OR (${is(i, '=')} AND (${sql}))`;
  return [`${is(0, '>=')} AND (${sql})`, Object.fromEntries(after.map((value, i) => [`after${i}`, value]))];
}

async function available<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (cause) {
    throw databaseFault(cause);
  }
}
