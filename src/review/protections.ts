import { randomUUID } from 'node:crypto';
import type { Ledger } from '../audit/ledger.js';
import { canonicalJson } from '../cluster/canonical.js';
import { protectionEntry } from './entries.js';
import type { Forge } from './forge.js';
import type { ProtectionRecord, Records } from './records.js';

interface Parts {
  readonly repository: string;
  readonly forge: Pick<Forge, 'kind' | 'branchProtection'>;
  readonly ledger: Ledger;
  readonly records: Records;
  readonly now: () => Date;
}

/** Asks how the forge guards a branch, and records the answer if it is another than before. Throws `forge-failed`. */
export async function seeProtection(ref: string, { repository, forge, ledger, records, now }: Parts): Promise<void> {
  const { state, settings } = await forge.branchProtection(ref.replace('refs/heads/', ''));
  const [before] = await records.newest('protection', { repository, ref }, 'time', 1);
  if (before?.state === state && canonicalJson(before.settings) === canonicalJson(settings)) return;
  const record: ProtectionRecord = {
    id: randomUUID(),
    repository,
    ref,
    forge: forge.kind,
    state,
    settings,
    time: now().toISOString(),
    index: null,
  };
  const { entries } = await ledger.record(async (transaction) => {
    await records.save(transaction, 'protection', [record]);
    transaction.append(protectionEntry(record));
  });
  await records.update('protection', { id: record.id }, { index: entries[0].index });
}
