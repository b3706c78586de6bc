// The listing of changes for auditors as CSV, all columns, from the embedded PostgreSQL: rows a second (to be 20,000) and memory (below
// 300 MiB), on the young heap that bin/countersign gives the service. Usage: node --import ./test/support/typescript.js
// test/bench/report.bench.ts [rows] [postgres://… of a database that many-decisions.ts filled]
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as ConnectModule from '../../src/adapters/postgres/connect.js';
import type * as PopulationsModule from '../../src/adapters/postgres/populations.js';
import type * as WriteModule from '../../src/report/write-population.js';
import { fillDecisions } from './many-decisions.js';
import { figure } from './figure.js';

const launcher = readFileSync(new URL('../../bin/countersign', import.meta.url), 'utf8');
const heap = /--max-semi-space-size=\d+/.exec(launcher)?.[0] ?? '';
if (!process.execArgv.includes(heap)) {
  const { status } = spawnSync(process.execPath, [heap, ...process.execArgv, ...process.argv.slice(1)], {
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}

const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { openDatabase } = (await built('adapters/postgres/connect')) as typeof ConnectModule;
const { PostgresPopulations } = (await built('adapters/postgres/populations')) as typeof PopulationsModule;
const { writePopulation } = (await built('report/write-population')) as typeof WriteModule;

const [rows = '1000000', url] = process.argv.slice(2);
const root = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
await chmod(root, 0o711);
const dataSource = await openDatabase(url === undefined ? { data: join(root, 'data') } : { url });
if (url === undefined) await fillDecisions(dataSource, Number(rows), (line) => console.error(line));

let most = 0;
const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);
const start = performance.now();
const cpu = process.cpuUsage();
const population = await new PostgresPopulations(dataSource).open({ repository: null, environment: null, outcome: null, since: null, until: null }); // prettier-ignore
let bytes = 0;
for await (const text of writePopulation(population, 'csv')) bytes += Buffer.byteLength(text);
const seconds = (performance.now() - start) / 1000;
const used = process.cpuUsage(cpu);
clearInterval(watch);
await population.close();
const each = ((used.user + used.system) / population.rows).toFixed(1);
console.log(`${population.rows} rows, ${(bytes / 2 ** 20).toFixed(0)} MiB of CSV in ${seconds.toFixed(1)} s, ${each} µs of CPU a row in this process`); // prettier-ignore
figure('rows a second of the listing as CSV', '>=', 20_000, population.rows / seconds, '/s');
figure('memory of the process while it is written', '<', 300, most / 2 ** 20, 'MiB');
await dataSource.destroy();
await rm(root, { recursive: true, force: true });
