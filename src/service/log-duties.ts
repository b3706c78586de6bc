import { join } from 'node:path';
import { CheckpointsRef } from '../adapters/git/checkpoints-ref.js';
import { folderFiles } from '../adapters/log-files/folder.js';
import { Anchoring } from '../audit/anchoring.js';
import type { Cosigning } from '../audit/cosigning.js';
import type { KeyRing } from '../audit/keys.js';
import type { Lease, Leases, Share } from '../audit/lease.js';
import { behindRemedy, Mirroring, type MirroredLog, type WritableLogFiles } from '../audit/mirroring.js';
import { parseVkey } from '../audit/note.js';
import { Repeating } from '../audit/repeating.js';
import { followedIn, type Config, type MirrorConfig } from '../config.js';
import { CountersignError, toCountersignError } from '../errors.js';

/** What the service does with its log beside appending to it: copies, and checkpoints in the hands of others. */
export interface LogDuties {
  start(): void;
  /** Why a duty is not done right now. */
  faults(): readonly CountersignError[];
  stop(): Promise<void>;
}

/** How long a start waits for those who keep checkpoints, in milliseconds. */
const patience = 10_000;

/**
 * Throws `log-behind` if a copy or an anchor that can be reached now holds more of this log than the log itself: then an older database was
 * restored, and nothing may be done by it. One that is away is asked again later.
 */
export async function openLogDuties(
  config: Pick<Config, 'data' | 'log' | 'organisation' | 'repositories'>,
  keys: KeyRing,
  leases: Leases,
  log: MirroredLog,
  onFault: (fault: CountersignError) => void,
): Promise<LogDuties> {
  const key = parseVkey(keys.log.vkey);
  const duties: Duty[] = [];
  if (config.log.mirror) {
    const { to, everyMilliseconds } = config.log.mirror;
    const mirroring = new Mirroring(log, await openMirrorFiles(to), key);
    duties.push(new Duty('mirror', mirroring, everyMilliseconds, leases, onFault));
  }
  for (const { name, url, refs, credentials, ssh, anchorMilliseconds } of followedIn(config)) {
    if (anchorMilliseconds === undefined) continue;
    const path = join(config.data, 'mirrors', `${name}.git`);
    const place = new CheckpointsRef(path, { url, refs, credentials, ssh }, keys.origin);
    const anchoring = new Anchoring(log, place, key);
    duties.push(new Duty(`anchor ${name}`, anchoring, anchorMilliseconds, leases, onFault));
  }
  for (const { check } of duties) await requireNotBehind(check);
  return {
    start: () => duties.forEach((duty) => duty.start()),
    faults: () => duties.flatMap(({ fault }) => (fault ? [fault] : [])),
    stop: async () => {
      await Promise.all(duties.map((duty) => duty.stop()));
    },
  };
}

/** Work on a place that holds the log, too. */
interface Keeping {
  /** Throws `log-behind` if the place holds more of the log than the log itself. */
  check(): Promise<unknown>;
  /** That, and then gives the place what it lacks. */
  round(lease: Lease): Promise<unknown>;
}

/** One instance gives the place what it lacks; the others look at it as often, for none of them may go on when it holds more than the log. */
class Duty {
  /** One at a time: two would be in each other's way at the place. */
  #loop: Repeating | undefined;
  #share: Share | undefined;
  #stopped = false;

  constructor(
    private readonly name: string,
    private readonly keeping: Keeping,
    /** Milliseconds. */
    private readonly every: number,
    private readonly leases: Leases,
    private readonly onFault: (fault: CountersignError) => void,
  ) {}

  get fault(): CountersignError | undefined {
    return this.#loop?.fault;
  }

  readonly check = (): Promise<unknown> => this.keeping.check();

  start(): void {
    void this.#repeat(this.check);
    this.#share = this.leases.share('duty', this.name, async (lease) => {
      await this.#repeat(() => this.keeping.round(lease));
      return () => this.#repeat(this.check);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#share?.withdraw();
    await this.#loop?.stop();
  }

  async #repeat(work: () => Promise<unknown>): Promise<void> {
    await this.#loop?.stop();
    if (this.#stopped) return;
    this.#loop = new Repeating(work, this.every, this.onFault);
    this.#loop.start();
  }
}

async function openMirrorFiles(to: MirrorConfig['to']): Promise<WritableLogFiles> {
  if ('folder' in to) return folderFiles(to.folder);
  return (await import('../adapters/log-files/s3.js')).s3Files(to);
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
