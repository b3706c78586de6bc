import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ScratchRepository, type NewCommit, type Person } from '../../adapters/git/scratch-repository.js';

/** Who works on the shop. Dana, who is on call, has no key: she only ever touches the cluster. */
export const memberNames = ['ann', 'bo', 'carol'] as const;
export type MemberName = (typeof memberNames)[number];

/** A member of the team: an SSH key, and a clone to work in. */
export interface Member extends Person {
  readonly clone: ScratchRepository;
}

export type Team = Readonly<Record<MemberName, Member>>;

/** One folder a person: `id_ed25519`, made by ssh-keygen, and the clone `shop`. */
export async function makePerson(folder: string, name: MemberName): Promise<Person> {
  const home = join(folder, name);
  const keyFile = join(home, 'id_ed25519');
  const email = `${name}@example.org`;
  await mkdir(home, { recursive: true });
  await chmod(home, 0o700);
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', email, '-f', keyFile]);
  const [kind, key] = (await readFile(`${keyFile}.pub`, 'utf8')).split(' ');
  return { name: name.slice(0, 1).toUpperCase() + name.slice(1), email, keyFile, publicKey: `${kind} ${key}` };
}

export interface Pushed {
  readonly commit: string;
  /** When `git push` returned, by performance.now(). */
  readonly at: number;
}

/** What a person does: fetch, edit, commit (signed with the own key unless told), push. */
export async function commitAndPush(
  member: Member,
  commit: Omit<NewCommit, 'author'>,
  { force = false } = {},
): Promise<Pushed> {
  const { clone } = member;
  if (!commit.amend) await catchUp(member);
  const id = await clone.commit({ ...commit, author: member });
  await (force ? clone.forcePush('origin', 'HEAD:main') : clone.push('origin', 'HEAD:main'));
  return { commit: id, at: performance.now() };
}

/** `git pull`, or after somebody else's forced push what people do then: reset to what the server has. */
export async function catchUp({ clone }: Member): Promise<void> {
  await clone.git('fetch', '--quiet', 'origin');
  await clone.rewind('origin/main');
}
