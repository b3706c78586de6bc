import { execFileSync } from 'node:child_process';
import { createRepository, temporaryFolder } from '../../test/support/git-fixture.js';
import { openRepository } from '../adapters/git/open.js';
import type { Ledger } from '../audit/ledger.js';
import type { CommitWithFiles, Repository } from '../source/repository.js';
import { changeCommits, ingestCommits } from './ingest.js';
import type { CommitRecord, Records } from './records.js';

const COMMITS = 1300;
const folder = temporaryFolder();
let reader: Repository;
let head: string;

beforeAll(async () => {
  const scratch = await createRepository(folder.path('long'));
  const stream = Array.from(
    { length: COMMITS },
    (_, i) => `commit refs/heads/main\ncommitter Ann <ann@example.org> ${1_700_000_000 + i} +0000\ndata 1\nc\n`,
  );
  execFileSync('git', ['fast-import', '--quiet'], { cwd: scratch.path, input: stream.join('') });
  reader = await openRepository(scratch.path);
  head = await reader.resolve('main');
});
afterAll(() => reader.close());

/** Keeps commits; the transaction of this number, from 1, fails after its rows were written, and leaves nothing. */
function store(failing = 0): { ledger: Ledger; records: Records; rows: Map<string, CommitRecord>; sizes: number[] } {
  const rows = new Map<string, CommitRecord>();
  const sizes: number[] = [];
  let transactions = 0;
  const records = {
    find: (_table: string, { id }: { id: readonly string[] }) =>
      Promise.resolve(id.flatMap((one) => rows.get(one) ?? [])),
    save: (written: CommitRecord[], _table: string, saved: readonly CommitRecord[]) => {
      written.push(...saved);
      return Promise.resolve();
    },
  } as unknown as Records;
  const ledger = {
    record: async (work: (transaction: CommitRecord[]) => Promise<void>) => {
      const written: CommitRecord[] = [];
      await work(written);
      if (++transactions === failing) throw new Error('the process was killed');
      sizes.push(written.length);
      for (const row of written) rows.set(row.id, row);
    },
  } as unknown as Ledger;
  return { ledger, records, rows, sizes };
}

const recordAt =
  (firstSeen: string) =>
  ({ commit }: CommitWithFiles): CommitRecord =>
    ({ repository: 'long', id: commit.id, firstSeen }) as CommitRecord;

describe('the commits of a first ingest', () => {
  it('are recorded in batches that a later start goes on after, each as it was first seen', async () => {
    const { ledger, records, rows, sizes } = store(3);
    const parts = { ledger, records, reader, repository: 'long' };
    await expect(ingestCommits({ head }, parts, recordAt('monday'))).rejects.toThrow('killed');
    expect(sizes).toEqual([500, 500]);
    expect(await ingestCommits({ head }, parts, recordAt('tuesday'))).toBe(COMMITS);
    expect(sizes).toEqual([500, 500, 300]);
    const seen = [...rows.values()].map(({ firstSeen }) => firstSeen);
    expect([rows.size, seen.filter((day) => day === 'monday').length]).toEqual([COMMITS, 1000]);
    expect(await ingestCommits({ head }, parts, recordAt('wednesday'))).toBe(COMMITS);
    expect(sizes).toHaveLength(3);
  });

  it('are gone through again without all of them in memory', async () => {
    const { ledger, records, rows, sizes } = store();
    const parts = { ledger, records, reader, repository: 'long' };
    await ingestCommits({ head }, parts, recordAt('monday'));
    await changeCommits([head, head], parts, (record) =>
      Promise.resolve(record.id === head ? undefined : { ...record, tree: 'changed' }),
    );
    expect(sizes.slice(3)).toEqual([500, 500, 299]);
    expect([...rows.values()].filter(({ tree }) => tree === 'changed')).toHaveLength(COMMITS - 1);
  });
});
