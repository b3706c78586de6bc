import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CountersignError } from '../../errors.js';
import { decodePath } from '../../source/path.js';
import type { Commit, CommitWithFiles, FileChange } from '../../source/repository.js';
import { cutOffHistory } from './faults.js';
import { collectStderr, exitOf, type GitEnvironment, spawnGit } from './processes.js';
import { refuseUnsafe } from './trees.js';

/** Raw commits that are read ahead of the consumer: at most this many, and no more once they hold this many bytes. */
const WINDOW = 128;
const WINDOW_BYTES = 4 * 1024 * 1024;

interface Listed {
  readonly id: string;
  readonly parents: readonly string[];
}

interface Source {
  readonly gitDir: string;
  readonly environment: GitEnvironment;
  readonly commit: (id: string) => Promise<Commit>;
  readonly failed: (what: string, stderr: string) => Promise<CountersignError>;
}

/**
 * rev-list names the commits, diff-tree their files, cat-file their bytes; three processes side by side, however many
 * commits there are. Everything is pulled: a consumer that pauses stops all three through their pipes, one that leaves
 * ends them.
 */
export async function* nativeHistory(revisions: string, source: Source): AsyncGenerator<CommitWithFiles> {
  const listing = start(source, ['rev-list', '--topo-order', '--reverse', '--parents', '--stdin']);
  const diffing = start(source, [
    'diff-tree',
    '--stdin',
    '-z',
    '-r',
    '--root',
    '--always',
    '--no-renames',
    '--no-abbrev',
    '--ignore-submodules=none',
  ]);
  try {
    listing.child.stdin.end(revisions);
    const queue: Listed[] = [];
    const feed = pipeline(Readable.from(diffInput(listing.child, queue), { objectMode: true }), diffing.child.stdin);
    // Reported below, by the exit code of whichever process failed.
    feed.catch(() => {});
    const ahead = new Ahead(queue, source.commit);
    for await (const { id, files } of diffOutput(diffing.child)) {
      const listed = ahead.next();
      const commit = await listed?.commit;
      if (!commit || commit.id !== id) throw await source.failed('diff-tree answered out of order', diffing.stderr());
      sameParents(listed!.listed, commit);
      yield { commit, files };
      ahead.release(commit);
    }
    // diff-tree first: when it fails, rev-list dies of the broken pipe between them, which is not the cause.
    for (const { child, exit, stderr, name } of [diffing, listing]) {
      if ((await exit) !== 0) throw await source.failed(`git ${name} ended with code ${child.exitCode}`, stderr());
    }
    await feed;
  } finally {
    for (const { child, exit } of [listing, diffing]) {
      child.kill('SIGKILL');
      await exit.catch(() => {});
    }
  }
}

function start({ gitDir, environment }: Source, args: readonly [string, ...string[]]) {
  const child = spawnGit(['--git-dir', gitDir, ...args], environment);
  const exit = exitOf(child);
  exit.catch(() => {});
  return { name: args[0], child, exit, stderr: collectStderr(child) };
}

/** Reads commits ahead in the order in which they will be wanted. */
class Ahead {
  private readonly reading: { readonly listed: Listed; readonly commit: Promise<Commit> }[] = [];
  private taken = 0;
  private held = 0;

  constructor(
    private readonly queue: Listed[],
    private readonly read: (id: string) => Promise<Commit>,
  ) {}

  next(): { readonly listed: Listed; readonly commit: Promise<Commit> } | undefined {
    if (this.reading.length < WINDOW / 2) this.fill();
    return this.reading.shift();
  }

  release(commit: Commit): void {
    this.held -= commit.raw.length;
  }

  private fill(): void {
    while (this.taken < this.queue.length && this.reading.length < WINDOW) {
      if (this.held > WINDOW_BYTES && this.reading.length > 0) break;
      const listed = this.queue[this.taken++];
      const commit = this.read(listed.id).then((read) => {
        this.held += read.raw.length;
        return read;
      });
      // Its consumer may have left by the time it fails.
      commit.catch(() => {});
      this.reading.push({ listed, commit });
    }
    if (this.taken > 1024) this.queue.splice(0, this.taken);
    if (this.queue.length === 0 || this.taken > 1024) this.taken = 0;
  }
}

/** One line for diff-tree per line of rev-list; the queue remembers them for the reader at the other end. */
async function* diffInput(child: ChildProcessWithoutNullStreams, queue: Listed[]): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop()!;
    let input = '';
    for (const line of lines) {
      const [id, ...parents] = line.split(' ') as [string, ...string[]];
      queue.push({ id, parents });
      input += parents[0] === undefined ? `${id}\n` : `${id} ${parents[0]}\n`;
    }
    if (input) yield input;
  }
}

async function* diffOutput(child: ChildProcessWithoutNullStreams): AsyncGenerator<{ id: string; files: FileChange[] }> {
  let current: { id: string; files: FileChange[] } | undefined;
  let header: string | undefined;
  let rest: Buffer | undefined;
  for await (const part of child.stdout as AsyncIterable<Buffer>) {
    const data: Buffer = rest ? Buffer.concat([rest, part]) : part;
    let at = 0;
    for (let nul = data.indexOf(0); nul >= 0; nul = data.indexOf(0, at)) {
      if (header !== undefined) {
        current!.files.push(fileChange(header, decodePath(data.subarray(at, nul))));
        header = undefined;
      } else {
        const token = data.toString('latin1', at, nul);
        if (token.startsWith(':')) header = token;
        else {
          if (current) yield current;
          current = { id: token, files: [] };
        }
      }
      at = nul + 1;
    }
    rest = at < data.length ? data.subarray(at) : undefined;
  }
  if (current) yield current;
}

/** `:100644 100755 <old> <new> M`; see git-diff-tree(1), raw output format. */
function fileChange(header: string, path: string): FileChange {
  refuseUnsafe(path);
  const [oldMode, mode, oldId, id, status] = header.slice(1).split(' ') as [string, string, string, string, string];
  if (status === 'A') return { path, op: 'add', mode, id };
  if (status === 'D') return { path, op: 'delete', mode: oldMode, id: oldId, oldMode, oldId };
  return { path, op: 'modify', mode, id, oldMode, oldId };
}

/** A shallow clone ends in commits whose parents git pretends not to know: their files would all look added. */
function sameParents(listed: Listed, commit: Commit): void {
  if (listed.parents.join(' ') === commit.parents.join(' ')) return;
  throw cutOffHistory(commit.id);
}
