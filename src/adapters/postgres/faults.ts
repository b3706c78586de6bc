import { CountersignError, toCountersignError } from '../../errors.js';

// What TypeORM throws when its connection was taken from under it.
const lostByName = new Set([
  'QueryRunnerAlreadyReleasedError',
  'TransactionNotStartedError',
  'ConnectionIsNotSetError',
]);
// SQLSTATE classes: 08 connection, 53 resources, 57 operator, 40 serialisation; 25006 is a replica.
const lostByState = /^(08|53|57|40)[0-9A-Z]{3}$|^25006$/;
const lostBySystem = /^E(CONN|PIPE|TIMEDOUT|HOST|NET|ADDR|AI_)/;
const lostByMessage = /connection|connect |not connected|terminat|timeout/i;

/** What the database said, as one of our codes. What is lost can be tried again; what is wrong cannot. */
export function databaseFault(error: unknown): CountersignError {
  if (error instanceof CountersignError) return error;
  const { code, message } = error as { code?: string; message?: string };
  if (code === '53100' || code === 'ENOSPC') {
    return new CountersignError('disk-full', `the disk of the log is full: ${message}`, {
      remedy: 'Free space, then try again',
      retry: true,
      cause: error,
    });
  }
  if (!isLost(error)) return toCountersignError(error);
  return new CountersignError('database-unavailable', `the database cannot be used: ${message}`, {
    remedy: 'Look at the database; this is tried again by itself',
    retry: true,
    cause: error,
  });
}

/** True for what the driver or TypeORM threw, as against what the caller's own code did. */
export function isDatabaseError(error: unknown): boolean {
  const { name, code, routine } = error as { name?: string; code?: unknown; routine?: unknown };
  const state = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code);
  return name === 'QueryFailedError' || routine !== undefined || state || isLost(error);
}

function isLost(error: unknown): boolean {
  const { name = '', code, message = '' } = error as { name?: string; code?: unknown; message?: string };
  if (lostByName.has(name)) return true;
  if (typeof code === 'string') return lostByState.test(code) || lostBySystem.test(code);
  return lostByMessage.test(message);
}
