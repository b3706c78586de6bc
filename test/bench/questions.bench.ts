// What people ask, over HTTP through the whole GraphQL service: every query of docs/questions.md, every list by each of its filters, look-ups,
// totals and aggregates, on a history of a million of decisions in PostgreSQL and of 100,000 in the embedded one. Lists and look-ups are to
// have a p99 below 100 ms, aggregates to take less than 2 s from the rows. Names and pages differ from request to request.
// Usage: node --import ./test/support/typescript.js test/bench/questions.bench.ts [decisions in PostgreSQL] [in the embedded one] [words of what to ask]
// QUESTIONS_DATABASE=postgres://… : a database that this bench filled before, which it leaves there.
import { mkdtempSync, readFileSync, rmSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import { notedDatabase } from '../../src/adapters/postgres/embedded.js';
import { startApi, type TestApi } from '../support/api.js';
import { startPostgres } from '../support/postgres.js';
import { figure, quantile } from './figure.js';
import { decidedAt, decisionId, environments, fillDecisions } from './many-decisions.js';

const [million = '1000000', embedded = '100000', only = ''] = process.argv.slice(2);
const [LISTS, AGGREGATES] = [Number(process.env['REQUESTS'] ?? 100), 3];

interface Question {
  readonly name: string;
  readonly query: (i: number) => string;
  /** A total or a count of groups, which every row of it goes into. */
  readonly aggregate?: true;
}

const stages = ['production', 'staging', 'test', 'dev', 'eu', 'us', 'load', 'demo', 'qa', 'dr'];

/** The i-th of the names that rows have. */
function named(i: number, count: number) {
  const place = (i * 37) % environments;
  const n = count - 1 - ((i * 7919) % Math.floor(count * 0.9));
  const team = Math.floor(place / 10);
  return {
    repository: `team-${team}`,
    environment: `team-${team}/${stages[place % 10]}`,
    object: `kind: "Deployment", namespace: "ns-${place}", name: "app-${(i * 3) % 100}"`,
    person: `person-${i % 50}@example.org`,
    rule: `rule.r${i % 15}`,
    control: `SOC2:CC8.${i % 10}`,
    team: `@team/t${team}`,
    ticket: `T-${Math.floor(n / 2)}`,
    n,
    from: decidedAt(Math.floor(count * 0.6)),
    to: decidedAt(Math.floor(count * 0.7)),
  };
}
type Names = ReturnType<typeof named>;

const list = (field: string, filters: Readonly<Record<string, (names: Names) => string>>, nodes: string) => ({
  field,
  filters,
  nodes,
});
const period = (names: Names): string => `from: "${names.from}", to: "${names.to}"`;
const inEnvironment = (names: Names): string =>
  `repository: "${names.repository}", environment: "${names.environment}"`;
const places = {
  all: () => '',
  period,
  repository: (names: Names) => `repository: "${names.repository}"`,
  environment: (names: Names) => `environment: "${names.environment}"`,
  'environment and period': (names: Names) => `${inEnvironment(names)}, ${period(names)}`,
};
const lists = [
  list('decisions', { ...places,
      outcome: () => 'outcome: [deny]',
      'rare outcome': () => 'outcome: [error]',
      'outcome here': (names) => `${inEnvironment(names)}, outcome: [error]`,
      operation: () => 'operation: [rollback]',
      rule: (names) => `rule: "${names.rule}"`,
      control: (names) => `control: "${names.control}"`,
      team: (names) => `team: "${names.team}"`,
      ticket: (names) => `ticket: "${names.ticket}"`,
      signer: (names) => `signer: "${names.person}"`,
      approver: (names) => `approver: "${names.person}"`,
      unapproved: () => 'approved: false',
      'unapproved and allowed': () => 'outcome: [allow], approved: false',
      approved: () => 'approved: true',
      selfApproved: () => 'selfApproved: true',
      object: (names) => `object: {${names.object}}`,
      'object of a kind': () => 'object: {kind: "Deployment"}',
      'object that is not': () => 'object: {kind: "Deployment", namespace: "nowhere", name: "nothing"}',
      'signer that is not': () => 'signer: "nobody@example.org"',
      'signer and rule': (names) => `signer: "${names.person}", rule: "${names.rule}"`,
    }, 'id time outcome signers approvers tickets change { head } violations { rule }'), // prettier-ignore
  list('changes', { ...places, object: (names) => `object: {${names.object}}` }, 'id head operation decisions { outcome }'), // prettier-ignore
  list('pushes', { all: places.all, period, repository: places.repository, ref: () => 'ref: "refs/heads/main"', kind: () => 'kind: [forced]' }, 'id ref new time'), // prettier-ignore
  list('commits', { all: places.all, period, repository: places.repository, signature: () => 'signature: [none]', 'rare signature': () => 'signature: [expired]', signer: (names) => `signer: "${names.person}"` }, 'id subject signature { status }'), // prettier-ignore
  list('runs', { ...places, outcome: () => 'outcome: [failed]', 'rare outcome': () => 'outcome: [running]' }, 'id outcome decision { id }'), // prettier-ignore
  list('drift', { ...places, object: (names) => names.object, open: () => 'corrected: false' }, 'id object { name } detectedAt'), // prettier-ignore
  list('faults', { ...places, code: () => 'code: "render-failed"' }, 'id trouble { code } time'),
  list('approvals', { ...places, status: () => 'status: [rejected]' }, 'id principal'),
  list('exceptions', { all: places.all, period, repository: places.repository, rule: (names) => `rule: "${names.rule}"`, owner: (names) => `owner: "${names.repository}"`, principal: (names) => `principal: "${names.person}"`, status: () => 'status: [lapsed]', expired: () => 'expired: true', inForceAt: (names) => `inForceAt: "${names.to}"` }, 'id rule expires uses'), // prettier-ignore
  list('advice', { ...places, open: () => 'open: true', outcome: () => 'outcome: [error]', head: () => `head: "${'a'.repeat(40)}"`, number: (names) => `number: ${Math.floor(names.n / 10)}` }, 'id outcome'), // prettier-ignore
  list('reviewDuties', { ...places, open: () => 'open: true', expired: () => 'expired: true' }, 'id reason'),
  list('objects', { all: places.all, repository: places.repository, environment: places.environment, object: (names) => names.object, health: () => 'health: ["degraded"]' }, 'uid object { name } decision { id }'), // prettier-ignore
  list('environments', { all: places.all, repository: places.repository, status: () => 'status: [synced]', target: () => 'target: "prod"' }, 'name status'), // prettier-ignore
  list('entries', { all: places.all, type: () => 'type: [push]', range: (names) => `fromIndex: ${names.n}` }, 'index type leafHash'), // prettier-ignore
];

const listed = (count: number): Question[] =>
  lists.flatMap(({ field, filters, nodes }) =>
    Object.entries(filters).map(([filter, words]) => ({
      name: `${field} by ${filter}`,
      query: (i: number) => {
        const given = words(named(i, count));
        return `{ ${field}(first: 50${given && `, filter: {${given}}`}) { nodes { ${nodes} } pageInfo { hasNextPage endCursor } } }`;
      },
    })),
  );

const decided = 'id outcome violations { rule message } change { head commits { subject author { name } } objectChanges { nodes { op object { name } } } } approvals { principal }'; // prettier-ignore

/** With the ids of decisions that are there. */
const lookups = (count: number, ids: readonly string[]): Question[] => [
  { name: 'a decision with all that belongs to it', query: (i) => `{ decision(id: "${ids[i % ids.length]}") { ${decided} } }` },
  { name: 'decisions, a page in the middle', query: (i) => {
      const { n } = named(i, count);
      return `{ decisions(first: 100, after: "${Buffer.from(JSON.stringify(['decision', decidedAt(n), ids[0]])).toString('base64url')}") { nodes { id time change { head } } } }`;
    } },
  { name: 'an entry with its proof', query: (i) => `{ entry(index: ${2 * named(i, count).n}) { type time inclusion { proof } } }` },
  { name: 'an environment', query: (i) => `{ environment(repository: "${named(i, count).repository}", name: "${named(i, count).environment}") { status head approved } }` },
]; // prettier-ignore

const groups = [
  'rule',
  'control',
  'team',
  'signer',
  'approver',
  'ticket',
  'repository',
  'environment',
  'outcome',
  'month',
];
const aggregates = (count: number): Question[] => [
  ...lists.map(({ field }) => ({ name: `total of ${field}`, query: () => `{ ${field}(first: 1) { totalCount } }`, aggregate: true as const })),
  ...groups.map((by) => ({ name: `all decisions by ${by}`, query: () => `{ decisionCounts(by: ${by}) { total groups { key count } } }`, aggregate: true as const })),
  ...groups.map((by) => ({ name: `a quarter's decisions by ${by}`, query: () => `{ decisionCounts(by: ${by}, filter: {from: "${decidedAt(Math.floor(count * 0.8))}", to: "${decidedAt(Math.floor(count * 0.89))}"}) { total groups { key count } } }`, aggregate: true as const })),
  ...['person', 'repository', 'environment', 'kind', 'object', 'month'].map((by) => ({ name: `all drift by ${by}`, query: () => `{ driftCounts(by: ${by}) { total groups { key count } } }`, aggregate: true as const })),
  {
    name: "delivery, a quarter's, of all environments",
    query: () =>
      `{ delivery(filter: {from: "${decidedAt(Math.floor(count * 0.8))}", to: "${decidedAt(Math.floor(count * 0.89))}"}) { deployments failureRate leadTime { median } recovery { median } } }`,
    aggregate: true,
  },
  { name: 'delivery, all of it', query: () => '{ delivery { deployments failureRate leadTime { median } recovery { median } } }', aggregate: true },
  ...['Deployment'].map((kind) => ({ name: 'total of decisions on objects of a kind', query: () => `{ decisions(first: 1, filter: {object: {kind: "${kind}"}}) { totalCount } }`, aggregate: true as const })),
]; // prettier-ignore

/** The page's own, with names and times of this history. What they count makes them aggregates. */
function documented(count: number, instant: string): Question[] {
  const page = readFileSync(new URL('../../docs/questions.md', import.meta.url), 'utf8');
  const quarter = [decidedAt(Math.floor(count * 0.8)), decidedAt(Math.floor(count * 0.89))];
  return [...page.matchAll(/^## (.*)\n[\s\S]*?```graphql\n([\s\S]*?)```/gm)].map(([, title, text]) => {
    const query = (i: number): string => {
      const { environment, repository, object, control } = named(i, count);
      return text
        .replaceAll('environment: "shop/production"', `environment: "${environment}"`)
        .replaceAll('repository: "shop"', `repository: "${repository}"`)
        .replaceAll('kind: "Deployment", namespace: "shop", name: "cart"', object)
        .replaceAll('SOC2:CC8.1', control)
        .replaceAll(/from: "[^"]*", to: "[^"]*"/g, `from: "${quarter[0]}", to: "${quarter[1]}"`)
        .replaceAll(/inForceAt: "[^"]*"/g, `inForceAt: "${quarter[0]}"`)
        .replaceAll(
          /pastState\(.*\)/g,
          `pastState(repository: "team-3", environment: "team-3/production", at: "${instant}")`,
        )
        .replaceAll(/at: "2026[^"]*"/g, `at: "${instant}"`);
    };
    return {
      name: `docs: ${title}`,
      query,
      ...(/totalCount|Counts\(|delivery\(/.test(text) ? { aggregate: true as const } : {}),
    };
  });
}

/** A decision whose objects are kept, as those of a real one are, and the run that made it live. */
async function deploy(api: TestApi, count: number): Promise<string> {
  const instant = decidedAt(Math.floor(count * 0.85));
  const [known] = await api.dataSource.query<{ id: string }[]>(`SELECT id FROM run WHERE id = 'kept'`);
  if (known) return instant;
  const objects = Array.from({ length: 20 }, (_, i) => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'ns-30', name: `app-${i}` }, spec: { replicas: 2 } })); // prettier-ignore
  const bytes = Buffer.from(JSON.stringify(objects));
  const { entries } = await api.ledger.record(
    async (transaction) =>
    transaction.append({ type: 'decision', subjects: [], predicate: { id: 'kept' }, contents: { rendered: { mediaType: 'application/json', bytes, salted: false } } }), // prettier-ignore
  );
  const [like] = await api.dataSource.query<{ id: string }[]>(
    `SELECT decision.id FROM decision JOIN run ON run.decision = decision.id WHERE decision.repository = 'team-3' AND decision.environment = 'team-3/production' AND run.finished_at <= $1 ORDER BY run.finished_at DESC LIMIT 1`, // prettier-ignore
    [instant],
  );
  await api.dataSource.query(`INSERT INTO decision SELECT (jsonb_populate_record(decision, jsonb_build_object('id', 'kept', 'log_index', $2::bigint))).* FROM decision WHERE id = $1`, [like.id, entries[0].index]); // prettier-ignore
  await api.dataSource.query(`INSERT INTO run SELECT (jsonb_populate_record(run, jsonb_build_object('id', 'kept', 'decision', 'kept', 'started_at', $2::text, 'finished_at', $2::text, 'outcome', 'succeeded'))).* FROM run WHERE decision = $1 LIMIT 1`, [like.id, instant]); // prettier-ignore
  return instant;
}

