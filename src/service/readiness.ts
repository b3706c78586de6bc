import type { DataSource } from 'typeorm';
import { toCountersignError } from '../errors.js';
import type { LogDuties } from './log-duties.js';
import type { Deployments } from '../reconcile/deployments.js';
import type { Records, Trouble } from '../review/records.js';

/** Whether everything that the service needs answers; else what does not, in words. */
export async function readiness(
  dataSource: DataSource,
  records: Records,
  deployments: Deployments,
  logDuties: LogDuties,
): Promise<{ ok: boolean; reasons: string[] }> {
  try {
    await dataSource.query('SELECT 1');
  } catch (thrown) {
    return { ok: false, reasons: [`database: ${toCountersignError(thrown).message}`] };
  }
  const faults = logDuties.faults();
  // Others hold more of this log than its own database: nothing that it says now may be relied on.
  const behind = faults.find(({ code }) => code === 'log-behind');
  if (behind) return { ok: false, reasons: [`log: ${behind.sentence}`] };
  const reasons = [
    ...faults.map(({ message }) => `log: ${message}`),
    ...(await records.find('repository')).flatMap(({ name, trouble }) =>
      trouble ? [about(`repository ${name}`, trouble)] : [],
    ),
    ...deployments.troubles().map(({ target, trouble }) => about(`target ${target}`, trouble)),
  ];
  return { ok: reasons.length === 0, reasons };
}

function about(name: string, trouble: Trouble): string {
  return `${name}: ${trouble.message}`;
}
