import type { ContentDraft, EntryDraft } from '../audit/entry.js';
import type { Ledger } from '../audit/ledger.js';
import { canonicalJson } from '../cluster/canonical.js';
import { identityKey, type Json, type JsonObject, type ObjectIdentity } from '../cluster/object.js';
import type { DriftRecord, LiveObjectRecord, Records, RunRecord } from '../review/records.js';
import { describeTrouble } from '../review/trouble.js';
import { inventoryOf, type Inventory, type InventoryEntry } from './inventory.js';
import type { Drift, RunEnd, RunLog, RunStart, WriteResult } from './run-log.js';

/** Rows up to which those are asked for by their names. */
const FEW = 100;

/** Runs and drifts in the log and the records: each row in the transaction that stages its entry. */
export class RecordedRuns implements RunLog {
  /** What the last run of each environment left, where this process has recorded it: nobody else does, under its lease. */
  readonly #left = new Map<string, { readonly target: string; readonly inventory: Inventory }>();

  constructor(
    private readonly ledger: Ledger,
    private readonly records: Records,
    /** Called when something new is in the log. */
    private readonly told: (event: {
      readonly drifts: readonly Drift[];
      readonly run: RunStart;
      readonly end?: RunEnd;
    }) => void = () => {},
  ) {}

  async started(run: RunStart, drifts: readonly Drift[]): Promise<void> {
    const record: RunRecord = {
      id: run.id,
      repository: run.repository,
      environment: run.environment,
      decision: run.decisionId,
      reason: run.reason,
      startedAt: run.time,
      startedIndex: null,
      finishedAt: null,
      finishedIndex: null,
      outcome: 'running',
      planned: run.planned as unknown as Json,
      results: null,
      trouble: null,
    };
    const { entries } = await this.ledger.record(async (transaction) => {
      // The evidence before the run that destroys it (invariant 12).
      for (const drift of drifts) transaction.append(driftEntry(drift));
      transaction.append(startEntry(run));
      await this.records.save(transaction, 'run', [record]);
      await this.records.save(transaction, 'drift', drifts.map((drift) => driftRecord(drift, run.id))); // prettier-ignore
    });
    await this.records.update('run', { id: run.id }, { startedIndex: entries[drifts.length].index });
    for (const [i, drift] of drifts.entries()) {
      await this.records.update('drift', { id: drift.id }, { index: entries[i].index });
    }
    this.told({ drifts, run });
  }

  async finished(run: RunStart, end: RunEnd): Promise<void> {
    const own = { repository: run.repository, environment: run.environment };
    const { changed, gone } = await this.#changes(run, end);
    // Until it is recorded, it is not known what is.
    this.#left.delete(keyOfEnvironment(run));
    const { entries } = await this.ledger.record(async (transaction) => {
      transaction.append(endEntry(run, end));
      const finish = {
        finishedAt: end.time,
        outcome: end.outcome,
        results: resultsJson(end.results),
        trouble: end.trouble && describeTrouble(end.trouble),
      };
      await this.records.update('run', { id: run.id }, finish, transaction);
      await this.records.save(transaction, 'liveObject', changed);
      for (const { group, kind, namespace, name } of gone) {
        await this.records.remove(transaction, 'liveObject', { ...own, group, kind, namespace, name });
      }
      for (const drift of await this.records.find('drift', { run: run.id })) {
        if (
          !end.results.some((result) => result.outcome === 'written' && identityKey(result.identity) === keyOf(drift))
        )
          continue;
        await this.records.update('drift', { id: drift.id }, { correctedAt: end.time }, transaction);
      }
    });
    this.#left.set(keyOfEnvironment(run), { target: run.target, inventory: end.inventory });
    await this.records.update('run', { id: run.id }, { finishedIndex: entries[0].index });
    this.told({ drifts: [], run, end });
  }