async function measure(database: string, where: string): Promise<void> {
  const api = await startApi({ database });
  try {
    const [{ count: rows }] = await api.dataSource.query<[{ count: string }]>(`SELECT count(*) FROM push`);
    const count = Number(rows);
    const instant = await deploy(api, count);
    const ids = (await api.dataSource.query<{ id: string }[]>(`SELECT ${decisionId('n')} AS id FROM generate_series(0, $1::int, $2::int) n`, [count - 1, Math.floor(count / 97)])).map(({ id }) => id); // prettier-ignore
    const all = [...documented(count, instant), ...lookups(count, ids), ...listed(count), ...aggregates(count)];
    const [slowLists, slowAggregates]: [number[], number[]] = [[0], [0]];
    for (const { name, query, aggregate } of all.filter((question) => question.name.includes(only))) {
      const times: number[] = [];
      let cpu = 0;
      for (let i = 0; i < (aggregate ? AGGREGATES : LISTS) + 1; i++) {
        const before = process.cpuUsage();
        const begun = performance.now();
        const { errors } = await api.query(query(i));
        if (errors.length > 0) throw new Error(`${name}: ${errors[0].message} ${query(i)}`);
        // The first one is compiled, and brings pages of the database into memory.
        if (i > 0) times.push(performance.now() - begun);
        const { user, system } = process.cpuUsage(before);
        cpu += (user + system) / 1_000;
        if (performance.now() - begun > 20_000) break;
      }
      const worst = quantile(times.length > 0 ? times : [99_999], 0.99);
      (aggregate ? slowAggregates : slowLists).push(worst);
      const mark = worst >= (aggregate ? 2_000 : 100) ? '  <-- slow' : '';
      console.log(`${where}  ${name.padEnd(48)} p50 ${quantile(times, 0.5)?.toFixed(1).padStart(8)} ms  p99 ${worst.toFixed(1).padStart(8)} ms  ${(cpu / (times.length + 1)).toFixed(1).padStart(5)} ms CPU here and in the client${mark}`); // prettier-ignore
      api.statements();
    }
    figure(`slowest p99 of a list or look-up, ${count} decisions, ${where}`, '<', 100, Math.max(...slowLists), 'ms');
    figure(`slowest aggregate, ${count} decisions, ${where}`, '<', 2_000, Math.max(...slowAggregates), 'ms');
  } finally {
    await api.close();
  }
}

async function filled(dataSource: DataSource, count: number): Promise<void> {
  const [{ count: known }] = await dataSource.query<[{ count: string }]>('SELECT count(*) FROM push');
  if (Number(known) === 0) await fillDecisions(dataSource, count, (line) => console.error(line));
  // Of a service that had keys of its own.
  await dataSource.query('UPDATE log_released SET note = NULL');
}

if (Number(million) > 0) {
  const given = process.env['QUESTIONS_DATABASE'];
  const server = given === undefined ? await startPostgres() : undefined;
  const url = given ?? (await server!.database());
  try {
    const dataSource = await openDatabase({ url });
    await filled(dataSource, Number(million));
    await dataSource.destroy();
    await measure(url, 'PostgreSQL');
  } finally {
    await server?.stop();
  }
}
if (Number(embedded) > 0) {
  const root = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  chmodSync(root, 0o711);
  const data = join(root, 'data');
  const dataSource = await openDatabase({ data });
  try {
    await filled(dataSource, Number(embedded));
    await measure((await notedDatabase(data))!, 'embedded');
  } finally {
    await dataSource.destroy();
    rmSync(root, { recursive: true, force: true });
  }
}
