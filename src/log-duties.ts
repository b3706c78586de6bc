import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { CheckpointsRef } from './adapters/git/checkpoints-ref.js';
import { folderFiles } from './adapters/log-files/folder.js';
import { onlyOne } from './adapters/postgres/only-one.js';
import { Anchoring } from './audit/anchoring.js';
import type { Cosigning } from './audit/cosigning.js';
import type { KeyRing } from './audit/keys.js';
import { behindRemedy, Mirroring, type MirroredLog, type WritableLogFiles } from './audit/mirroring.js';
import { parseVkey } from './audit/note.js';
import { Repeating } from './audit/repeating.js';
import { followedIn, type Config, type MirrorConfig } from './config.js';
import { CountersignError, toCountersignError } from './errors.js';

/** What the service does with its log beside appending to it: copies, and checkpoints in the hands of others. */
export interface LogDuties {
  start(): void;
  /** Why a duty is not done right now. */
  faults(): readonly CountersignError[];
  stop(): Promise<void>;
}

interface Duty {
  readonly loop: Repeating;
  readonly check: () => Promise<unknown>;
}

/** How long a start waits for those who keep checkpoints, in milliseconds. */
const patience = 10_000;

/**
 * Throws `log-behind` if a copy or an anchor that can be reached now holds more of this log than the log itself: then an older database was
 * restored, and nothing may be done by it. One that is away is asked again later.
 */
export async function openLogDuties(
  config: Config,
  keys: KeyRing,
  dataSource: DataSource,
  log: MirroredLog,
  onFault: (fault: CountersignError) => void,
): Promise<LogDuties> {
  const key = parseVkey(keys.log.vkey);
  const duties: Duty[] = [];
  if (config.log.mirror) {
    const { to, everyMilliseconds } = config.log.mirror;
    const mirroring = new Mirroring(log, await openMirrorFiles(to), key);
    const loop = new Repeating(
      () => onlyOne(dataSource, 'mirror', () => mirroring.round()),
      everyMilliseconds,
      onFault,
    );
    duties.push({ loop, check: () => mirroring.check() });
  }
  for (const { name, url, refs, credentials, ssh, anchorMilliseconds } of followedIn(config)) {
    if (anchorMilliseconds === undefined) continue;
    const path = join(config.data, 'mirrors', `${name}.git`);
    const place = new CheckpointsRef(path, { url, refs, credentials, ssh }, keys.origin);
    const anchoring = new Anchoring(log, place, key);
    const loop = new Repeating(
      () => onlyOne(dataSource, 'anchor', () => anchoring.round()),
      anchorMilliseconds,
      onFault,
    );
    duties.push({ loop, check: () => anchoring.check() });
  }
  for (const { check } of duties) await requireNotBehind(check);
  return {
    start: () => duties.forEach(({ loop }) => loop.start()),
    faults: () => duties.flatMap(({ loop }) => (loop.fault ? [loop.fault] : [])),
    stop: async () => {
      await Promise.all(duties.map(({ loop }) => loop.stop()));
    },
  };
}

async function openMirrorFiles(to: MirrorConfig['to']): Promise<WritableLogFiles> {
  if ('folder' in to) return folderFiles(to.folder);
  return (await import('./adapters/log-files/s3.js')).s3Files(to);
}

/** A witness that has seen more than there is speaks of a restored backup; unless the log has grown meanwhile, by another process. */
export async function requireWitnessesNotAhead(cosigning: Cosigning): Promise<void> {
  const ahead = async (): Promise<CountersignError | undefined> =>
    (await cosigning.round()).faults.find(({ code }) => code === 'log-behind');
  await requireNotBehind(async () => {
    const fault = (await ahead()) && (await ahead());
    if (fault) throw new CountersignError('log-behind', fault.message, { remedy: behindRemedy });
  });
}

async function requireNotBehind(check: () => Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patience);
  try {
    await Promise.race([check(), promise]);
  } catch (error) {
    const fault = toCountersignError(error);
    if (['log-behind', 'note-invalid', 'config-invalid'].includes(fault.code)) throw fault;
  } finally {
    clearTimeout(timer);
  }
}
