import { existsSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import { CountersignError } from '../../errors.js';
import { parseCommit } from '../../source/commit.js';
import type {
  Commit,
  CommitWithFiles,
  FileChange,
  HistoryRange,
  Repository,
  Tag,
  TreeEntry,
} from '../../source/repository.js';
import { CatFile, type GitObject, type ObjectType } from './cat-file.js';
import {
  badObject,
  commitTooLarge,
  corruptRepository,
  emptyRepository,
  missingObject,
  missingRepository,
  tooLargeBlob,
  unknownRevision,
} from './faults.js';
import { COMMIT_LIMIT, OBJECT_LIMIT, objectHash } from './limits.js';
import { mergedTree } from './merged-tree.js';
import { nativeHistory } from './native-history.js';
import { nearAncestor, nearHistory } from './near-history.js';
import { complaint, type GitEnvironment, runGit, type GitResult } from './processes.js';
import { inPrefixes } from './refs.js';
import { diffTrees, listTree, treeReader, type Reader } from './trees.js';

/** Reads a repository through the installed git. The process that reads objects lives until `close`. */
export class NativeRepository implements Repository {
  private readonly objects: CatFile;
  private readonly readTrees: Reader;

  private constructor(
    readonly path: string,
    readonly gitDir: string,
    readonly objectFormat: 'sha1' | 'sha256',
    /** Is there where history is cut off. */
    private readonly shallow: string,
    private readonly environment: GitEnvironment,
  ) {
    const fault = (name: string, stderr: string) =>
      // In a partial clone git would fetch it, which our settings forbid (invariant 8), and dies of that.
      /from promisor remote/.test(stderr)
        ? missingObject(this.path, name)
        : this.fault(`git stopped while reading ${name}`, stderr);
    this.objects = new CatFile(gitDir, fault, environment);
    this.readTrees = treeReader(
      (ids) => Promise.all(ids.map(async (id) => (await this.object(id, 'tree', OBJECT_LIMIT)).data)),
      objectFormat === 'sha1' ? 20 : 32,
    );
  }

  /** `environment`: what every git that reads here is told beside our settings; a push's quarantine, for one. */
  static async open(path: string, environment: GitEnvironment = {}): Promise<NativeRepository> {
    const absolute = resolvePath(path);
    if (!existsSync(absolute)) throw missingRepository(absolute);
    const { code, stdout, stderr } = await runGit([
      '-C',
      absolute,
      'rev-parse',
      '--path-format=absolute',
      '--git-dir',
      '--show-object-format',
      '--git-path',
      'shallow',
    ]);
    if (code !== 0) throw unreadable(absolute, stderr);
    const [gitDir, format, shallow] = stdout.toString('utf8').trimEnd().split('\n') as [string, string, string];
    if (format !== 'sha1' && format !== 'sha256') throw unreadable(absolute, `unknown object format '${format}'`);
    return new NativeRepository(absolute, gitDir, format, shallow, environment);
  }

  async refs(prefixes?: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const { stdout } = await this.git(['for-each-ref', '--format=%(objectname) %(objecttype) %(refname)']);
    const found = new Map<string, string>();
    const tags: Promise<void>[] = [];
    const add = async (ref: string, revision: string): Promise<void> => {
      const info = await this.objects.info(`${revision}^{commit}`);
      if (info) found.set(ref, info.id);
    };
    for (const line of stdout.toString('utf8').split('\n')) {
      const [id = '', type = '', ref = ''] = line.split(' ');
      if (!ref || !inPrefixes(ref, prefixes)) continue;
      if (type === 'commit') found.set(ref, id);
      else if (type === 'tag') tags.push(add(ref, id));
    }
    if (inPrefixes('HEAD', prefixes)) tags.push(add('HEAD', 'HEAD'));
    await Promise.all(tags);
    return new Map([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  async tags(): Promise<readonly Tag[]> {
    const { stdout } = await this.git([
      'for-each-ref',
      '--format=%(objectname) %(objecttype) %(refname)',
      'refs/tags/',
    ]);
    const lines = stdout.toString('utf8').split('\n');
    const found = lines.flatMap((line) => {
      const [id = '', type = '', ref = ''] = line.split(' ');
      return type === 'tag' ? [{ id, ref }] : [];
    });
    const tags = found.map(async ({ id, ref }) => {
      const [{ data }, commit] = await Promise.all([this.object(id, 'tag', COMMIT_LIMIT), this.peel(id)]);
      return commit === undefined ? [] : [{ ref, id, commit, raw: data }];
    });
    return (await Promise.all(tags)).flat().toSorted((a, b) => (a.ref < b.ref ? -1 : 1));
  }

  async resolve(revision: string): Promise<string> {
    const info = await this.objects.info(`${revision}^{commit}`);
    if (info?.type === 'commit') return info.id;
    this.present();
    const refs = revision === 'HEAD' ? await this.refs() : undefined;
    if (refs?.size === 0) throw emptyRepository(this.path);
    throw unknownRevision(this.path, revision, refs ? [...refs.keys()] : []);
  }

  /** The commit that an object of any kind leads to; undefined if it is not here or leads to none. */
  async peel(id: string): Promise<string | undefined> {
    return (await this.objects.info(`${this.checkId(id)}^{commit}`))?.id;
  }

  /** Whether the ref is there and holds exactly this id. */
  async refersTo(ref: string, id: string): Promise<boolean> {
    return (await this.objects.info(ref))?.id === id;
  }

  async *history(range: HistoryRange): AsyncGenerator<CommitWithFiles> {
    const near = await this.near(range);
    for (const commit of near ?? []) {
      const before = (await this.commit(commit.parents[0])).tree;
      yield { commit, files: await diffTrees(before, commit.tree, '', this.readTrees) };
    }
    if (near) return;
    yield* nativeHistory(await this.revisions(range), {
      gitDir: this.gitDir,
      environment: this.environment,
      commit: (id) => this.commit(id),
      failed: async (what, stderr) => this.fault(what, stderr),
    });
  }

  /** A push of a few commits, without a process of git's; undefined where that takes one. */
  private async near({ head, exclude = [] }: HistoryRange): Promise<readonly Commit[] | undefined> {
    // What several exclude may reach in between; and where history is cut off, git tells what is its beginning.
    if (exclude.length !== 1 || this.isCutOff) return undefined;
    await Promise.all([this.mustBeCommit(head), this.mustBeCommit(exclude[0])]);
    return nearHistory(exclude[0], head, (id) => this.commit(id));
  }

  private get isCutOff(): boolean {
    return existsSync(this.shallow);
  }

  async count(range: HistoryRange): Promise<number> {
    const { stdout } = await this.git(['rev-list', '--count', '--stdin'], { input: await this.revisions(range) });
    return Number(stdout.toString('latin1'));
  }

  async commit(id: string): Promise<Commit> {
    return parseCommit(id, (await this.object(id, 'commit', COMMIT_LIMIT)).data);
  }

  async tree(commit: string, path = ''): Promise<readonly TreeEntry[]> {
    return listTree((await this.commit(commit)).tree, path, this.readTrees);
  }

  async changes(base: string | null, head: string, path = ''): Promise<readonly FileChange[]> {
    const before = base === null ? null : this.commit(base);
    const after = await this.commit(head);
    return diffTrees((await before)?.tree ?? null, after.tree, path, this.readTrees);
  }

  async blob(id: string, limit = OBJECT_LIMIT): Promise<Buffer> {
    // Asked first, so that git never unpacks what is too large to be wanted.
    const info = await this.objects.info(this.checkId(id));
    if (info && info.size > limit) throw tooLargeBlob(id, info.size, limit);
    return (await this.object(id, 'blob', limit)).data;
  }

  async isAncestor(ancestor: string, descendant: string): Promise<boolean> {
    await Promise.all([this.mustBeCommit(ancestor), this.mustBeCommit(descendant)]);
    const near = this.isCutOff ? undefined : await nearAncestor(ancestor, descendant, (id) => this.commit(id));
    if (near !== undefined) return near;
    const { code, stderr } = await runGit(
      ['--git-dir', this.gitDir, 'merge-base', '--is-ancestor', ancestor, descendant],
      this.environment,
    );
    if (code === 0 || code === 1) return code === 0;
    throw this.fault('git merge-base failed', stderr);
  }

  async mergedTree(ours: string, theirs: string): Promise<string | null> {
    await Promise.all([this.mustBeCommit(ours), this.mustBeCommit(theirs)]);
    return mergedTree(this.gitDir, ours, theirs, this.environment);
  }

  close(): Promise<void> {
    return this.objects.close();
  }

  private async revisions({ head, exclude = [] }: HistoryRange): Promise<string> {
    await Promise.all([head, ...exclude].map((id) => this.mustBeCommit(id)));
    return [head, ...exclude.map((id) => `^${id}`), ''].join('\n');
  }

  private async mustBeCommit(id: string): Promise<void> {
    const info = await this.objects.info(this.checkId(id));
    if (info?.type === 'commit') return;
    const missing = info ? undefined : await this.whyMissing(id);
    throw missing?.code === 'repository-corrupt' ? missing : unknownRevision(this.path, id, []);
  }

  /** Bytes that do not hash to the id they are stored under are a damaged or a doctored store. */
  private async object(id: string, type: ObjectType, limit: number): Promise<GitObject> {
    const object = await this.objects.contents(this.checkId(id), limit);
    if (!object) throw await this.whyMissing(id);
    if (object.type !== type) throw badObject(id, `it is a ${object.type}, wanted was a ${type}`);
    if (!object.data)
      throw type === 'blob' ? tooLargeBlob(id, object.size, limit) : commitTooLarge(id, object.size, limit);
    if (objectHash(this.objectFormat, type, object.data) !== id)
      throw badObject(id, 'its content does not match its id');
    return object as GitObject;
  }

  private async whyMissing(id: string): Promise<CountersignError> {
    this.present();
    const { code, stderr } = await runGit(['--git-dir', this.gitDir, 'cat-file', '-p', id], this.environment);
    // An object that is only missing is one fatal line; what git finds wrong with one that is there comes before it.
    const complaint = /^error: (.*)/m.exec(stderr)?.[1];
    return code !== 0 && complaint
      ? corruptRepository(this.path, `object ${id}: ${complaint}`)
      : missingObject(this.path, id);
  }

  private checkId(id: string): string {
    const length = this.objectFormat === 'sha1' ? 40 : 64;
    if (id.length === length && /^[0-9a-f]+$/.test(id)) return id;
    throw new CountersignError('revision-unknown', `${JSON.stringify(id)} is no full ${this.objectFormat} object id`);
  }

  private async git(args: readonly string[], options: { input?: string } = {}): Promise<GitResult> {
    const result = await runGit(['--git-dir', this.gitDir, ...args], { ...this.environment, ...options });
    if (result.code !== 0) throw this.fault(`git ${args[0]} ended with code ${result.code}`, result.stderr);
    return result;
  }

  /** Throws `repository-missing` once the folder has gone; open packs would go on answering for a while. */
  private present(): void {
    if (!existsSync(this.gitDir)) throw missingRepository(this.path);
  }

  private fault(what: string, stderr: string): CountersignError {
    if (!existsSync(this.gitDir)) return missingRepository(this.path);
    if (
      /corrupt|inflate|unpack|bad object|bad tree|unable to read|hash mismatch|missing (?:blob|tree|commit)|could not (?:read|parse)|unable to parse|(?:too short to be|not) a (?:git )?packfile|packfile \S+ (?:is|claims|signature|does not match)/i.test(
        stderr,
      )
    ) {
      return corruptRepository(this.path, complaint(stderr));
    }
    return new CountersignError('git-failed', `${what} in ${this.path}${stderr ? `: ${complaint(stderr)}` : ''}`, {
      retry: true,
    });
  }
}

function unreadable(path: string, stderr: string): CountersignError {
  if (/not a git repository/i.test(stderr)) return missingRepository(path);
  if (/unknown repository extension|expected git repo version|unknown object format/i.test(stderr)) {
    return new CountersignError(
      'repository-unsupported',
      `${path} cannot be read by the installed git: ${complaint(stderr)}`,
      {
        remedy: 'Install a newer git',
      },
    );
  }
  return corruptRepository(path, complaint(stderr));
}
