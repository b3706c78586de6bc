import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CountersignError } from '../../errors.js';
import { LocalRefs } from './local-refs.js';

const run = promisify(execFile);

export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

/** Somebody who commits, with a key that ssh-keygen made. */
export interface Person {
  readonly name: string;
  readonly email: string;
  /** Path of the private key; the public one is beside it. */
  readonly keyFile: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  readonly publicKey: string;
}

export interface NewCommit {
  readonly author: Person;
  /** Somebody else who commits for the author. */
  readonly committer?: Person;
  /** Whose key signs it: the committer's by default; false: nobody's. */
  readonly sign?: Person | false;
  readonly message: string;
  readonly files?: Readonly<Record<string, string | Buffer>>;
  readonly delete?: readonly string[];
  /** RFC 3339 or git's own; now by default. */
  readonly date?: string;
  /** Replaces the branch's last commit. */
  readonly amend?: boolean;
}

let keyFolder: Promise<string> | undefined;
const people = new Map<string, Promise<Person>>();

/** One key a person, type and run. */
export function person(name: string, email: string, type: KeyType = 'ed25519'): Promise<Person> {
  const id = `${name}\0${email}\0${type}`;
  const known = people.get(id) ?? makePerson(name, email, type);
  people.set(id, known);
  return known;
}

async function makePerson(name: string, email: string, type: KeyType): Promise<Person> {
  keyFolder ??= mkdtemp(join(tmpdir(), 'countersign-keys-'));
  const keyFile = join(await keyFolder, `${people.size}-${email.replaceAll(/[^\w.@-]/g, '_')}-${type}`);
  const bits = type === 'rsa' ? ['-b', '2048'] : [];
  await run('ssh-keygen', ['-q', '-t', type, ...bits, '-N', '', '-C', email, '-f', keyFile]);
  const [kind, key] = (await readFile(`${keyFile}.pub`, 'utf8')).split(' ');
  return { name, email, keyFile, publicKey: `${kind} ${key}` };
}

/** Removes every key that `person` made. */
export async function forgetPeople(): Promise<void> {
  const folder = await keyFolder;
  keyFolder = undefined;
  people.clear();
  if (folder) await rm(folder, { recursive: true, force: true });
}

/** The text of an allowed_signers file; `options` as in ssh-keygen(1), for example `valid-before="20270101Z"`. */
export function allowedSigners(signers: readonly (Person | { person: Person; options: string })[]): string {
  return signers
    .map((signer) => ('person' in signer ? signer : { person: signer, options: '' }))
    .map(
      ({ person: who, options }) =>
        `${who.email} ${['namespaces="git"', options].filter(Boolean).join(',')} ${who.publicKey}\n`,
    )
    .join('');
}

/** A throw-away repository, written with the installed git as people do. For tests and the demo only. */
export class ScratchRepository {
  private constructor(readonly path: string) {}

  static async create(
    path: string,
    options: { bare?: boolean; branch?: string; objectFormat?: 'sha1' | 'sha256' } = {},
  ): Promise<ScratchRepository> {
    await mkdir(path, { recursive: true });
    const repository = new ScratchRepository(path);
    await repository.git(
      'init',
      '--quiet',
      `--initial-branch=${options.branch ?? 'main'}`,
      `--object-format=${options.objectFormat ?? 'sha1'}`,
      ...(options.bare ? ['--bare'] : []),
    );
    return repository;
  }

  static async clone(from: string, path: string, ...args: readonly string[]): Promise<ScratchRepository> {
    await mkdir(path, { recursive: true });
    const repository = new ScratchRepository(path);
    await repository.git('clone', '--quiet', ...args, from, '.');
    return repository;
  }

  /** Runs git here; resolves to what it printed, without the last line break. */
  async git(...args: readonly string[]): Promise<string> {
    return this.run(args, {});
  }

