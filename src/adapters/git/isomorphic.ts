import fs from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import { expandOid, readObject } from 'isomorphic-git';
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
import type { ObjectType } from './cat-file.js';
import {
  badObject,
  commitTooLarge,
  corruptRepository,
  cutOffHistory,
  emptyRepository,
  missingObject,
  missingRepository,
  tooLargeBlob,
  unknownRevision,
} from './faults.js';
import { COMMIT_LIMIT, OBJECT_LIMIT, objectHash } from './limits.js';
import { findGitDir, LocalRefs, readOptional } from './local-refs.js';
import { inPrefixes } from './refs.js';
import { topologicalOrder } from './topology.js';
import { diffTrees, listTree, treeReader, type Reader } from './trees.js';

/** isomorphic-git reads a pack into one buffer. */
const PACK_LIMIT = 2 ** 31 - 1;
const TREES_REMEMBERED = 4096;

/**
 * Reads a repository without any program: for machines that have no git, and small repositories. It refuses, rather than
 * misreads, what isomorphic-git cannot read: SHA-256, partial clones, alternates, reftables and packs of 2 GiB.
 */
export class IsomorphicRepository implements Repository {
  readonly objectFormat = 'sha1';
  private readonly readTrees: Reader;
  private readonly trees = new Map<string, Buffer>();
  private cache: object = {};

  private constructor(
    readonly path: string,
    private readonly commonDir: string,
  ) {
    this.readTrees = treeReader((ids) => Promise.all(ids.map((id) => this.treeData(id))), 20);
  }

  static async open(path: string): Promise<IsomorphicRepository> {
    const absolute = resolvePath(path);
    const gitDir = await findGitDir(absolute, { upward: true });
    const common = await readOptional(join(gitDir, 'commondir'));
    const commonDir = common === undefined ? gitDir : resolvePath(gitDir, common.trim());
    await refuseUnreadable(absolute, commonDir);
    return new IsomorphicRepository(absolute, commonDir);
  }

  async refs(prefixes?: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const stored = await (await LocalRefs.open(this.path, true)).read(['HEAD', 'refs']);
    const found = new Map<string, string>();
    for (const [ref, id] of [...stored].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (!inPrefixes(ref, prefixes)) continue;
      const commit = await this.peel(id);
      if (commit !== undefined) found.set(ref, commit);
    }
    return found;
  }

  async tags(): Promise<readonly Tag[]> {
    const stored = await (await LocalRefs.open(this.path, true)).read(['refs/tags']);
    const found: Tag[] = [];
    for (const [ref, id] of [...stored].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if ((await this.read(id))?.type !== 'tag') continue;
      const commit = await this.peel(id);
      if (commit !== undefined) found.push({ ref, id, commit, raw: await this.object(id, 'tag', COMMIT_LIMIT) });
    }
    return found;
  }

  /** Ids in full or short, refs by the rules of gitrevisions(7), and any number of `~N`, `^N` after them. */
  async resolve(revision: string): Promise<string> {
    const [, base = '', steps = ''] = /^(.+?)((?:[~^]\d*)*)$/.exec(revision) ?? [];
    let id = await this.resolveName(base);
    for (const [, sign, digits] of steps.matchAll(/([~^])(\d*)/g)) {
      const number = digits === '' ? 1 : Number(digits);
      for (let i = 0; id !== undefined && i < (sign === '~' ? number : Math.min(number, 1)); i++) {
        id = (await this.commit(id)).parents[sign === '~' ? 0 : number - 1];
      }
    }
    if (id !== undefined) return id;
    const refs = revision === 'HEAD' ? await this.refs() : undefined;
    if (refs?.size === 0) throw emptyRepository(this.path);
    throw unknownRevision(this.path, revision, refs ? [...refs.keys()] : []);
  }

  async *history(range: HistoryRange): AsyncGenerator<CommitWithFiles> {
    for (const id of topologicalOrder(range.head, await this.reachable(range))) {
      const commit = await this.commit(id);
      const [parent] = commit.parents;
      const before = parent === undefined ? null : (await this.commit(parent)).tree;
      yield { commit, files: await diffTrees(before, commit.tree, '', this.readTrees) };
    }
  }

  async count(range: HistoryRange): Promise<number> {
    return (await this.reachable(range)).size;
  }

  async commit(id: string): Promise<Commit> {
    return parseCommit(id, await this.object(id, 'commit', COMMIT_LIMIT));
  }

  async tree(commit: string, path = ''): Promise<readonly TreeEntry[]> {
    return listTree((await this.commit(commit)).tree, path, this.readTrees);
  }

  async changes(base: string | null, head: string, path = ''): Promise<readonly FileChange[]> {
    const before = base === null ? null : (await this.commit(base)).tree;
    return diffTrees(before, (await this.commit(head)).tree, path, this.readTrees);
  }

  async blob(id: string, limit = OBJECT_LIMIT): Promise<Buffer> {
    return this.object(id, 'blob', limit);
  }

  async isAncestor(ancestor: string, descendant: string): Promise<boolean> {
    await this.mustBeCommit(ancestor);
    return (await this.reachable({ head: descendant })).has(ancestor);
  }

  /** isomorphic-git merges otherwise than git does where files were renamed, so what diverged is not merged here. */
  async mergedTree(ours: string, theirs: string): Promise<string | null> {
    if (await this.isAncestor(ours, theirs)) return (await this.commit(theirs)).tree;
    return (await this.isAncestor(theirs, ours)) ? (await this.commit(ours)).tree : null;
  }

  async close(): Promise<void> {
    this.trees.clear();
    this.cache = {};
  }

