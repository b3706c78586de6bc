import type { JsonPatchOperation } from '../cluster/diff.js';
import {
  identityKey,
  type KubernetesObject,
  type ManifestObject,
  type ObjectIdentity,
  type Source,
} from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { Commit, CommitWithFiles, FileChange, Repository } from '../source/repository.js';
import type { Signature } from '../source/signature.js';
import type { Environment } from './environment.js';
import type { ManifestCache } from './manifest-cache.js';
import { ignores, isManifestPath, isOwnerFile, SUBMODULE, SYMLINK } from './manifest-files.js';
import { objectChanges } from './object-changes.js';
import { readAll, render, type Rendering } from './render.js';

export interface ObjectChange {
  readonly op: 'create' | 'update' | 'delete';
  readonly identity: ObjectIdentity;
  /** Unredacted. Redaction happens where a change leaves memory: policy input, log, database, output (invariant 10). */
  readonly before: KubernetesObject | null;
  readonly after: KubernetesObject | null;
  /** RFC 6902, before → after; empty for create and delete. */
  readonly patch: readonly JsonPatchOperation[];
  /** Where it is written at head; at base, for a delete. */
  readonly source: Source;
}

export interface ChangedCommit extends CommitWithFiles {
  readonly signature: Signature;
}

/** Everything that moving one environment from `base` to `head` does. */
export interface ProposedChange {
  readonly environment: Environment;
  /** null: nothing was approved here yet, the empty tree. */
  readonly base: string | null;
  readonly head: string;
  readonly headTree: string;
  /** Every commit in base..head, oldest first. */
  readonly commits: readonly ChangedCommit[];
  readonly changes: readonly ObjectChange[];
  /** The whole environment at head: what a reconciler would apply. */
  readonly rendered: readonly ManifestObject[];
  /** What stood in the way of reading it: each denies the change, with its place. */
  readonly problems: readonly CountersignError[];
  /** YAML documents without apiVersion and kind, by path. */
  readonly otherDocuments: ReadonlyMap<string, number>;
  /** Folders that Kustomize or Helm own, not rendered because there was no renderer. */
  readonly notRendered: readonly string[];
}

/** Checks a commit's signature against the signers that governance names. From the policy's side; must not throw. */
export type SignatureChecker = (commit: Commit) => Signature;

export interface ProposeOptions {
  readonly checkSignature: SignatureChecker;
  readonly cache: ManifestCache;
  /** How the environment was defined when `base` was approved; the same if not given. */
  readonly was?: Environment | null | undefined;
  /** More commits than this are not listed, and deny the change: no rule about commits could say that all of them are well. */
  readonly mostCommits?: number;
}

/** Commits that one change may have: their list is some six hundred bytes each in the policy input. */
export const MOST_COMMITS = 10_000;

/**
 * What moving an environment from `base` (null: from nothing) to `head` does: the commits between, and the net effect on its
 * objects. Reads only files that differ where that is enough. Throws faults of the repository; what is wrong with files, and a
 * `base` that is no ancestor's, is for the caller and for policy to judge.
 */
export async function proposeChange(
  repository: Repository,
  environment: Environment,
  base: string | null,
  head: string,
  { checkSignature, cache, was, mostCommits = MOST_COMMITS }: ProposeOptions,
): Promise<ProposedChange> {
  const commits: ChangedCommit[] = [];
  let cut = false;
  for await (const { commit, files } of repository.history({ head, exclude: base === null ? [] : [base] })) {
    cut = commits.length === mostCommits;
    if (cut) break;
    commits.push({ commit, files, signature: checkSignature(commit) });
  }
  const at = await render(repository, environment, head, cache);
  const before =
    was && holdsOthers(was, environment)
      ? { old: was.target === environment.target ? (await render(repository, was, base, cache)).objects : [], new: at.objects } // prettier-ignore
      : await objectsBefore(repository, environment, base, head, at, cache);
  const { tree } = await repository.commit(head);
  return {
    environment,
    base,
    head,
    headTree: tree,
    commits,
    changes: objectChanges(before.old, before.new),
    rendered: at.objects,
    problems: cut ? [tooManyCommits(base, head, mostCommits), ...at.problems] : at.problems,
    otherDocuments: at.otherDocuments,
    notRendered: at.notRendered,
  };
}

/**
 * Whether one commit is other objects, or in another place, under the one definition than under the other. Then what was there before is
 * what the old one made of it, or nothing in another target: objects that were in the repository all along, and that nobody judged,
 * come with the new definition as if they were new (invariant 1).
 */
function holdsOthers(was: Environment, is: Environment): boolean {
  return heldBy(was) !== heldBy(is);
}

/** Fields in another order are at worst compared for nothing. */
function heldBy({ path, target, namespace, ignore, helm }: Environment): string {
  return JSON.stringify([path, target, namespace, ignore, helm]);
}

function tooManyCommits(base: string | null, head: string, most: number): CountersignError {
  const range = `${base === null ? 'the first commit' : base.slice(0, 7)} to ${head.slice(0, 7)}`;
  return new CountersignError('change-too-large', `from ${range} there are more than ${most} commits`, {
    remedy:
      "Raise limits.commits in the service's configuration, and limits.wasmMemory with it; or push in smaller steps",
  });
}

/** The objects of both sides that may differ: those of files that differ, unless who reads a folder may have changed. */
async function objectsBefore(
  repository: Repository,
  environment: Environment,
  base: string | null,
  head: string,
  at: Rendering,
  cache: ManifestCache,
): Promise<{ old: readonly ManifestObject[]; new: readonly ManifestObject[] }> {
  if (base === null) return { old: [], new: at.objects };
  if (base === head) return { old: [], new: [] };
  // What a folder renders to depends on files anywhere in the repository; rendering base too is cheap for what did not change.
  if (at.folders.length > 0) {
    return { old: (await render(repository, environment, base, cache)).objects, new: at.objects };
  }
  const files = await repository.changes(base, head, environment.path);
  // A kustomization or chart that comes or goes changes what its neighbours mean, and so do duplicates: which of two
  // objects counts depends on files that did not change.
  if (at.problems.length > 0 || files.some(changesReading)) {
    return { old: (await render(repository, environment, base, cache)).objects, new: at.objects };
  }
  const ignored = ignores(environment);
  const owned = (path: string) => at.notRendered.some((folder) => folder === '.' || path.startsWith(`${folder}/`));
  const old = files
    .filter((file) => file.op !== 'add' && isManifestPath(file.path) && !ignored(file.path) && !owned(file.path))
    .map(({ path, op, id, oldId }) => ({ path, id: op === 'delete' ? id : oldId! }));
  const before = (await readAll(repository, old, environment.namespace, cache)).flatMap((file) => file.objects);
  const touched = new Set(files.map((file) => file.path));
  const known = new Set(before.map((entry) => identityKey(entry.identity)));
  // What left a file that changed may still stand in one that did not, if base defined it twice.
  const after = at.objects.filter(
    ({ source, identity }) => touched.has(source.path) || known.has(identityKey(identity)),
  );
  return { old: before, new: after };
}

function changesReading({ path, mode, oldMode }: FileChange): boolean {
  return isOwnerFile(path) || [mode, oldMode].some((of) => of === SYMLINK || of === SUBMODULE);
}
