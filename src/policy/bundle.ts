import type { Json } from '../cluster/object.js';
import type { Place } from '../errors.js';
import type { Rule } from './decision.js';
import type { GatekeeperSources, InventoryNeed } from './gatekeeper/gatekeeper.js';
import type { SyncSettings } from './gatekeeper/sync.js';

/**
 * Starter rules are named `countersign:policies/…` wherever a place is told. No path in a repository may begin so: a
 * repository could otherwise pass its own file off as one of ours.
 */
export const STARTER_PREFIX = 'countersign:policies/';

/** Rego, data and metadata at one commit (or of one folder), compiled to one Wasm module. Plain data: it can be stored and read back. */
export interface PolicyBundle {
  /** SHA-256, hex, over compiler version, sources, data and Wasm: what a decision names. */
  readonly digest: string;
  readonly wasm: Uint8Array;
  readonly wasmDigest: string;
  readonly data: Json;
  /** One for each clause that takes part in decisions: a package's `deny` may be several rules. */
  readonly rules: readonly Rule[];
  readonly outputs: BundleOutputs;
  /** What it was compiled from; absent in one that is only to be replayed. */
  readonly sources?: BundleSources;
  /** What the input must hold of the environment besides its changes, for Gatekeeper's templates that ask for it. */
  readonly inventory?: InventoryNeed;
  /** What of the live cluster belongs to it. */
  readonly sync?: SyncSettings;
}

/** The text of rules as they were compiled, kept with decisions so that these can be read and explained years later. */
export interface BundleSources {
  readonly files: Readonly<Record<string, string>>;
  readonly starter: StarterChoice;
}

/** Which sets of results the Wasm's entry point of each scope gives, in its order. */
export interface BundleOutputs {
  readonly object: readonly RuleSet[];
  readonly change: readonly RuleSet[];
  /** Conftest's rules: their whole input is one plain object. */
  readonly conftest: readonly RuleSet[];
  /** Rules that OPA answers an API server with: they see one change as an AdmissionReview. Absent where there are none. */
  readonly admission?: readonly RuleSet[];
  /** Gatekeeper's constraints: they see one change, as a request to the API server would show it. */
  readonly gatekeeper?: readonly RuleSet[];
}

export interface RuleSet {
  readonly package: string;
  /** Rule name; `exception` for Conftest's exceptions. */
  readonly name: string;
}

/** What goes into a bundle: Rego sources by path, and the data they read. */
export interface PolicySources {
  readonly files: ReadonlyMap<string, string>;
  readonly data: Json;
  /** Where something of the data is written, if a file gives it. */
  readonly dataPlace?: (path: readonly string[]) => Place | undefined;
  readonly starter?: StarterChoice;
  readonly gatekeeper?: GatekeeperSources;
  /** Rules of packages `countersign.<area>` that read what the input does not have are refused. */
  readonly strict?: boolean;
}

/** Which of the rules that ship with Countersign run: `baseline` those that suit nearly everybody, `strict` all, `off` none. */
export interface StarterChoice {
  readonly profile: StarterProfile;
  /** Ids of rules that do not run in spite of the profile. */
  readonly off: readonly string[];
  /** What the organisation wants to run whatever is chosen; `mayTurnOff` are ids of which `off` counts all the same, or `*`. */
  readonly floor?: {
    readonly profile: StarterProfile;
    readonly off: readonly string[];
    readonly mayTurnOff: readonly string[];
  };
}

export type StarterProfile = 'baseline' | 'strict' | 'off';

/** Compiles Rego in a sandbox. Throws `rego-invalid` with the place of the first error (all of them in the message). */
export interface Compiler {
  readonly version: string;
  compile(sources: PolicySources): Promise<PolicyBundle>;
  close(): Promise<void>;
}
