import { identityKey, type ObjectIdentity, type Source } from '../cluster/object.js';
import type { Removal } from './directives.js';
import type { Provenance } from './own-metadata.js';

/** How the newest run of a hook ended, and for what. */
export interface HookRun {
  /** Digest of everything the environment was to hold then: a hook runs once for each such state. */
  readonly ranFor: string;
  readonly outcome: 'succeeded' | 'failed';
}

/** One object as our last run left it. */
export interface InventoryEntry extends Provenance {
  readonly identity: ObjectIdentity;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Digest of the redacted manifest object that was applied. */
  readonly digest: string;
  /** Where it is written, at the commit that is live. */
  readonly source: Source;
  /** What its manifest said about the day when Git no longer has it. */
  readonly removal: Removal;
  /** null for an object that is there to stay. */
  readonly hook: HookRun | null;
}

/**
 * What an environment's runs have put into its target, by identity key. Only what it holds, with the same UID, is ever pruned: labels
 * and annotations in a cluster are claims that anybody can write.
 */
export type Inventory = ReadonlyMap<string, InventoryEntry>;

export function inventoryOf(entries: Iterable<InventoryEntry>): Inventory {
  return new Map([...entries].map((entry) => [identityKey(entry.identity), entry]));
}

/** The entry that is there, where the new one says the same: what did not change can be told by looking at it. */
export function unlessSame(there: InventoryEntry | undefined, entry: InventoryEntry): InventoryEntry {
  const same =
    there?.uid === entry.uid &&
    there.resourceVersion === entry.resourceVersion &&
    there.digest === entry.digest &&
    there.commit === entry.commit &&
    there.decision === entry.decision &&
    there.identity.version === entry.identity.version &&
    there.source.path === entry.source.path &&
    there.source.line === entry.source.line &&
    there.removal.prune === entry.removal.prune &&
    there.removal.last === entry.removal.last &&
    there.removal.wave === entry.removal.wave &&
    there.hook === entry.hook;
  return same ? there : entry;
}
