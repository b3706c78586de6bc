import { join } from 'node:path';
import type { AnchorPlace } from '../../audit/anchoring.js';
import { CountersignError } from '../../errors.js';
import type { RemoteOptions } from '../../source/repository.js';
import { complaint, gitVersion, runGit } from './processes.js';
import { remoteOf, type Remote } from './remote.js';

/** Each commit on it holds one signed checkpoint a log, in a file named like the log's origin. */
export const CHECKPOINTS_REF = 'refs/countersign/checkpoints';

const limit = 64 * 1024 * 1024;
const pushTimeout = 60_000;
/** Two logs may anchor in one repository at once: whoever comes second puts its own on top. */
const attempts = 4;

const fileOf = (origin: string): string => encodeURIComponent(origin);

/** The ref of a followed repository, through its mirror. */
export class CheckpointsRef implements AnchorPlace {
  readonly where: string;
  readonly #remote: Remote;

  constructor(
    /** The mirror's folder. */
    private readonly path: string,
    remote: RemoteOptions,
    private readonly origin: string,
  ) {
    this.#remote = remoteOf(remote);
    this.where = `${CHECKPOINTS_REF} of ${this.#remote.address}`;
  }

  async newest(): Promise<string | undefined> {
    const tip = await this.#tip();
    return tip === undefined ? undefined : readFileAt(this.path, tip, this.origin);
  }

  async add(note: string, size: number): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const tip = await this.#tip();
      const commit = await this.#commit(tip, note, size);
      const { code, stderr } = await this.#run([
        'push',
        '--quiet',
        this.#remote.address,
        `${commit}:${CHECKPOINTS_REF}`,
      ]);
      if (code === 0) return;
      if (attempt < attempts && /non-fast-forward|fetch first|stale info|cannot lock|already exists/i.test(stderr))
        continue;
      const why = stderr.split('\n').find((line) => /^(?:fatal|error|remote:|!| !)/.test(line)) ?? complaint(stderr);
      throw new CountersignError('git-failed', `the checkpoint could not be anchored in ${this.where}: ${why.trim()}`, {
        remedy: `Let the service push ${CHECKPOINTS_REF} there, and nothing else; or leave out "anchor"`,
        retry: true,
      });
    }
  }

  async #tip(): Promise<string | undefined> {
    const id = (await this.#remote.refs([CHECKPOINTS_REF])).get(CHECKPOINTS_REF);
    if (id === undefined) return undefined;
    const fetched = ['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--no-auto-maintenance'];
    const { code, stderr } = await this.#run([...fetched, this.#remote.address, `+${id}:refs/countersign/anchored`]);
    if (code === 0) return id;
    throw new CountersignError('repository-missing', `${this.where} cannot be fetched: ${complaint(stderr)}`, {
      retry: true,
    });
  }

  async #commit(tip: string | undefined, note: string, size: number): Promise<string> {
    const blob = await this.#git(['hash-object', '-w', '--stdin'], note);
    const name = fileOf(this.origin);
    const others = tip === undefined ? '' : await this.#git(['ls-tree', tip]);
    const lines = others.split('\n').filter((line) => line !== '' && !line.endsWith(`\t${name}`));
    const tree = await this.#git(['mktree'], [...lines, `100644 blob ${blob}\t${name}`, ''].join('\n'));
    const parents = tip === undefined ? [] : ['-p', tip];
    return this.#git(['commit-tree', '--no-gpg-sign', tree, ...parents, '-m', `${this.origin} ${size}`]);
  }

  async #git(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.#run(args, input);
    if (code !== 0) throw new CountersignError('git-failed', `git ${args[0]} in ${this.path}: ${complaint(stderr)}`);
    return stdout.toString().trim();
  }

  #run(args: readonly string[], input?: string): ReturnType<typeof runGit> {
    const { environment } = this.#remote;
    const nobody = { name: 'countersign', email: 'log@countersign.invalid' };
    return runGit(['--git-dir', this.path, ...args], {
      ...environment,
      variables: {
        ...environment.variables,
        GIT_CONFIG_GLOBAL: join(this.path, 'trust.gitconfig'),
        GIT_AUTHOR_NAME: nobody.name,
        GIT_AUTHOR_EMAIL: nobody.email,
        GIT_COMMITTER_NAME: nobody.name,
        GIT_COMMITTER_EMAIL: nobody.email,
      },
      ...(input === undefined ? {} : { input }),
      timeout: pushTimeout,
    });
  }
}

/** A checkpoint as somebody's clone holds it. */
export interface Anchor {
  readonly commit: string;
  readonly note: string;
}

/**
 * Every different checkpoint of a log on `ref` of a clone, newest first. Throws `repository-missing` where there is no such ref,
 * with what to fetch.
 */
export async function readAnchors(clone: string, origin: string, ref = CHECKPOINTS_REF): Promise<readonly Anchor[]> {
  if ((await gitVersion()) === undefined) {
    throw new CountersignError('git-failed', 'git is not installed', { remedy: 'Install git 2.39 or newer' });
  }
  const git = (args: readonly string[], input = ''): ReturnType<typeof runGit> =>
    runGit(['-C', clone, ...args], { input, limit });
  const listed = await git(['rev-list', '--first-parent', '--end-of-options', ref, '--']);
  if (listed.code !== 0) {
    throw new CountersignError('repository-missing', `there is no ${ref} in ${clone}: ${complaint(listed.stderr)}`, {
      remedy: `Fetch it: git -C ${clone} fetch origin +${CHECKPOINTS_REF}:${CHECKPOINTS_REF}`,
    });
  }
  const commits = listed.stdout.toString().split('\n').filter(Boolean);
  const path = fileOf(origin);
  const { stdout } = await git(['cat-file', '--batch'], commits.map((commit) => `${commit}:${path}\n`).join(''));
  const anchors: Anchor[] = [];
  let at = 0;
  for (const commit of commits) {
    const end = stdout.indexOf('\n', at);
    const header = stdout.toString('latin1', at, end);
    at = end + 1;
    const size = /^[0-9a-f]+ blob (\d+)$/.exec(header)?.[1];
    if (size === undefined) continue; // another log's commit, from before this one's first
    const note = stdout.toString('utf8', at, at + Number(size));
    at += Number(size) + 1;
    if (anchors.at(-1)?.note === note) anchors[anchors.length - 1] = { commit, note };
    else anchors.push({ commit, note });
  }
  return anchors;
}

async function readFileAt(path: string, commit: string, origin: string): Promise<string | undefined> {
  const { code, stdout } = await runGit(['--git-dir', path, 'cat-file', 'blob', `${commit}:${fileOf(origin)}`], {
    limit: 1_000_000,
  });
  return code === 0 ? stdout.toString('utf8') : undefined;
}
