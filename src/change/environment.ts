/** One environment of a repository, as its governed `countersign.yaml` defines it. */
export interface Environment {
  readonly name: string;
  /** Folder in the repository, '' for its root. Never absolute, never with `..`. */
  readonly path: string;
  /** Full ref name. */
  readonly ref: string;
  readonly target: string | null;
  /** For namespaced objects that name none. */
  readonly namespace: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Globs, relative to `path`, of files that are no manifests. */
  readonly ignore: readonly string[];
}

/** The environment under which a repository's own governance (countersign.yaml, policies/, .countersign/) is judged. */
export const GOVERNANCE = 'governance';
