import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, QueryRunner } from 'typeorm';
import { CountersignError } from '../../errors.js';
import type { DecidedChange, Population, PopulationQuery, Populations } from '../../report/population.js';
import { suggest } from '../../settings.js';
import { databaseFault } from './faults.js';
import { LogReader, rowsOf } from './log-storage.js';
import { KnownControls, PopulationReader, WITHIN } from './population-page.js';

/** Rows that are read at a time; two pages of them, with what belongs to each, are what is held in memory. */
const PAGE = 1_200;
/** So many rows are worth a second connection. */
const MANY = 10_000;
/** How long a listing waits for decisions that are being placed in the log, and how often it looks: in milliseconds. */
const [PATIENCE, PAUSE] = [3_000, 20];

/**
 * src/report/population.ts on PostgreSQL: one snapshot, read page by page. Of a long listing two connections read at the same time, one page
 * each: the database has then always something to do while a page is written.
 */
export class PostgresPopulations implements Populations {
  constructor(private readonly dataSource: DataSource) {}

  async open(query: PopulationQuery): Promise<Population> {
    const runner = this.dataSource.createQueryRunner();
    const runners = [runner];
    try {
      const asking = new Asking(runner);
      for (const until = Date.now() + PATIENCE; ;) {
        await begin(runner);
        if (!(await asking.isPlacing()) || Date.now() > until) break;
        await runner.rollbackTransaction();
        await sleep(PAUSE);
      }
      await asking.requireKnown(query);
      const size = await asking.size();
      const chosen = [query.repository, query.environment, query.outcome, query.since, query.until];
      const { rows, starts } = await asking.count(size, chosen);
      if (rows > MANY) runners.push(...(await this.#second(runner)));
      const controls = new KnownControls(runner);
      const readers = await Promise.all(runners.map((one) => PopulationReader.on(one, controls, chosen)));
      return { rows, size, pages: () => inTurns(readers, [...starts, size]), close: () => end(runners) };
    } catch (thrown) {
      await end(runners);
      throw databaseFault(thrown);
    }
  }

  /** Another connection that sees the same; none where the pool has none left to give. */
  async #second(first: QueryRunner): Promise<readonly QueryRunner[]> {
    const [{ snapshot }] = await rowsOf<{ snapshot: string }>(first, 'SELECT pg_export_snapshot() AS snapshot');
    const runner = this.dataSource.createQueryRunner();
    try {
      await begin(runner, snapshot);
      return [runner];
    } catch {
      await end([runner]);
      return [];
    }
  }
}

/** Reading a snapshot of its own, or one that another transaction exported. */
async function begin(runner: QueryRunner, snapshot?: string): Promise<void> {
  await runner.startTransaction('REPEATABLE READ');
  await runner.query('SET TRANSACTION READ ONLY');
  if (snapshot !== undefined) await runner.query(`SET TRANSACTION SNAPSHOT '${snapshot}'`);
  // The same few plans for all pages, and each is short.
  await runner.query(`SET LOCAL jit = off; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'`);
}

async function end(runners: readonly QueryRunner[]): Promise<void> {
  for (const runner of runners) {
    try {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
    } finally {
      await runner.release();
    }
  }
}

/** Page `i` begins at `bounds[i]` and ends before the next; readers take one after the other, and none has two at a time. */
async function* inTurns(
  readers: readonly PopulationReader[],
  bounds: readonly number[],
): AsyncGenerator<Iterable<DecidedChange>> {
  const ahead: Promise<Iterable<DecidedChange>>[] = [];
  let next = 0;
  const readNext = (): void => {
    if (next + 1 >= bounds.length) return;
    const page = readers[next % readers.length].page(bounds[next], bounds[next + 1]);
    page.catch(() => undefined); // thrown when it is its turn
    ahead.push(page);
    next += 1;
  };
  for (const _ of readers) readNext();
  for (let page = ahead.shift(); page; page = ahead.shift()) {
    const rows = await page;
    readNext();
    yield rows;
  }
}

function requireOne(what: string, name: string, names: readonly string[]): void {
  if (names.includes(name)) return;
  const there = `There ${names.length === 1 ? 'is' : 'are'} ${names.slice(0, 20).join(', ')}`;
  throw new CountersignError('not-found', `no ${what} ${name.slice(0, 200)} is known here${suggest(name, names)}`, {
    remedy: names.length > 0 ? there : 'Nothing was judged here yet',
  });
}

class Asking {
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

  /** How many there are, and where in the log each page of them begins. */
  async count(size: number, chosen: readonly unknown[]): Promise<{ rows: number; starts: readonly number[] }> {
    const [{ rows, starts }] = await rowsOf<{ rows: string; starts: readonly string[] | null }>(
      this.runner,
      `SELECT count(*) AS rows, array_agg(log_index ORDER BY log_index) FILTER (WHERE number % ${PAGE} = 1) AS starts
       FROM (SELECT log_index, row_number() OVER (ORDER BY log_index) AS number FROM decision WHERE ${WITHIN}) AS chosen`,
      [0, size, ...chosen],
    );
    return { rows: Number(rows), starts: (starts ?? []).map(Number) };
  }
}
