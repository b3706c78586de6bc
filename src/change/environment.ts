import type { ReconcileSettings } from './reconcile-settings.js';

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
  /** For charts; what `helm template` has flags for. */
  readonly helm?: HelmSettings;
  /** How it is kept; what it does not say is as usual. */
  readonly reconcile?: ReconcileSettings;
  /** Names of others of its repository: a change goes live here only when they are at their approved commits, and healthy. */
  readonly dependsOn?: readonly string[];
  /** The commit that it is held at, whatever its ref points to. */
  readonly pin?: Pin;
}

/** A decision of people about which commit an environment holds: it is governed, judged and logged like any other change. */
export interface Pin {
  /** Full id of a commit of the environment's ref. */
  readonly commit: string;
  readonly reason: string;
  readonly ticket?: string;
}

export interface HelmSettings {
  /** Folder of the chart in the repository, where it is not in `path` itself. */
  readonly chart?: string;
  /** Default: the name of the chart's folder. */
  readonly release?: string;
  /** Default: that of the environment, then `default`. */
  readonly namespace?: string;
  /** Files in the repository, later ones win. */
  readonly values?: readonly string[];
  /** Objects in the chart's crds/ folder, too; default true, as an installation has them. */
  readonly includeCRDs?: boolean;
  readonly kubeVersion?: string;
  readonly apiVersions?: readonly string[];
}

/** The environment under which a repository's own governance (countersign.yaml, policies/, .countersign/) is judged. */
export const GOVERNANCE = 'governance';
