import { randomUUID } from 'node:crypto';
import { AuditLogReader } from '../adapters/kubernetes/audit-log.js';
import { readEventList } from '../adapters/kubernetes/audit-events.js';
import type { Ledger } from '../audit/ledger.js';
import type { TargetConfig } from '../config.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { WriteRequest } from '../reconcile/admission.js';
import { type ApiWrite, AuditTrail, type TrailLimits } from '../reconcile/audit-trail.js';
import type { Cluster } from '../reconcile/cluster.js';
import { RecordedSupplements } from '../reconcile/recorded-supplements.js';
import type { Drift, RunEnd, RunStart } from '../reconcile/run-log.js';
import { recordFault } from '../review/record-fault.js';
import type { Records, Trouble } from '../review/records.js';
import { describeTrouble } from '../review/trouble.js';

export interface AttributingParts {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly targets: readonly Pick<TargetConfig, 'name' | 'audit'>[];
  readonly ledger: Ledger;
  readonly records: Records;
  readonly onFault: (trouble: Trouble, target: string) => void;
  /** What came here, for whichever instance reconciles what it is about. */
  readonly tell: (target: string, writes: readonly ApiWrite[]) => void;
  readonly limits?: TrailLimits;
}

/** What is heard of a target's writes. */
export interface AuditState {
  /** RFC 3339; null before the first event. */
  readonly lastEventAt: string | null;
  /** The newest sign that events are missing. */
  readonly lastLoss: { readonly time: string; readonly reason: string } | null;
}

/** Milliseconds. */
const SWEEP = 5_000;
/** The same loss is logged again after this many milliseconds. */
const AGAIN = 600_000;

/** Finds who made a drift, beyond what managed fields say: by what the API servers tell of writes. */
export class Attributing {
  readonly #trails = new Map<string, AuditTrail>();
  readonly #readers: AuditLogReader[] = [];
  readonly #losses = new Map<string, { readonly time: string; readonly reason: string }>();
  readonly #selves = new Map<string, string>();
  readonly #supplements: RecordedSupplements;
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly parts: AttributingParts) {
    const { ledger, records, limits } = parts;
    this.#supplements = new RecordedSupplements(ledger, records, (thrown) => this.#fault('', toCountersignError(thrown))); // prettier-ignore
    for (const { name, audit } of parts.targets) {
      const events = {
        found: (drift: Drift, found: Parameters<RecordedSupplements['add']>[1]) => this.#supplements.add(drift, found),
        lost: (reason: string) => this.#lost(name, reason),
      };
      const trail = new AuditTrail(events, () => this.#selves.get(name) ?? null, audit !== undefined, limits);
      this.#trails.set(name, trail);
      if (audit?.log === undefined) continue;
      const { log: path } = audit;
      this.#readers.push(
        new AuditLogReader({
          path,
          found: (writes) => this.#add(name, writes),
          lost: (reason) => trail.lost(reason),
        }),
      );
    }
    const sweep = (): void => {
      for (const trail of this.#trails.values()) trail.sweep();
    };
    this.#timer = setInterval(sweep, Math.min(SWEEP, (limits?.patience ?? SWEEP) / 2)).unref();
  }

  async start(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.start()));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#readers.map((reader) => reader.stop()));
    await this.#supplements.close();
  }

  state(target: string): AuditState | null {
    const configured = this.parts.targets.find(({ name }) => name === target)?.audit;
    const newest = this.#trails.get(target)?.newest ?? 0;
    if (!configured) return null;
    return { lastEventAt: newest === 0 ? null : new Date(newest).toISOString(), lastLoss: this.#losses.get(target) ?? null }; // prettier-ignore
  }

  /** An EventList that an API server posted. False: it is none. */
  received(target: string, body: unknown): boolean {
    const trail = this.#trails.get(target);
    const read = readEventList(body);
    if (!trail || !read) return false;
    this.#add(target, read.writes);
    if (read.unreadable > 0) trail.lost(`${read.unreadable} events of a batch cannot be read`);
    return true;
  }

  /** A batch came that cannot be taken: its sender does not send it again. */
  refused(target: string, reason: string): void {
    this.#trails.get(target)?.lost(reason);
  }

  /** The API server asked whether this may be written, and we let it pass. */
  admitted(target: string, request: WriteRequest): void {
    const { uid, operation, identity, subResource, user, groups, dryRun, object, oldObject } = request;
    if (dryRun || operation === 'CONNECT') return;
    // A part of an object is asked for by the name of its resource, everything else by its kind.
    const isPart = subResource !== '';
    this.#add(target, [
      {
        source: 'admission',
        id: uid,
        verb: operation.toLowerCase(),
        group: identity.group,
        resource: isPart ? identity.kind : null,
        kind: isPart ? null : identity.kind,
        subresource: subResource,
        namespace: identity.namespace,
        name: identity.name,
        user: { name: user, groups, impersonatedBy: null, addresses: [], agent: null },
        uid: (object ?? oldObject)?.metadata.uid ?? null,
        resourceVersion: null,
        time: Date.now(),
      },
    ]);
  }

  /** As `received`, by another instance. */
  heardElsewhere(target: string, writes: readonly ApiWrite[]): void {
    this.#trails.get(target)?.add(writes);
  }

  #add(target: string, writes: readonly ApiWrite[]): void {
    const trail = this.#trails.get(target);
    if (!trail || writes.length === 0) return;
    trail.add(writes);
    this.parts.tell(target, writes);
  }

  /** What the record of runs has just taken down. */
  recorded({ drifts, run, end }: { drifts: readonly Drift[]; run: RunStart; end?: RunEnd }): void {
    const trail = this.#trails.get(run.target);
    const cluster = this.parts.clusters.get(run.target);
    if (!trail || !cluster) return;
    const work = async (): Promise<void> => {
      if (drifts.length > 0) await this.#whoWeAre(run.target, cluster);
      for (const drift of drifts) trail.drifted(drift, (await cluster.kind(drift.identity)).plural);
      const written = (end?.results ?? []).find(({ outcome }) => outcome === 'written');
      // One of a run is enough to notice that nothing comes.
      if (written) trail.written(written.identity, (await cluster.kind(written.identity)).plural, Date.parse(run.time));
    };
    // Without it there is the first evidence.
    void work().catch((thrown: unknown) => this.parts.onFault(describeTrouble(toCountersignError(thrown)), run.target));
  }

  async #whoWeAre(target: string, cluster: Cluster): Promise<void> {
    if (this.#selves.has(target)) return;
    const name = await cluster.whoAmI();
    if (name !== null) this.#selves.set(target, name);
  }

  #lost(target: string, reason: string): void {
    const before = this.#losses.get(target);
    const time = new Date().toISOString();
    this.#losses.set(target, { time, reason });
    if (before && before.reason === reason && Date.parse(time) - Date.parse(before.time) < AGAIN) return;
    this.#fault(
      target,
      new CountersignError('audit-incomplete', `audit events of target ${target} are missing: ${reason}`, {
        remedy: 'See that its audit policy leaves out no writes, and its webhook or log drops none',
      }),
    );
  }

  #fault(target: string, error: CountersignError): void {
    const trouble = describeTrouble(error);
    this.parts.onFault(trouble, target);
    const { ledger, records } = this.parts;
    const fault = { id: randomUUID(), repository: null, environment: null, trouble, time: new Date().toISOString(), index: null }; // prettier-ignore
    void recordFault(ledger, records, fault).catch(() => {}); // said already, and the log is what fails
  }
}
