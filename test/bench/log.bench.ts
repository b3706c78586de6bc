// Appends acknowledged a second (1 kB entries, 64 in flight; durable, signed, in the tree) against plain inserts of the same rows
// in batches of 500, on the same embedded PostgreSQL in the same run, to be at least 30 %; and the latency of one append on an idle service.
// `--growth 1000000` compares the rate of a log of that many entries with that of one of 10,000, by turns: to be at least 90 %.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as KeysModule from '../../src/adapters/keys/file.js';
import type * as ConnectModule from '../../src/adapters/postgres/connect.js';
import type * as LeaseModule from '../../src/adapters/postgres/lease.js';
import type * as LedgerModule from '../../src/adapters/postgres/ledger.js';
import type * as LogStorageModule from '../../src/adapters/postgres/log-storage.js';
import type * as SeenCheckpointModule from '../../src/adapters/postgres/seen-checkpoint.js';
import type * as SequencerModule from '../../src/audit/sequencer.js';
import type { EntryDraft } from '../../src/audit/entry.js';

/** What is measured is what is shipped: the build, typed as its sources. */
const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { openKeys } = (await built('adapters/keys/file')) as typeof KeysModule;
const { openDatabase } = (await built('adapters/postgres/connect')) as typeof ConnectModule;
const { Lease } = (await built('adapters/postgres/lease')) as typeof LeaseModule;
const { openLedger } = (await built('adapters/postgres/ledger')) as typeof LedgerModule;
const { PostgresLogStorage } = (await built('adapters/postgres/log-storage')) as typeof LogStorageModule;
const { CheckpointFile } = (await built('adapters/postgres/seen-checkpoint')) as typeof SeenCheckpointModule;
const { Sequencer } = (await built('audit/sequencer')) as typeof SequencerModule;

const total = process.argv.includes('--quick') ? 2_000 : 10_000;
const inFlight = 64;
const rounds = 3;

/** A log on an embedded PostgreSQL of its own. */
async function newLog() {
  const data = mkdtempSync(join(tmpdir(), 'countersign-bench-log-'));
  const dataSource = await openDatabase({ data });
  const keys = await openKeys({ data });
  return { data, dataSource, keys, ledger: await openLedger({ dataSource, keys, dataDir: data }) };
}
type Log = Awaited<ReturnType<typeof newLog>>;

async function remove({ data, dataSource, ledger }: Log): Promise<void> {
  await ledger.close();
  await dataSource.destroy();
  rmSync(data, { recursive: true });
}

const measured = await newLog();
const { dataSource, ledger } = measured;

const draft = (): EntryDraft => ({ type: 'push', subjects: [], predicate: { text: 'x'.repeat(450) } });
const [sample] = await ledger.append(draft());
console.log(`an entry has ${sample.envelope.length} bytes`);

async function inserts(): Promise<void> {
  await dataSource.query(
    'CREATE TABLE IF NOT EXISTS plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, leaf bytea)',
  );
  const rows = Array.from({ length: 500 }, () => sample.envelope);
  for (let n = 0; n < total; n += 500) {
    await dataSource.query('INSERT INTO plain (leaf) SELECT unnest($1::bytea[])', [rows]);
  }
}

const latencies: number[] = [];

async function appends(append: () => Promise<unknown>): Promise<void> {
  let n = 0;
  const caller = async (): Promise<void> => {
    while (n < total) {
      n += 1;
      const start = performance.now();
      await append();
      latencies.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
}

async function rate(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (total / (performance.now() - start)) * 1_000;
}

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const show = (what: string, value: number, unit: string): void =>
  console.log(`${what.padEnd(58)} ${value.toFixed(1).padStart(9)} ${unit}`);

const plain: number[] = [];
const grouped: number[] = [];
const recorded: number[] = [];
const slowest: number[] = [];
for (let round = 0; round < rounds; round += 1) {
  plain.push(await rate(inserts));
  latencies.length = 0;
  grouped.push(await rate(() => appends(() => ledger.append(draft()))));
  slowest.push(latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.99)]);
  recorded.push(await rate(() => appends(() => ledger.record(async (transaction) => transaction.append(draft())))));
}
const idle: number[] = [];
for (let n = 0; n < 100; n += 1) {
  const start = performance.now();
  await ledger.record(async (transaction) => transaction.append(draft()));
  idle.push(performance.now() - start);
}
show('plain inserts in batches of 500', median(plain), 'rows/s');
show(`append, ${inFlight} in flight, acknowledged`, median(grouped), 'entries/s');
show(`record, ${inFlight} in flight, a transaction each, acknowledged`, median(recorded), 'entries/s');
show('append against plain inserts, each round by itself', median(grouped.map((a, i) => a / plain[i])) * 100, '%');
show('the same, 99th percentile of one append, to be below 250', median(slowest), 'ms');
show('one record on an idle service, median', median(idle), 'ms');
show('the same, 95th percentile', idle.toSorted((a, b) => a - b)[94], 'ms');

/**
 * The log as `size` appends would have left it, by the sequencer and the storage that appends go through, but in larger batches and
 * with one leaf for all: what a leaf says costs the log nothing.
 */
async function fill(log: Log, size: number): Promise<void> {
  await log.ledger.close();
  const lease = await Lease.tryAcquire(log.dataSource, () => undefined);
  if (!lease) throw new Error('another sequencer is at work');
  const seen = new CheckpointFile(log.data);
  const sequencer = new Sequencer(new PostgresLogStorage(lease.connection, lease.epoch, lease.beside), seen, log.keys);
  let at = (await sequencer.recover()).size;
  while (at < size) {
    const ids = await log.dataSource.query<{ id: string }[]>(
      `SELECT nextval(pg_get_serial_sequence('log_outbox', 'id')) AS id FROM generate_series(1, $1::integer)`,
      [Math.min(2_000, size - at)],
    );
    at += (
      await sequencer.extend(
        ids.map(({ id }) => ({ id, type: 'push', leaf: sample.envelope })),
        false,
      )
    ).length;
  }
  await sequencer.publish();
  await sequencer.release();
  await seen.close();
  await lease.release();
  await log.dataSource.query('VACUUM ANALYZE log_entry');
  log.ledger = await openLedger({ dataSource: log.dataSource, keys: log.keys, dataDir: log.data });
}

const growth = process.argv.indexOf('--growth');
if (growth > 0) {
  const [small, large] = [await newLog(), await newLog()];
  await fill(small, 10_000);
  await fill(large, Number(process.argv[growth + 1]));
  // By turns, each against the one right before it: what else the machine does meanwhile is the same for both.
  const rates: { readonly small: number; readonly large: number }[] = [];
  const appending = ({ ledger: to }: Log): Promise<number> => rate(() => appends(() => to.append(draft())));
  for (let round = 0; round < 3 * rounds; round += 1) {
    if (round % 2 === 0) rates.push({ small: await appending(small), large: await appending(large) });
    else rates.push({ large: await appending(large), small: await appending(small) });
  }
  show('append from 10000 entries on', median(rates.map((one) => one.small)), 'entries/s');
  show(
    `append from ${process.argv[growth + 1]} entries on, to be at least 90 % of that`,
    median(rates.map((one) => one.large / one.small)) * 100,
    '%',
  );
  await remove(small);
  await remove(large);
}

await remove(measured);
