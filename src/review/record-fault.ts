import type { Ledger } from '../audit/ledger.js';
import { faultEntry } from './entries.js';
import type { FaultRecord, Records } from './records.js';

/** A fault's row and its entry, in one transaction, once however often it is tried. Rejects as `Ledger.record` does when the log itself is away. */
export async function recordFault(ledger: Ledger, records: Records, fault: FaultRecord): Promise<void> {
  // A call before this one may have been committed, but not confirmed in time: it gets its place in the log without us.
  if ((await records.find('fault', { id: fault.id })).length > 0) return;
  const { entries } = await ledger.record(async (transaction) => {
    await records.save(transaction, 'fault', [fault]);
    transaction.append(faultEntry(fault));
  });
  await records.update('fault', { id: fault.id }, { index: entries[0].index });
}
