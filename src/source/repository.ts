/** A person as Git writes one. A claim, never an identity (invariant 6). */
export interface PersonClaim {
  readonly name: string;
  readonly email: string;
  /** RFC 3339 with the offset Git recorded. A claim too. */
  readonly time: string;
}

export interface Commit {
  readonly id: string;
  readonly tree: string;
  readonly parents: readonly string[];
  readonly author: PersonClaim;
  readonly committer: PersonClaim;
  readonly message: string;
  readonly trailers: Readonly<Record<string, readonly string[]>>;
  /** The commit object's exact bytes: what signatures are verified over. */
  readonly raw: Buffer;
}

export type FileOperation = 'add' | 'modify' | 'delete';

/** One path that differs between two trees. Renames are a delete and an add. Modes are Git's octal strings. */
export interface FileChange {
  readonly path: string;
  readonly op: FileOperation;
  /** Mode and object id after the change; before it, for a delete. */
  readonly mode: string;
  readonly id: string;
  /** Mode and object id before the change; undefined for an add. */
  readonly oldMode?: string;
  readonly oldId?: string;
}

export interface CommitWithFiles {
  readonly commit: Commit;
  /** Against the first parent; against the empty tree for a root commit. */
  readonly files: readonly FileChange[];
}

export interface TreeEntry {
  readonly path: string;
  readonly mode: string;
  readonly id: string;
  readonly type: 'blob' | 'commit';
}

/** An annotated tag, as a ref under `refs/tags/` names it. */
export interface Tag {
  readonly ref: string;
  readonly id: string;
  /** The commit that it leads to, through other tags if need be. */
  readonly commit: string;
  /** The tag object's exact bytes: what signatures are verified over. */
  readonly raw: Buffer;
}

export interface HistoryRange {
  /** Full commit id whose ancestors (itself included) are listed … */
  readonly head: string;
  /** … minus those reachable from these. */
  readonly exclude?: readonly string[];
}

/**
 * The port to one repository's object store. Reads objects only, never a checkout (invariant 8), and ignores replace
 * refs. Every method throws CountersignError: `repository-missing`, `repository-unsupported`, `repository-corrupt`,
 * `revision-unknown`, `object-missing`. Adapters must give identical answers: one conformance suite compares them.
 */
export interface Repository {
  readonly path: string;
  readonly objectFormat: 'sha1' | 'sha256';
  /** All refs by full name, HEAD's symbolic target under 'HEAD' as its commit id; peeled to commits where they are tags. */
  refs(prefixes?: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Annotated tags that lead to a commit, by name; lightweight ones are in `refs` alone. */
  tags(): Promise<readonly Tag[]>;
  /** Any revision git knows (`main`, `HEAD~2`, a short id) to a full commit id. */
  resolve(revision: string): Promise<string>;
  /** Oldest first, parents before children, merges included once; streamed, so a consumer that stops stops the work. */
  history(range: HistoryRange): AsyncIterable<CommitWithFiles>;
  /** How many commits `history` of this range will yield. */
  count(range: HistoryRange): Promise<number>;
  commit(id: string): Promise<Commit>;
  /** Everything under `path` ('' is the whole tree) at a commit, in byte order of paths. */
  tree(commit: string, path?: string): Promise<readonly TreeEntry[]>;
  /** Net difference of two commits, optionally only under `path`; base null is the empty tree. */
  changes(base: string | null, head: string, path?: string): Promise<readonly FileChange[]>;
  /** A blob's bytes. Throws `manifest-too-large` above `limit` bytes, before reading them. */
  blob(id: string, limit?: number): Promise<Buffer>;
  isAncestor(ancestor: string, descendant: string): Promise<boolean>;
  /**
   * The tree of merging two commits as git does it by itself, with nobody's hand in it; null where they conflict, share no history, or
   * this adapter cannot merge. Where one descends from the other, every adapter can. Nothing is written to the repository.
   */
  mergedTree(ours: string, theirs: string): Promise<string | null>;
  close(): Promise<void>;
}

/** As much of a repository as reading the files of one state takes; a folder on disk can answer this, too. */
export type TreeReader = Pick<Repository, 'tree' | 'blob'>;

/** A ref that moved between two looks. */
export interface RefMove {
  readonly ref: string;
  readonly kind: 'created' | 'advanced' | 'rewound' | 'forced' | 'deleted';
  readonly old: string | null;
  readonly new: string | null;
}

/** Basic authentication, or a token that is sent as `Authorization: Bearer`. */
export type Credentials =
  { readonly username: string; readonly password: string; readonly token?: undefined } | { readonly token: string };

/** Absolute paths of a private key without passphrase, and of a known_hosts file that names the server's key. */
export interface SshFiles {
  readonly keyFile: string;
  readonly knownHosts: string;
}

export interface RemoteOptions {
  /** Local path, `file://`, `https://` (http only on loopback), `ssh://` or `user@host:path`. */
  readonly url: string;
  readonly refs: readonly string[];
  /** Folders of refs that are not followed, whatever `refs` says: those that we move ourselves. */
  readonly except?: readonly string[];
  /** For HTTP. */
  readonly credentials?: Credentials;
  /** For SSH. */
  readonly ssh?: SshFiles;
}

/**
 * A bare copy of a followed repository in our data folder. `poll` costs one small request when nothing moved; `fetch` is
 * incremental and resumable, pins every tip it has seen under `refs/countersign/keep/`, and reports moves against the tips
 * given, so that the caller (whose durable record it is) decides what was already seen.
 */
export interface Mirror {
  readonly repository: Repository;
  /** The remote's tips of the followed refs. Throws `repository-missing` when it is away, with `retry` true. */
  poll(): Promise<ReadonlyMap<string, string>>;
  fetch(seen: ReadonlyMap<string, string>): Promise<readonly RefMove[]>;
  /** The remote's annotated tags of commits that are here, asked for now. Throws as `poll` does. */
  tags(): Promise<readonly Tag[]>;
  /** Fetches commits by id, whether or not a followed ref names them, and pins them. */
  bring(ids: ReadonlySet<string>): Promise<void>;
  close(): Promise<void>;
}
