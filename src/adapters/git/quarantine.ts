import { realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { CountersignError } from '../../errors.js';
import type { GitEnvironment } from './processes.js';

/** Where objects of a push lie that is not accepted yet (githooks(5), git-receive-pack(1) "Quarantine Environment"). */
export interface Quarantine {
  readonly objects: string;
  /** Further object folders: the repository's own, and pools that a forge shares between forks. */
  readonly alternates: readonly string[];
}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The quarantine that git tells a pre-receive hook of; undefined where there is none. Only these three variables are taken over,
 * and only for a folder that git itself makes inside the repository's objects: whatever else an environment names would let the
 * caller choose what is judged. Throws `usage`.
 */
export function quarantineOf(gitDir: string, env: Variables): Quarantine | undefined {
  const { GIT_QUARANTINE_PATH: path, GIT_OBJECT_DIRECTORY: objects, GIT_ALTERNATE_OBJECT_DIRECTORIES: others } = env;
  if (!path) return undefined;
  const own = real(join(gitDir, 'objects'));
  const quarantine = real(path);
  if (dirname(quarantine) !== own || !/^(?:tmp_objdir-)?incoming-\w+$/.test(basename(quarantine))) {
    throw refused(`GIT_QUARANTINE_PATH ${path} is no quarantine of ${gitDir}`);
  }
  if (objects && real(objects) !== quarantine) {
    throw refused('GIT_OBJECT_DIRECTORY and GIT_QUARANTINE_PATH name different folders');
  }
  const alternates = (others ?? '').split(':').filter(Boolean).map(real);
  return { objects: quarantine, alternates: [...new Set([own, ...alternates])] };
}

/** What a git that reads the repository must be told to see these objects, too. */
export function quarantineEnvironment({ objects, alternates }: Quarantine): GitEnvironment {
  return {
    variables: { GIT_OBJECT_DIRECTORY: objects, GIT_ALTERNATE_OBJECT_DIRECTORIES: alternates.join(':') },
  };
}

function real(path: string): string {
  // A list is separated by colons, and git reads a name in quotes as a quoted one.
  if (!isAbsolute(path) || /[:"\n]/.test(path)) throw refused(`${JSON.stringify(path)} is no plain absolute path`);
  try {
    return realpathSync(path);
  } catch {
    throw refused(`there is no folder ${path}`);
  }
}

function refused(message: string): CountersignError {
  return new CountersignError('usage', `the environment of this hook makes no sense: ${message}`, {
    remedy: 'Let git itself run it, as hooks/pre-receive of the repository',
  });
}