  /** Every commit of a range with its parents. Breadth first: nothing recursive that a long history could overflow. */
  private async reachable({ head, exclude = [] }: HistoryRange): Promise<Map<string, readonly string[]>> {
    for (const id of [head, ...exclude]) await this.mustBeCommit(id);
    const excluded = exclude.length > 0 ? await this.walk(exclude, new Map()) : new Map<string, readonly string[]>();
    return this.walk([head], excluded);
  }

  private async walk(
    from: readonly string[],
    without: ReadonlyMap<string, unknown>,
  ): Promise<Map<string, readonly string[]>> {
    const found = new Map<string, readonly string[]>();
    let level = from.filter((id) => !without.has(id));
    while (level.length > 0) {
      const next = new Set<string>();
      for (const id of level) {
        const { parents } = await this.commitOrCutOff(id, found);
        found.set(id, parents);
        for (const parent of parents) if (!found.has(parent) && !without.has(parent)) next.add(parent);
      }
      level = [...next].filter((id) => !found.has(id));
    }
    return found;
  }

  private async commitOrCutOff(id: string, children: ReadonlyMap<string, readonly string[]>): Promise<Commit> {
    try {
      return await this.commit(id);
    } catch (error) {
      const shallow = await readOptional(join(this.commonDir, 'shallow'));
      const child = [...children].find(([, parents]) => parents.includes(id))?.[0];
      if (shallow !== undefined && child !== undefined) throw cutOffHistory(child);
      throw error;
    }
  }

  private async resolveName(name: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(name)) return this.peel(name);
    const refs = await this.refs();
    const candidates = ['', 'refs/', 'refs/tags/', 'refs/heads/', 'refs/remotes/'].map((place) => `${place}${name}`);
    for (const ref of [...candidates, `refs/remotes/${name}/HEAD`]) {
      const id = refs.get(ref);
      if (id !== undefined) return id;
    }
    if (!/^[0-9a-f]{4,39}$/.test(name)) return undefined;
    const full = await expandOid({ fs, gitdir: this.commonDir, oid: name, cache: this.cache }).catch(() => undefined);
    return full === undefined ? undefined : this.peel(full);
  }

  private async peel(id: string): Promise<string | undefined> {
    for (let at = id; ;) {
      const object = await this.read(at);
      if (object?.type === 'commit') return at;
      const target =
        object?.type === 'tag' ? /^object ([0-9a-f]{40})\n/.exec(object.data.toString('latin1'))?.[1] : undefined;
      if (target === undefined) return undefined;
      at = target;
    }
  }

  private async mustBeCommit(id: string): Promise<void> {
    if ((await this.read(this.checkId(id)))?.type !== 'commit') throw unknownRevision(this.path, id, []);
  }

  private async treeData(id: string): Promise<Buffer> {
    const known = this.trees.get(id);
    if (known) return known;
    const data = await this.object(id, 'tree', OBJECT_LIMIT);
    if (this.trees.size >= TREES_REMEMBERED) this.trees.clear();
    this.trees.set(id, data);
    return data;
  }

  private async object(id: string, type: ObjectType, limit: number): Promise<Buffer> {
    const object = await this.read(this.checkId(id));
    if (!object) throw missingObject(this.path, id);
    if (object.type !== type) throw badObject(id, `it is a ${object.type}, wanted was a ${type}`);
    const { length } = object.data;
    if (length > limit) throw type === 'blob' ? tooLargeBlob(id, length, limit) : commitTooLarge(id, length, limit);
    if (objectHash('sha1', type, object.data) !== id) throw badObject(id, 'its content does not match its id');
    return object.data;
  }

  /** undefined: no such object. */
  private async read(id: string): Promise<{ type: ObjectType; data: Buffer } | undefined> {
    try {
      const { type, object } = await readObject({
        fs,
        gitdir: this.commonDir,
        oid: id,
        format: 'content',
        cache: this.cache,
      });
      return { type: type as ObjectType, data: Buffer.from(object as Uint8Array) };
    } catch (cause) {
      if (!fs.existsSync(this.commonDir)) throw missingRepository(this.path);
      if ((cause as { code?: string }).code === 'NotFoundError') return undefined;
      throw badObject(id, (cause as Error).message.split('\n')[0]);
    }
  }

  private checkId(id: string): string {
    if (/^[0-9a-f]{40}$/.test(id)) return id;
    throw new CountersignError('revision-unknown', `${JSON.stringify(id)} is no full sha1 object id`);
  }
}

async function refuseUnreadable(path: string, commonDir: string): Promise<void> {
  const refuse = (what: string): CountersignError =>
    new CountersignError('repository-unsupported', `${path} ${what}, which cannot be read without git`, {
      remedy: 'Install git 2.39 or newer',
    });
  const config = (await readOptional(join(commonDir, 'config'))) ?? '';
  if (/^\s*objectformat\s*=\s*sha256/im.test(config)) throw refuse('is a SHA-256 repository');
  if (/^\s*(?:partialclone|promisor)\s*=/im.test(config)) throw refuse('is a partial clone');
  if (/^\s*refstorage\s*=\s*reftable/im.test(config)) throw refuse('keeps its refs in a reftable');
  if ((await readOptional(join(commonDir, 'objects/info/alternates'))) !== undefined)
    throw refuse('borrows objects from another one');
  const packs = join(commonDir, 'objects/pack');
  for (const name of await readdir(packs).catch(() => [])) {
    const { size } = await stat(join(packs, name)).catch(() => ({ size: 0 }));
    if (size > PACK_LIMIT) throw refuse('has a pack over 2 GiB');
  }
  if ((await readOptional(join(commonDir, 'HEAD'))) === undefined) throw corruptRepository(path, 'it has no HEAD');
}
