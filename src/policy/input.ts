import { canonicalJson } from '../cluster/canonical.js';
import { diffObjects, type JsonPatchOperation } from '../cluster/diff.js';
import { identityKey, identityOf, type Json, type JsonObject, type KubernetesObject, type Source } from '../cluster/object.js'; // prettier-ignore
import type { Redactor } from '../cluster/secret.js';
import type { Groups, OwnersAsked } from '../change/owners.js';
import type { ChangedCommit, ObjectChange, ProposedChange } from '../change/proposed-change.js';
import type { FileOperation, PersonClaim } from '../source/repository.js';
import type { Signature } from '../source/signature.js';
import { type InventoryNeed, inventoryOf } from './gatekeeper/gatekeeper.js';
import type { ExceptionScope } from './exception.js';

export type Operation = 'push' | 'rollback' | 'roll_forward' | 'promotion' | 'adoption' | 'break_glass';

/** The policy input, `countersign.dev/v1`: all that a decision may depend on. */
export interface PolicyInput {
  readonly apiVersion: 'countersign.dev/v1';
  readonly kind: 'ProposedChange';
  /** RFC 3339, UTC: when the review began. */
  readonly time: string;
  readonly repository: InputRepository;
  readonly environment: InputEnvironment;
  readonly operation: Operation;
  /** For every operation but push. */
  readonly reason?: string;
  readonly ticket?: string;
  readonly push?: InputPush;
  readonly base: string | null;
  readonly head: string;
  readonly commits: readonly InputCommit[];
  readonly changes: readonly InputChange[];
  readonly approvals: readonly InputApproval[];
  readonly checks: readonly InputCheck[];
  readonly exceptions: readonly InputException[];
  /** What the owners file asks for the files that changed; absent without one. */
  readonly owners?: readonly OwnersAsked[];
  /** Members by group; absent where none are defined. */
  readonly groups?: Groups;
  /** What was attested of the images that are used, verified; absent where the repository names nobody to believe. */
  readonly attestations?: readonly InputAttestation[];
  /** The environment's objects at head, where Gatekeeper's templates of the bundle look at others than the one being judged. */
  readonly inventory?: Json;
}

export interface InputRepository {
  readonly name: string;
  readonly url: string;
}

export interface InputEnvironment {
  readonly name: string;
  readonly ref: string;
  readonly path: string;
  readonly target: string | null;
  readonly labels: Readonly<Record<string, string>>;
}

export interface InputPush {
  readonly ref: string;
  readonly old: string | null;
  readonly new: string | null;
  readonly forced: boolean;
  /** Who pushed: the person of the identity map, else the account; absent where nobody said it. */
  readonly pusher?: string;
  /** By what account: `github:bo-codes`, `login:bo`. */
  readonly pusherAccount?: string;
  /** Whose word that is: the forge's, in a webhook that it signed, or the Git server's, in the environment of its hook. */
  readonly pusherVia?: 'webhook' | 'hook';
}

export interface InputCommit {
  readonly id: string;
  readonly tree: string;
  readonly parents: readonly string[];
  readonly message: string;
  readonly trailers: Readonly<Record<string, readonly string[]>>;
  readonly author: PersonClaim;
  readonly committer: PersonClaim;
  readonly signature: Signature;
  readonly files: readonly { readonly path: string; readonly op: FileOperation; readonly mode: string }[];
}

export interface InputChange {
  readonly op: ObjectChange['op'];
  readonly object: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
  };
  readonly before: KubernetesObject | null;
  readonly after: KubernetesObject | null;
  readonly patch: readonly JsonPatchOperation[];
  readonly source: Source;
  readonly live: { readonly object?: JsonObject; readonly health?: string } | null;
}

export interface InputApproval {
  readonly principal: string;
  /** Who that is, where one person has several principals. */
  readonly person?: string;
  readonly via: 'git' | 'forge' | 'login';
  /** `signed` by a key of the approver's own; `vouched` for by a forge, or by this service. */
  readonly strength?: 'signed' | 'vouched';
  readonly time: string;
  readonly verified: boolean;
  /** The head that was approved, where that is another: the service merged it itself and got this change. */
  readonly carriedFrom?: string;
}

export interface InputCheck {
  readonly name: string;
  readonly result: string;
  readonly url?: string;
  readonly by?: string;
}

export interface InputException {
  /** SHA-256, hex, of repository, statement and signature. */
  readonly id: string;
  readonly rule: string;
  readonly scope: ExceptionScope;
  readonly expires: string;
  /** Whose verified key signed it. */
  readonly principal: string;
  readonly owner?: string;
  readonly reason?: string;
  readonly ticket?: string;
}

