import type { DataSource } from 'typeorm';
import { databaseFault } from './faults.js';
import { lockSpace } from './lease.js';

/** Work that one of several processes of a log does at a time. */
export const duties = { mirror: 2, anchor: 3, content: 4 } as const;

/** Does the work unless another process is at it; undefined then. */
export async function onlyOne<T>(
  dataSource: DataSource,
  duty: keyof typeof duties,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const runner = dataSource.createQueryRunner();
  try {
    const held = await runner
      .query('SELECT pg_try_advisory_lock($1, $2) AS held', [lockSpace, duties[duty]])
      .catch((error: unknown) => {
        throw databaseFault(error);
      });
    if (!(held as readonly { readonly held: boolean }[])[0].held) return undefined;
    try {
      return await work();
    } finally {
      await runner.query('SELECT pg_advisory_unlock($1, $2)', [lockSpace, duties[duty]]).catch(() => undefined);
    }
  } finally {
    await runner.release();
  }
}
