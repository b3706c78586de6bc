import type { DataSource } from 'typeorm';
import { startPostgres, type TestPostgres } from '../../../test/support/postgres.js';
import type { LedgerTransaction } from '../../audit/ledger.js';
import type { PushRecord } from '../../review/records.js';
import { openDatabase } from './connect.js';
import { PostgresRecords } from './records.js';

const push = (id: string): PushRecord => ({
  id,
  repository: 'shop',
  ref: 'refs/heads/main',
  kind: 'created',
  old: null,
  new: 'a'.repeat(40),
  pusher: null,
  time: '2026-11-21T01:02:03.004Z',
  index: null,
});

describe('the records', () => {
  let postgres: TestPostgres;
  let database: DataSource;
  let records: PostgresRecords;

  beforeAll(async () => {
    postgres = await startPostgres();
    database = await openDatabase({ url: await postgres.database() });
    records = new PostgresRecords(database);
  });
  afterAll(async () => {
    await database.destroy();
    await postgres.stop();
  });

  const within = (work: (transaction: LedgerTransaction) => Promise<void>): Promise<void> =>
    database.transaction((handle) => work({ handle, append: () => undefined }));

  it('give back what was saved, times to the millisecond and absent indexes as null', async () => {
    await within((transaction) => records.save(transaction, 'push', [push('1')]));
    expect(await records.find('push', { id: '1' })).toEqual([push('1')]);
  });

  it('are found by null and by any of several values', async () => {
    await within((transaction) => records.save(transaction, 'push', [push('2'), { ...push('3'), index: 7 }]));
    expect((await records.find('push', { index: null })).map(({ id }) => id)).toEqual(['1', '2']);
    expect((await records.find('push', { id: ['2', '3', '4'] })).map(({ id }) => id)).toEqual(['2', '3']);
    expect(await records.find('push', { id: [] })).toEqual([]);
  });

  it('are given by some of their columns, and by the newest first', async () => {
    const later = { ...push('2'), time: '2026-11-22T00:00:00.000Z' };
    await within((transaction) => records.save(transaction, 'push', [later]));
    expect(await records.select('push', ['id', 'time'], { id: ['1'] })).toEqual([{ id: '1', time: push('1').time }]);
    expect((await records.newest('push', { repository: 'shop' }, 'time', 1)).map(({ id }) => id)).toEqual(['2']);
    await within((transaction) => records.save(transaction, 'push', [push('2')]));
  });

  it.each([
    ...['push', 'decision', 'drift', 'fault', 'approval'].map((table) => `${table} WHERE log_index IS NULL`),
    ...['started_index', 'finished_index'].map((column) => `run WHERE ${column} IS NULL`),
    `run WHERE outcome = 'running'`,
    `run WHERE decision = 'd' AND outcome = 'succeeded'`,
    `drift WHERE run = 'r'`,
  ])('are found by an index, however long the history is: %s', async (query) => {
    const plan = await database.transaction(async (manager) => {
      // An empty table is read whole wherever that may be.
      await manager.query('SET LOCAL enable_seqscan = off');
      return manager.query<object[]>(`EXPLAIN SELECT * FROM ${query}`);
    });
    expect(JSON.stringify(plan)).toMatch(/Index Scan|Bitmap Index/);
    expect(JSON.stringify(plan)).not.toMatch(/Filter: |using \w+_pkey/);
  });

  it('keep nothing of a transaction that fails: neither rows, nor changes, nor removals', async () => {
    const failing = within(async (transaction) => {
      await records.save(transaction, 'push', [push('9')]);
      await records.update('push', { id: '1' }, { kind: 'forced' }, transaction);
      await records.remove(transaction, 'push', { id: '2' });
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect((await records.find('push')).map(({ id, kind }) => `${id} ${kind}`)).toEqual([
      '1 created',
      '2 created',
      '3 created',
    ]);
  });
});