/** An in-toto statement in a DSSE envelope of the repository, and what was made of it. */
export interface InputAttestation {
  readonly path: string;
  readonly line: number;
  /** `verified`: a key of `.countersign/attesters.yaml` signed it, and may say so. Only then is any of it more than a claim. */
  readonly status: 'verified' | 'rejected';
  /** Why it was rejected. */
  readonly fault?: 'malformed' | 'forged' | 'unknown-key' | 'wrong-predicate' | 'builder-not-allowed';
  readonly reason?: string;
  /** Whose key signed it. */
  readonly attester?: string;
  readonly predicateType: string;
  readonly subjects: readonly { readonly name: string; readonly sha256: string }[];
  /** Of SLSA provenance v1: `runDetails.builder.id`, `buildDefinition.buildType`, and `resolvedDependencies`. */
  readonly builder?: string;
  readonly buildType?: string;
  readonly sources?: readonly { readonly uri: string; readonly commit?: string }[];
}

/** What a review knows besides the change itself. */
export interface Circumstances {
  readonly change: ProposedChange;
  readonly repository: InputRepository;
  readonly time: Date;
  /** Everything secret goes through it before it becomes input (invariant 10). */
  readonly redactor: Redactor;
  readonly operation?: Operation;
  readonly reason?: string;
  readonly ticket?: string;
  readonly push?: InputPush;
  readonly approvals?: readonly InputApproval[];
  readonly checks?: readonly InputCheck[];
  readonly exceptions?: readonly InputException[];
  readonly owners?: readonly OwnersAsked[];
  readonly groups?: Groups;
  readonly attestations?: readonly InputAttestation[] | undefined;
  /** What the bundle needs (`PolicyBundle.inventory`). */
  readonly inventory?: InventoryNeed | undefined;
  /** What the bundle looks at in the live cluster (`PolicyBundle.sync`), of all environments and of nobody's. */
  readonly live?: readonly KubernetesObject[] | undefined;
}

/** The input as canonical JSON: the bytes that are judged, digested and kept. Throws as `canonicalJson` does. */
export function policyInput(circumstances: Circumstances): string {
  const { change, repository, time, redactor, operation = 'push', reason, ticket, push } = circumstances;
  const { environment } = change;
  const input: PolicyInput = {
    apiVersion: 'countersign.dev/v1',
    kind: 'ProposedChange',
    time: time.toISOString(),
    repository: { name: repository.name, url: repository.url },
    environment: {
      name: environment.name,
      ref: environment.ref,
      path: environment.path,
      target: environment.target,
      labels: environment.labels,
    },
    operation,
    ...defined({ reason, ticket, push: push && defined(push) }),
    base: change.base,
    head: change.head,
    commits: change.commits.map(inputCommit),
    changes: change.changes.map((one) => inputChange(one, redactor)),
    approvals: (circumstances.approvals ?? []).map(defined),
    checks: (circumstances.checks ?? []).map(defined),
    exceptions: (circumstances.exceptions ?? []).map(defined),
    ...defined({
      owners: circumstances.owners,
      groups: circumstances.groups,
      attestations: circumstances.attestations,
    }),
    ...(circumstances.inventory ? { inventory: inventory(circumstances, circumstances.inventory) } : {}),
  };
  return canonicalJson(input as unknown as Json);
}

/** What is live, with this environment as it is about to be: its own objects at head, and none that the change deletes. */
function inventory({ change, redactor, live = [] }: Circumstances, need: InventoryNeed): Json {
  const own = change.rendered.map(({ object }) => object);
  const gone = change.changes.filter(({ op }) => op === 'delete').map(({ identity }) => identityKey(identity));
  const changed = new Set([...own.map((object) => identityKey(identityOf(object))), ...gone]);
  const others = live.filter((object) => !changed.has(identityKey(identityOf(object))));
  return inventoryOf([...others, ...own].map((object) => redactor.redact(object)), need); // prettier-ignore
}

function inputCommit({ commit, files, signature }: ChangedCommit): InputCommit {
  const { id, tree, parents, message, trailers, author, committer } = commit;
  return {
    id,
    tree,
    parents,
    message,
    trailers,
    author: person(author),
    committer: person(committer),
    signature: defined(signature),
    files: files.map(({ path, op, mode }) => ({ path, op, mode })),
  };
}

function person({ name, email, time }: PersonClaim): PersonClaim {
  return { name, email, time };
}

function inputChange(change: ObjectChange, redactor: Redactor): InputChange {
  const { group, version, kind, namespace, name } = change.identity;
  const before = change.before && redactor.redact(change.before);
  const after = change.after && redactor.redact(change.after);
  // A patch holds values too. It is made again from what may be shown, unless nothing was hidden.
  const same = before === change.before && after === change.after;
  const patch = same || !before || !after ? change.patch : diffObjects(before, after);
  return {
    op: change.op,
    object: { apiVersion: group ? `${group}/${version}` : version, kind, namespace, name },
    before,
    after,
    patch,
    source: { path: change.source.path, line: change.source.line },
    live: null,
  };
}

/** JSON has no undefined. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
