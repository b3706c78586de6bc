import type { EntryDraft } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { AccessLog } from './access-log.js';

const away = () => Promise.reject(new Error('away'));

describe('refusals', () => {
  it('that come too fast are counted, and the count is logged', async () => {
    const entries: EntryDraft[] = [];
    let now = Date.parse('2026-11-21T08:00:00Z');
    const record: Ledger['record'] = async (work) => {
      const value = await work({ handle: null, append: (entry) => void entries.push(entry) });
      return { value, entries: [] };
    };
    const log = new AccessLog(
      { record } as unknown as Ledger,
      () => {},
      () => new Date(now),
      { most: 2, window: 1_000_000 },
    );
    const refusal = {
      action: 'approve',
      code: 'unknown-token',
      message: 'no',
      repository: 'x'.repeat(10_000),
    } as const;
    for (let i = 0; i < 100; i++) await log.refused(refusal);
    expect(entries).toHaveLength(2);
    expect(entries[0].contents!['asked'].bytes.length).toBeLessThan(1_000);
    now += 1_000_000;
    await log.refused(refusal);
    expect(entries.map(({ predicate }) => predicate['refusals'])).toEqual([undefined, undefined, 98, undefined]);
    await log.close();
    expect(entries).toHaveLength(4);
  });

  it('stay refusals when the log is away', async () => {
    const faults: unknown[] = [];
    const log = new AccessLog({ record: away } as unknown as Ledger, (thrown) => void faults.push(thrown));
    await log.refused({ action: 'approve', code: 'no-token', message: 'no' });
    expect(faults).toHaveLength(1);
  });
});