  /** Rows that are others after a run than before it, and what is in its target no more. */
  async #changes(
    run: RunStart,
    { inventory, time }: RunEnd,
  ): Promise<{ readonly changed: readonly LiveObjectRecord[]; readonly gone: readonly ObjectIdentity[] }> {
    const own = { repository: run.repository, environment: run.environment };
    const left = this.#left.get(keyOfEnvironment(run));
    const known = left?.target === run.target ? left.inventory : null;
    // An entry that is the very same is recorded as it is: of a thousand objects, few change at a time.
    const entries = known ? [...inventory].filter(([key, entry]) => known.get(key) !== entry) : [...inventory];
    const few = known !== null && entries.length < FEW ? { name: [...new Set(entries.map(([, { identity }]) => identity.name))] } : {}; // prettier-ignore
    const rows = few.name?.length === 0 ? [] : await this.records.find('liveObject', { ...own, ...few });
    const before = new Map(rows.map((row) => [keyOf(row), row]));
    const after = entries.map(([key, entry]) => liveObject({ ...own, target: run.target }, entry, before.get(key), time)); // prettier-ignore
    const were = known ? [...known.values()].map(({ identity }) => identity) : rows.map((row) => inventoryEntry(row).identity); // prettier-ignore
    return {
      changed: after.filter((row) => before.get(keyOf(row))?.updatedAt !== row.updatedAt),
      gone: were.filter((identity) => !inventory.has(identityKey(identity))),
    };
  }

  /** What the last logged run left: what pruning may touch. */
  async inventory(repository: string, environment: string, target: string): Promise<Inventory> {
    const rows = await this.records.find('liveObject', { repository, environment, target });
    return inventoryOf(rows.map(inventoryEntry));
  }

  /**
   * Closes runs of an environment whose process died in them, or lost its lease: what they had planned is known, what they wrote is seen
   * by the next run. Under the environment's lease only, which nobody else's run can be under.
   */
  async closeOpenRuns(repository: string, environment: string, now: Date): Promise<void> {
    for (const run of await this.records.find('run', { repository, environment, outcome: 'running' })) {
      const time = now.toISOString();
      const { id, decision } = run;
      const { entries } = await this.ledger.record(async (transaction) => {
        transaction.append({
          type: 'run',
          subjects: [],
          predicate: {
            id,
            phase: 'finished',
            repository,
            environment,
            decisionId: decision,
            outcome: 'interrupted',
            time,
          },
        });
        await this.records.update('run', { id }, { outcome: 'interrupted', finishedAt: time }, transaction);
      });
      await this.records.update('run', { id }, { finishedIndex: entries[0].index });
    }
  }
}

function startEntry(run: RunStart): EntryDraft {
  const { planned, move, ...rest } = run;
  const counts: Record<string, number> = {};
  for (const { op } of planned) counts[op] = (counts[op] ?? 0) + 1;
  return {
    type: 'run',
    subjects: [{ name: `git:${run.repository}`, digest: { gitCommit: run.head } }],
    predicate: { phase: 'started', ...rest, writes: counts, ...(move ? { move: { ...move } } : {}) },
    // Every planned write: too many for a leaf, so the leaf names their list by digest.
    contents: { planned: json(planned, false) },
  };
}

function endEntry(run: RunStart, end: RunEnd): EntryDraft {
  const { id, repository, environment, target, decision, decisionId, head, epoch } = run;
  const counts: Record<string, number> = {};
  for (const { outcome } of end.results) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return {
    type: 'run',
    subjects: [{ name: `git:${repository}`, digest: { gitCommit: head } }],
    predicate: {
      phase: 'finished',
      id,
      repository,
      environment,
      target,
      decision,
      decisionId,
      head,
      epoch,
      outcome: end.outcome,
      writes: counts,
      trouble: end.trouble?.code ?? null,
      time: end.time,
    },
    contents: {
      results: json(resultsJson(end.results), true),
      inventory: inventoryContent(end.inventory),
    },
  };
}

