import type { JsonPatchOperation } from '../cluster/diff.js';
import type { KubernetesObject, ManifestObject, ObjectIdentity, Source } from '../cluster/object.js';
import type { CountersignError } from '../errors.js';
import type { CommitWithFiles } from '../source/repository.js';
import type { Signature } from '../source/signature.js';
import type { Environment } from './environment.js';

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
  /** Folders that Kustomize or Helm own, not rendered yet. */
  readonly notRendered: readonly string[];
}
