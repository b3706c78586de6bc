import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CountersignError } from '../../errors.js';

/** Two people may approve at once: whoever comes second puts theirs on top. */
const ATTEMPTS = 6;
const PAUSE = 150;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a person's own git knows and does, with that person's configuration and credentials. For the command line only. */
export class OwnClone {
  private constructor(readonly path: string) {}

  /** Throws `repository-missing`. */
  static async open(path: string): Promise<OwnClone> {
    const clone = new OwnClone(path);
    const { code, stderr } = await clone.#run(['rev-parse', '--git-dir']);
    if (code === 0) return clone;
    throw new CountersignError('repository-missing', `${path} is no Git repository: ${stderr}`, {
      remedy: 'Name your clone of the governed repository with --repository',
    });
  }

  /** `origin`, or the only remote there is, or the repository itself when it has none. */
  async remote(): Promise<string> {
    const names = (await this.#git(['remote'])).split('\n').filter(Boolean);
    if (names.length === 0) return '.';
    if (names.includes('origin')) return 'origin';
    if (names.length === 1) return names[0];
    throw new CountersignError('usage', `${this.path} has the remotes ${names.join(', ')}`, {
      remedy: 'Choose one with --remote',
    });
  }

  /** The tree of a commit; null when the commit is not here. */
  async treeOf(commit: string): Promise<string | null> {
    const { code, stdout } = await this.#run(['rev-parse', '--verify', '--quiet', `${commit}^{tree}`]);
    return code === 0 ? stdout.trim() : null;
  }

  /** Ids of the commits in base..head; of everything in head where base is null. */
  async commits(base: string | null, head: string): Promise<readonly string[]> {
    const listed = await this.#git(['rev-list', head, ...(base === null ? [] : [`^${base}`]), '--']);
    return listed.split('\n').filter(Boolean);
  }

  /** The root of the work tree. */
  async top(): Promise<string> {
    return this.#git(['rev-parse', '--show-toplevel']);
  }

  /** The full id of a commit; null when there is no such revision here. */
  async resolve(revision: string): Promise<string | null> {
    const { code, stdout } = await this.#run(['rev-parse', '--verify', '--quiet', `${revision}^{commit}`]);
    return code === 0 ? stdout.trim() : null;
  }

  /** The branch that is checked out. Throws `usage` where none is. */
  async branch(): Promise<string> {
    const { code, stdout } = await this.#run(['symbolic-ref', '--quiet', '--short', 'HEAD']);
    if (code === 0) return stdout.trim();
    throw new CountersignError('usage', `${this.path} has no branch checked out`, {
      remedy: 'git switch BRANCH first',
    });
  }

  /** Throws `usage` when a file has changes that are not committed: they would go along unseen. */
  async mustBeClean(file: string): Promise<void> {
    const changed = await this.#git(['status', '--porcelain', '--', `:(top)${file}`]);
    if (changed === '') return;
    throw new CountersignError('usage', `${file} has changes that are not committed`, {
      remedy: `Commit them, or git checkout ${file}`,
    });
  }

  /** Commits that one file as it is in the work tree, under the person's own name and signature; whatever else is staged stays so. */
  async commitFile(file: string, message: string): Promise<string> {
    await this.#git(['commit', '--quiet', '--file=-', '--', `:(top)${file}`], {}, message);
    return this.#git(['rev-parse', 'HEAD']);
  }

  /** Throws `git-failed` with git's own words. */
  async pushHead(remote: string, branch: string): Promise<void> {
    await this.#git(['push', '--quiet', remote, `HEAD:refs/heads/${branch}`]);
  }

  async config(name: string): Promise<string | null> {
    const { code, stdout } = await this.#run(['config', '--get', '--type=path', name]);
    return code === 0 ? stdout.trim() : null;
  }

  /**
   * Puts files on top of what `ref` of the remote holds and pushes that, in memory and without touching index, work tree or local
   * refs; again on top of what somebody else pushed meanwhile. Throws `git-failed` with git's own words.
   */
  async pushFiles(
    remote: string,
    ref: string,
    message: string,
    files: Readonly<Record<string, string>>,
  ): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-index-'));
    try {
      for (let attempt = 1; ; attempt++) {
        const tip = await this.#tip(remote, ref);
        const commit = await this.#commit(tip, message, files, join(folder, `index-${attempt}`));
        const { code, stderr } = await this.#run(['push', '--quiet', remote, `${commit}:${ref}`]);
        if (code === 0) return commit;
        const lost = /non-fast-forward|fetch first|stale info|cannot lock ref|already exists|reference already/i.test(
          stderr,
        );
        if (lost && attempt < ATTEMPTS) {
          await sleep(PAUSE * attempt * (0.5 + Math.random()));
          continue;
        }
        throw new CountersignError('git-failed', `${ref} could not be pushed to ${remote}: ${firstLine(stderr)}`, {
          remedy: `You need the right to push ${ref} there; check it with git push ${remote} HEAD:${ref}-test`,
        });
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #tip(remote: string, ref: string): Promise<string | null> {
    const [id = ''] = (await this.#git(['ls-remote', remote, ref])).split('\t');
    if (id === '') return null;
    await this.#git(['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', remote, ref]);
    return id;
  }

  async #commit(
    tip: string | null,
    message: string,
    files: Readonly<Record<string, string>>,
    index: string,
  ): Promise<string> {
    // Who approves is told by the signature; the commit that carries it needs no name.
    const nobody = { name: 'countersign approve', email: 'approve@countersign.invalid' };
    const environment = {
      GIT_INDEX_FILE: index,
      GIT_AUTHOR_NAME: nobody.name,
      GIT_AUTHOR_EMAIL: nobody.email,
      GIT_COMMITTER_NAME: nobody.name,
      GIT_COMMITTER_EMAIL: nobody.email,
    };
    if (tip !== null) await this.#git(['read-tree', tip], environment);
    for (const [path, text] of Object.entries(files)) {
      const blob = await this.#git(['hash-object', '-w', '--stdin'], environment, text);
      await this.#git(['update-index', '--add', '--cacheinfo', `100644,${blob},${path}`], environment);
    }
    const tree = await this.#git(['write-tree'], environment);
    const parents = tip === null ? [] : ['-p', tip];
    return this.#git(['commit-tree', '--no-gpg-sign', tree, ...parents, '-m', message], environment);
  }

  async #git(args: readonly string[], environment: Record<string, string> = {}, input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.#run(args, environment, input);
    if (code === 0) return stdout.trim();
    throw new CountersignError('git-failed', `git ${args[0]} in ${this.path}: ${firstLine(stderr)}`);
  }

  #run(args: readonly string[], environment: Record<string, string> = {}, input = ''): Promise<Ran> {
    const child = spawn('git', args, { cwd: this.path, env: { ...process.env, LC_ALL: 'C', ...environment } });
    return new Promise((resolve, reject) => {
      let [stdout, stderr] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      // A child that dies early closes its stdin under our write; its exit code tells the story.
      child.stdin.on('error', () => {});
      child.once('error', (cause) =>
        reject(new CountersignError('git-failed', `git could not be started: ${cause.message}`, { cause })),
      );
      child.once('close', (code) => resolve({ code, stdout, stderr: stderr.trim() }));
      child.stdin.end(input);
    });
  }
}

function firstLine(text: string): string {
  const lines = text.split('\n');
  return lines.find((line) => /^(?:fatal|error|remote|!)/.test(line.trim())) ?? lines[0] ?? '';
}