function driftEntry(drift: Drift): EntryDraft {
  const { id, repository, environment, target, decision, identity, type, uid, time, fields, attribution } = drift;
  return {
    type: 'drift',
    subjects: [],
    predicate: {
      id,
      repository,
      environment,
      target,
      decision,
      object: { ...identity },
      type,
      uid,
      strength: attribution.strength,
      fields: fields.length,
      time,
    },
    // Who it was is personal data, and values are object bodies.
    contents: { evidence: json({ fields, attribution, resourceVersion: drift.resourceVersion }, true) },
  };
}

function driftRecord(drift: Drift, run: string): DriftRecord {
  const { id, repository, environment, identity, type, fields, attribution, time } = drift;
  return {
    id,
    repository,
    environment,
    ...identity,
    type,
    fields: plain(fields),
    attribution: plain(attribution),
    supplements: [],
    detectedAt: time,
    index: null,
    correctedAt: null,
    run,
  };
}

function liveObject(
  own: { readonly repository: string; readonly environment: string; readonly target: string },
  entry: InventoryEntry,
  before: LiveObjectRecord | undefined,
  time: string,
): LiveObjectRecord {
  const { identity, uid, resourceVersion, digest, source, commit, decision, removal, hook } = entry;
  const same =
    before?.target === own.target &&
    before.uid === uid &&
    before.resourceVersion === resourceVersion &&
    before.digest === digest &&
    before.commit === commit &&
    before.hook?.ranFor === hook?.ranFor &&
    before.hook?.outcome === hook?.outcome;
  return {
    ...own,
    ...identity,
    uid,
    resourceVersion,
    commit,
    decision,
    path: source.path,
    line: source.line,
    digest,
    removal,
    hook,
    health: before?.health ?? 'unknown',
    healthReason: before?.healthReason ?? '',
    updatedAt: same && before.path === source.path && before.line === source.line ? before.updatedAt : time,
  };
}

function inventoryEntry(row: LiveObjectRecord): InventoryEntry {
  const { group, version, kind, namespace, name, uid, resourceVersion, digest, commit, decision, path, line } = row;
  const { removal, hook } = row;
  return {
    identity: { group, version, kind, namespace, name },
    uid,
    resourceVersion,
    digest,
    commit,
    decision,
    source: { path, line },
    removal,
    hook,
  };
}

const keyOfEnvironment = ({ repository, environment }: Pick<RunStart, 'repository' | 'environment'>): string =>
  `${repository}\0${environment}`;

function keyOf({
  group,
  kind,
  namespace,
  name,
}: Pick<LiveObjectRecord, 'group' | 'kind' | 'namespace' | 'name'>): string {
  return identityKey({ group, version: '', kind, namespace, name });
}

function resultsJson(results: readonly WriteResult[]): Json {
  return results.map((result) => ({
    ...result,
    identity: { ...result.identity },
    trouble: result.trouble && plain(describeTrouble(result.trouble)),
  })) as unknown as Json;
}

/** Canonical JSON of each entry, which is the same from run to run for all but the few that changed. */
const texts = new WeakMap<InventoryEntry, string>();

function inventoryContent(inventory: Inventory): ContentDraft {
  const all = [...inventory.values()].map((entry) => {
    let text = texts.get(entry);
    if (text === undefined) texts.set(entry, (text = canonicalJson(plain(entry))));
    return text;
  });
  return { mediaType: 'application/json', bytes: Buffer.from(`[${all.join(',')}]`), salted: false };
}

function json(value: unknown, salted: boolean): ContentDraft {
  return { mediaType: 'application/json', bytes: Buffer.from(canonicalJson(plain(value))), salted };
}

/** Optional fields that are absent, as JSON has them. */
function plain(value: unknown): Json & JsonObject {
  return JSON.parse(JSON.stringify(value)) as Json & JsonObject;
}
