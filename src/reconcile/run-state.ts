import { identityKey } from '../cluster/object.js';
import type { CountersignError } from '../errors.js';
import type { LiveObject } from './cluster.js';
import type { HookRun, Inventory, InventoryEntry } from './inventory.js';
import type { ApplyWrite, DesiredObject, HookWrite } from './plan.js';
import type { PruneWrite } from './prune.js';
import type { PlannedWrite, RunOutcome, RunStart, TakenField, WriteResult } from './run-log.js';

export interface RunResult {
  /** null: there was nothing to write, or nothing new to say, and nothing was recorded. */
  readonly id: string | null;
  readonly outcome: RunOutcome;
  readonly results: readonly WriteResult[];
  readonly inventory: Inventory;
  /** The server's answers to this run's applies, by identity key. */
  readonly answers: ReadonlyMap<string, LiveObject>;
  /** The first thing that went wrong. */
  readonly trouble: CountersignError | null;
  /** Records the end again where the log could not: the run is open until that resolves. */
  readonly recordEnd: (() => Promise<void>) | null;
}

/** What a run has done so far. */
export class RunState {
  readonly results: WriteResult[] = [];
  readonly answers = new Map<string, LiveObject>();
  readonly #done = new Set<string>();

  constructor(
    readonly run: RunStart,
    readonly inventory: Map<string, InventoryEntry>,
  ) {}

  written({ op, identity, digest, desired }: ApplyWrite, live: LiveObject, taken: readonly TakenField[]): void {
    this.answers.set(identityKey(identity), live);
    this.inventory.set(identityKey(identity), entryOf(desired, live, null));
    const { uid, resourceVersion } = live.metadata;
    this.#add({
      op,
      identity,
      digest,
      outcome: 'written',
      uid,
      resourceVersion,
      trouble: null,
      ...(taken.length > 0 ? { taken } : {}),
    });
  }

  ran(
    { op, identity, digest, desired }: HookWrite,
    live: LiveObject,
    hook: HookRun,
    trouble: CountersignError | null,
  ): void {
    this.inventory.set(identityKey(identity), entryOf(desired, live, hook));
    const { uid, resourceVersion } = live.metadata;
    this.#add({ op, identity, digest, outcome: trouble ? 'failed' : 'written', uid, resourceVersion, trouble });
  }

  pruned({ op, identity, uid }: PruneWrite, gone: boolean): void {
    // What waits for its finalizers is in the inventory until it is gone.
    if (gone) this.inventory.delete(identityKey(identity));
    this.#add({ op, identity, digest: null, outcome: 'written', uid, resourceVersion: null, trouble: null });
  }

  failed({ op, identity, digest }: PlannedWrite, trouble: CountersignError): void {
    this.#add({ op, identity, digest, outcome: 'failed', uid: null, resourceVersion: null, trouble });
  }

  skipped({ op, identity, digest }: PlannedWrite): void {
    if (this.#done.has(`${op} ${identityKey(identity)}`)) return;
    this.#add({ op, identity, digest, outcome: 'skipped', uid: null, resourceVersion: null, trouble: null });
  }

  result(outcome: RunOutcome, trouble: CountersignError | null): RunResult {
    return {
      id: null,
      outcome,
      results: this.results,
      inventory: this.inventory,
      answers: this.answers,
      trouble,
      recordEnd: null,
    };
  }

  #add(result: WriteResult): void {
    this.#done.add(`${result.op} ${identityKey(result.identity)}`);
    this.results.push(result);
  }
}

export function entryOf(desired: DesiredObject, { metadata }: LiveObject, hook: HookRun | null): InventoryEntry {
  const { identity, source, digest, provenance, directives } = desired;
  const { uid, resourceVersion } = metadata;
  return { identity, uid, resourceVersion, digest, source, ...provenance, removal: directives.removal, hook };
}
