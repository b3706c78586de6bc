import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash, randomUUID } from 'node:crypto';
import { readManifest } from '../../src/adapters/evidence/listing.js';
import { openExportPlace } from '../../src/adapters/log-files/export-place.js';
import { s3Files } from '../../src/adapters/log-files/s3.js';
import { Channel } from '../../src/adapters/postgres/channel.js';
import { PostgresLeases } from '../../src/adapters/postgres/leases.js';
import { PostgresScheduleBook } from '../../src/adapters/postgres/schedule-book.js';
import type { ExportConfig } from '../../src/config/exports.js';
import type { CountersignError } from '../../src/errors.js';
import { beginExporting } from '../../src/service/exporting.js';
import { startApi, type TestApi } from '../support/api.js';
import { until } from '../support/cluster.js';
import { startS3 } from '../support/s3-server.js';
import { seedShop } from '../support/shop.js';

// Reports that are due by themselves: whole or not there, once a period however many instances there are, and made up after an outage.

let api: TestApi;
let folder: string;

beforeAll(async () => {
  api = await startApi();
  await seedShop(api, 6);
  folder = mkdtempSync(join(tmpdir(), 'countersign-exports-'));
}, 120_000);
afterAll(async () => {
  await api?.close();
  rmSync(folder, { recursive: true });
});

const daily = (name: string, rest: Partial<ExportConfig> = {}): ExportConfig => ({
  name,
  file: 'changes.csv',
  report: 'changes',
  format: 'csv',
  cron: '0 6 * * *',
  zone: 'UTC',
  period: 'day',
  words: { repository: 'shop' },
  to: { folder: join(folder, 'out') },
  ...rest,
});

/** One instance of the service, as far as exports go. */
async function instance(exports: readonly ExportConfig[], now: () => Date) {
  const id = randomUUID();
  const faults: CountersignError[] = [];
  const channel = new Channel(api.dataSource, id);
  const leases = await PostgresLeases.open({ channel, id, name: id, version: '1', onFault: (fault) => faults.push(fault) }); // prettier-ignore
  const data = mkdtempSync(join(folder, 'data-'));
  const parts = { exports, reports: api.reports, dataSource: api.dataSource, data, every: 10, now };
  leases.share('duty', 'exports', (lease) =>
    beginExporting({ ...parts, onFault: (fault) => faults.push(fault), onMade: () => undefined }, lease),
  );
  return {
    faults,
    stop: async () => {
      await leases.close();
      await channel.close();
    },
  };
}

async function logged(): Promise<readonly string[]> {
  const said: string[] = [];
  for await (const { type, predicate } of api.ledger.entries(0, await api.ledger.size()))
    if (type === 'export') said.push((predicate['filters'] as { since: string }).since.slice(0, 10));
  return said;
}

const states = () => new PostgresScheduleBook(api.dataSource).states();
const made = async (name: string) => (await states()).find((state) => state.name === name)?.made ?? 0;

it('takes each period once with two instances, those that were missed included, and none of before it was configured', async () => {
  let now = new Date('2026-07-01T12:00:00Z');
  const exports = [daily('daily')];
  const first = await instance(exports, () => now);
  const second = await instance(exports, () => now);
  await until('the schedule is known', async () => (await states()).length === 1);
  expect(await logged()).toEqual([]);
  // As if nothing had run for three days.
  now = new Date('2026-07-04T07:00:00Z');
  await until('all that was missed is made', async () => (await made('daily')) === 3);
  await Promise.all([first.stop(), second.stop()]);
  expect([...first.faults, ...second.faults]).toEqual([]);
  expect(await logged()).toEqual(['2026-07-01', '2026-07-02', '2026-07-03']);
  expect(readdirSync(join(folder, 'out', 'daily')).toSorted()).toEqual(['2026-07-01_2026-07-02', '2026-07-02_2026-07-03', '2026-07-03_2026-07-04']); // prettier-ignore
  const listing = join(folder, 'out', 'daily', '2026-07-01_2026-07-02', 'changes.csv');
  expect(readFileSync(listing, 'utf8').trimEnd().split('\r\n')).toHaveLength(7);
  expect(await readManifest(listing)).toMatchObject({ rows: 6, filters: { repository: 'shop' } });

  // One that arrived, and whose instance was killed before it could tell.
  await api.dataSource.query(`DELETE FROM scheduled_export WHERE since = '2026-07-02'`);
  const third = await instance(exports, () => now);
  await until('it is told', async () => (await made('daily')) === 3);
  await third.stop();
  expect(await logged()).toHaveLength(3);
}, 120_000);

it('says what it could not take, tries again, and then takes it', async () => {
  const blocked = join(folder, 'blocked');
  writeFileSync(blocked, 'a file where a folder should be');
  let now = new Date('2026-07-01T12:00:00Z');
  const exports = [daily('blocked', { to: { folder: blocked } }), daily('free', { file: 'q.json', report: 'oscal', format: 'json' })]; // prettier-ignore
  const one = await instance(exports, () => now);
  await until('the schedules are known', async () => (await states()).length === 3);
  now = new Date('2026-07-02T07:00:00Z');
  await until('the other is made', async () => (await made('free')) === 1);
  await until('it is told', () => one.faults.length > 0);
  expect(one.faults[0]).toMatchObject({ code: 'mirror-unavailable', message: expect.stringContaining('the export blocked of 2026-07-01_2026-07-02 was not taken') as string }); // prettier-ignore
  expect((await states()).find(({ name }) => name === 'blocked')).toMatchObject({
    made: 0,
    failingSince: '2026-07-02T06:00:00.000Z',
    trouble: { code: 'mirror-unavailable' },
  });
  rmSync(blocked);
  mkdirSync(blocked);
  await until('it is made', async () => (await made('blocked')) === 1);
  await one.stop();
  expect(readdirSync(join(blocked, 'blocked', '2026-07-01_2026-07-02')).toSorted()).toEqual(['changes.csv', 'changes.csv.manifest.json']); // prettier-ignore
}, 120_000);

it('puts them into an S3-compatible store, under a lock where that is asked for', async () => {
  const s3 = await startS3();
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  try {
    const to = { bucket: 'log', prefix: 'audit', endpoint: s3.endpoint, credentials };
    const now = { at: new Date('2026-07-01T12:00:00Z') };
    const one = await instance([daily('stored', { to })], () => now.at);
    await until('the schedule is known', async () => (await states()).some(({ name }) => name === 'stored'));
    now.at = new Date('2026-07-02T07:00:00Z');
    await until('it is made', async () => (await made('stored')) === 1);
    await one.stop();
    const files = await s3Files(to);
    const text = await files.read('stored/2026-07-01_2026-07-02/changes.csv', 1e6);
    expect(Buffer.from(text!).toString().split('\r\n')).toHaveLength(8);
  } finally {
    await s3.stop();
  }
  const asked: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    request.resume().once('end', () => response.end());
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  try {
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const place = await openExportPlace({ bucket: 'b', prefix: '', endpoint, credentials, lock: { mode: 'compliance', days: 365 } }); // prettier-ignore
    await place.put('x', { text: 'y' });
    const [{ 'x-amz-object-lock-mode': mode, 'x-amz-object-lock-retain-until-date': date, 'content-md5': md5 }] = asked;
    expect([mode, md5]).toEqual(['COMPLIANCE', createHash('md5').update('y').digest('base64')]);
    expect(Date.parse(String(date)) - Date.now()).toBeGreaterThan(364 * 86_400_000);
  } finally {
    server.close();
  }
}, 120_000);
