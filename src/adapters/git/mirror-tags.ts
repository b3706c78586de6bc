import type { Tag } from '../../source/repository.js';
import { CountersignError } from '../../errors.js';
import type { NativeRepository } from './native.js';
import { complaint, runGit } from './processes.js';
import { away, type Remote } from './remote.js';
import { sshReason } from './ssh.js';

const TIMEOUT = 60_000;
/** Tags taken in at one look; the next one goes on. */
const MOST = 5_000;

interface Listed {
  /** The tag object's. */
  readonly id: string;
  /** What it leads to in the end. */
  readonly peeled: string;
}

/**
 * The remote's annotated tags of commits that the mirror holds: the others would bring history that nobody follows. `fetch` takes
 * refspecs. Tags that are gone there go here, too.
 */
export async function mirroredTags(
  path: string,
  remote: Remote,
  repository: NativeRepository,
  fetch: (refspecs: readonly string[]) => Promise<void>,
): Promise<readonly Tag[]> {
  const listed = await listedTags(remote);
  const here = new Map((await repository.tags()).map(({ ref, id }) => [ref, id]));
  const wanted: string[] = [];
  for (const [ref, { id, peeled }] of listed) {
    if (wanted.length === MOST) break;
    if (here.get(ref) !== id && (await repository.peel(peeled)) !== undefined) wanted.push(`+${id}:${ref}`);
  }
  if (wanted.length > 0) await fetch(wanted);
  const gone = [...here.keys()].filter((ref) => !listed.has(ref));
  if (gone.length > 0)
    await runGit(['--git-dir', path, 'update-ref', '--stdin'], {
      input: gone.map((ref) => `delete ${ref}\n`).join(''),
    });
  return (await repository.tags()).filter(({ ref }) => listed.has(ref));
}

/** Annotated ones, which alone are listed with what they lead to. */
async function listedTags({ address, environment }: Remote): Promise<ReadonlyMap<string, Listed>> {
  const { code, stdout, stderr } = await runGit(['ls-remote', '--tags', '--', address], {
    ...environment,
    timeout: TIMEOUT,
  });
  if (code !== 0) throw away(address, sshReason(stderr) ?? complaint(stderr));
  const ids = new Map<string, string>();
  const listed = new Map<string, Listed>();
  for (const line of stdout.toString('utf8').split('\n')) {
    const [id = '', ref = ''] = line.split('\t');
    if (!/^[0-9a-f]+$/.test(id)) continue;
    if (!ref.endsWith('^{}')) ids.set(ref, id);
    else listed.set(ref.slice(0, -3), { id: ids.get(ref.slice(0, -3)) ?? '', peeled: id });
  }
  if ([...listed.values()].some(({ id }) => id === ''))
    throw new CountersignError('repository-corrupt', `${address} lists tags in no order that git has`);
  return listed;
}
