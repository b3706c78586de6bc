import { CountersignError, toCountersignError } from '../../errors.js';

/** What the database said, as one of our codes. Whatever is not clearly ours to mend can be tried again. */
export function databaseFault(error: unknown): CountersignError {
  if (error instanceof CountersignError) return error;
  const { code, message } = error as { code?: string; message?: string };
  if (code === '53100' || code === 'ENOSPC') {
    return new CountersignError('disk-full', `the database's disk is full: ${message}`, {
      remedy: 'Free space, then try again',
      retry: true,
      cause: error,
    });
  }
  // 08 connection, 53 resources, 57 operator, 40 serialisation, 25006 a replica; without SQLSTATE it is the connection.
  if (code === undefined || !/^[0-9A-Z]{5}$/.test(code) || /^(08|53|57|40)|^25006$/.test(code)) {
    const lost =
      typeof message === 'string' && (code !== undefined || /connect|terminat|timeout|closed|ended/i.test(message));
    if (lost) {
      return new CountersignError('database-unavailable', `the database cannot be used: ${message}`, {
        remedy: 'Look at the database; this is tried again by itself',
        retry: true,
        cause: error,
      });
    }
  }
  return toCountersignError(error);
}

/** True for what the driver or TypeORM threw, as against what the caller's own code did. */
export function isDatabaseError(error: unknown): boolean {
  const { name, code, routine } = error as { name?: string; code?: unknown; routine?: unknown };
  const system = typeof code === 'string' && /^(E[A-Z]+|[0-9A-Z]{5})$/.test(code);
  return (
    name === 'QueryFailedError' ||
    routine !== undefined ||
    system ||
    /connect|terminat/i.test((error as Error)?.message ?? '')
  );
}