  async run(args: readonly string[], variables: Readonly<Record<string, string>>): Promise<string> {
    try {
      const { stdout } = await run('git', [...args], {
        cwd: this.path,
        env: { ...SCRATCH_ENVIRONMENT, PATH: process.env['PATH'], ...variables },
        maxBuffer: 1024 * 1024 * 1024,
      });
      return stdout.replace(/\n$/, '');
    } catch (cause) {
      const { stderr = '' } = cause as { stderr?: string };
      throw new CountersignError('git-failed', `git ${args.join(' ')}: ${stderr.trim()}`, { cause });
    }
  }

  /** Writes, stages and commits on the checked-out branch; resolves to the commit's id. */
  async commit(commit: NewCommit): Promise<string> {
    for (const [path, content] of Object.entries(commit.files ?? {})) {
      const file = join(this.path, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
    }
    const written = Object.keys(commit.files ?? {});
    if (written.length > 0) await this.git('add', '--force', '--', ...written);
    if (commit.delete?.length) await this.git('rm', '--quiet', '-r', '--', ...commit.delete);
    const amend = commit.amend ? ['--amend'] : [];
    await this.signed(commit, ['commit', '--quiet', '--allow-empty', '--no-verify', ...amend, '-m', commit.message]);
    return this.head();
  }

  /** Always makes a merge commit. */
  async merge(branch: string, commit: Omit<NewCommit, 'files' | 'delete' | 'amend'>): Promise<string> {
    await this.signed(commit, ['merge', '--quiet', '--no-ff', '-m', commit.message, branch]);
    return this.head();
  }

  /** Creates the branch if there is none yet. */
  async checkout(branch: string, from?: string): Promise<void> {
    await this.git('checkout', '--quiet', ...(from === undefined ? [branch] : ['-B', branch, from]));
  }

  /** Moves the checked-out branch somewhere else, as a forced push into this repository would. */
  async rewind(to: string): Promise<void> {
    await this.git('reset', '--quiet', '--hard', to);
  }

  async push(remote: string, ...refspecs: readonly string[]): Promise<void> {
    await this.git('push', '--quiet', remote, ...refspecs);
  }

  async forcePush(remote: string, ...refspecs: readonly string[]): Promise<void> {
    await this.git('push', '--quiet', '--force', remote, ...refspecs);
  }

  async head(revision = 'HEAD'): Promise<string> {
    const read = revision === 'HEAD' ? await (await LocalRefs.open(this.path)).read(['HEAD']) : undefined;
    return read?.get('HEAD') ?? this.git('rev-parse', '--verify', `${revision}^{commit}`);
  }

  private async signed(commit: NewCommit, args: readonly [string, ...string[]]): Promise<void> {
    const committer = commit.committer ?? commit.author;
    const signer = commit.sign === undefined ? committer : commit.sign;
    const [command, ...rest] = args;
    const signing = signer
      ? ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${signer.keyFile}`, command, '--gpg-sign']
      : [command, '--no-gpg-sign'];
    await this.run([...signing, ...rest], {
      GIT_AUTHOR_NAME: commit.author.name,
      GIT_AUTHOR_EMAIL: commit.author.email,
      GIT_COMMITTER_NAME: committer.name,
      GIT_COMMITTER_EMAIL: committer.email,
      ...(commit.date ? { GIT_AUTHOR_DATE: commit.date, GIT_COMMITTER_DATE: commit.date } : {}),
    });
  }
}

/** The machine's and the user's own git configuration must not change what tests and the demo do. */
const SCRATCH_ENVIRONMENT = {
  LC_ALL: 'C',
  TZ: 'UTC',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Nobody',
  GIT_AUTHOR_EMAIL: 'nobody@example.org',
  GIT_COMMITTER_NAME: 'Nobody',
  GIT_COMMITTER_EMAIL: 'nobody@example.org',
  GIT_CONFIG_COUNT: '4',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
  GIT_CONFIG_KEY_1: 'gc.auto',
  GIT_CONFIG_VALUE_1: '0',
  GIT_CONFIG_KEY_2: 'advice.detachedHead',
  GIT_CONFIG_VALUE_2: 'false',
  GIT_CONFIG_KEY_3: 'protocol.file.allow',
  GIT_CONFIG_VALUE_3: 'always',
};
