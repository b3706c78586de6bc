import pino, { type DestinationStream, type Logger } from 'pino';
import type { Config } from './config.js';
import { CountersignError, formatPlace } from './errors.js';
import { describeTrouble } from './review/trouble.js';

/** Where the service's running commentary goes. The log that counts is the ledger. */
export interface Commentary {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** Says that something cannot be done right now; `about` is the part of the service that it befell. */
export function warn(commentary: Commentary, fault: CountersignError, facts: object = {}, about?: string): void {
  const message = about === undefined ? fault.message : `${about}: ${fault.message}`;
  commentary.warn({ ...facts, trouble: describeTrouble(fault) }, message);
}

/** The commentary as one JSON object a line on standard output, secrets masked. */
export function createLogger(
  level: Config['logLevel'],
  destination?: DestinationStream,
  /** What this process is called among those of one database. */
  instance?: string,
): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: { pid: process.pid, ...(instance === undefined ? {} : { instance }) },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError },
    redact: { paths: secretPaths(), censor: '…' },
  };
  return destination ? pino(options, destination) : pino(options);
}

function secretPaths(): string[] {
  const names = ['password', 'credentials', 'authorization', 'cookie', 'token', 'secret', 'stringData'];
  return names.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
}

/**
 * What an error says, without whatever else hangs on it: database errors carry statements and their values, HTTP errors whole
 * requests with their headers.
 */
function describeError(error: unknown, depth = 0): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code } = error as { code?: unknown };
  const ours = error instanceof CountersignError ? error : undefined;
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' && { code }),
    ...(ours?.place && { place: formatPlace(ours.place) }),
    ...(ours?.remedy && { remedy: ours.remedy }),
    // A fault of ours that was foreseen needs no stack; its cause may.
    ...((!ours || ours.code === 'internal') && { stack: error.stack }),
    ...(error.cause !== undefined && depth < 4 && { cause: describeError(error.cause, depth + 1) }),
  };
}
