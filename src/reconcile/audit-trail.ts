import type { ObjectIdentity } from '../cluster/object.js';
import type { Drift } from './run-log.js';

/** A write to a cluster as its API server tells of it: whom it knew the caller as, and what was asked. */
export interface ApiWrite {
  /**
   * `audit`: an event of `audit.k8s.io/v1`, after the write was answered with success. `admission`: the API server asked us before;
   * the write may have been refused by somebody else after that.
   */
  readonly source: 'audit' | 'admission';
  /** The API server's own id of the request. */
  readonly id: string;
  readonly verb: string;
  readonly group: string;
  /** Plural, as in URLs, where it is known; else `kind`. */
  readonly resource: string | null;
  readonly kind: string | null;
  readonly subresource: string;
  readonly namespace: string;
  /** '' for a collection. */
  readonly name: string;
  readonly user: WriteUser;
  /** Of the object as the write left it; null where the event does not say (level `Metadata`). */
  readonly uid: string | null;
  readonly resourceVersion: string | null;
  /** When the request came in, milliseconds since the epoch by the API server's clock. */
  readonly time: number;
}

export interface WriteUser {
  readonly name: string;
  readonly groups: readonly string[];
  /** Who really called, where that was in the name of another. */
  readonly impersonatedBy: string | null;
  readonly addresses: readonly string[];
  readonly agent: string | null;
}

/** Evidence of who made a drift that came after it was recorded. */
export interface Supplement {
  /**
   * `strong`: the API server's audit event of the very write that made this version of the object (or deleted it). `likely`: a write to that object
   * about then, by the API server's word; whether it is the one is inferred.
   */
  readonly strength: 'strong' | 'likely';
  readonly source: ApiWrite['source'];
  readonly user: WriteUser;
  readonly verb: string;
  readonly request: string;
  /** RFC 3339. */
  readonly time: string;
  /** True where events are known to be missing from that time: somebody else may have written as well. */
  readonly incomplete: boolean;
}

/** Something whose event has to come: a drift that was recorded, or a write of our own. */
interface Expected {
  readonly identity: ObjectIdentity;
  readonly resource: string;
  readonly since: number;
  readonly until: number;
  readonly drift: Drift | null;
}

export interface TrailLimits {
  /** Milliseconds after which an event is forgotten. */
  readonly memory: number;
  readonly events: number;
  /** Milliseconds within which the event of a write has to come: API servers send in batches, by default every 30 s. */
  readonly patience: number;
}

const LIMITS: TrailLimits = { memory: 900_000, events: 20_000, patience: 90_000 };
/** Milliseconds that clocks may differ, and a watch may be late. */
const SLACK = 5_000;

export interface TrailEvents {
  /** The best evidence so far of who made a drift; better evidence may follow. */
  readonly found: (drift: Drift, supplement: Supplement) => void;
  /** Events are missing, and why that is known. */
  readonly lost: (reason: string) => void;
}

/**
 * What one API server tells of writes, as far back as it is remembered, held against the drift that was recorded. The order in which the two
 * come does not matter. That every write has an event is what shows a loss: a drift or a write of our own of which none comes was not told.
 */
export class AuditTrail {
  #writes: ApiWrite[] = [];
  readonly #seen = new Set<string>();
  #expected: Expected[] = [];
  /** Milliseconds since the epoch: the times for which events are known to be missing. */
  #gaps: { readonly from: number; readonly to: number }[] = [];
  #newest = 0;
  /** The best that was told of each drift: strength and source. */
  readonly #best = new WeakMap<Expected, string>();

  constructor(
    private readonly events: TrailEvents,
    /** Who we are to that API server; null where it does not say. */
    private readonly self: () => string | null,
    /** True where the API server tells of every write: then one of which nothing comes was lost. */
    private readonly isWhole: boolean,
    private readonly limits: TrailLimits = LIMITS,
    private readonly now: () => number = Date.now,
  ) {}

  /** When the last event came, in milliseconds since the epoch; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  add(writes: readonly ApiWrite[]): void {
    const fresh = writes.filter(({ id, source }) => !this.#seen.has(`${source} ${id}`));
    for (const { id, source } of fresh) this.#seen.add(`${source} ${id}`);
    this.#writes.push(...fresh);
    if (fresh.length > 0) this.#newest = this.now();
    if (this.#writes.length > this.limits.events) {
      const dropped = this.#writes.splice(0, this.#writes.length - this.limits.events);
      for (const { id, source } of dropped) this.#seen.delete(`${source} ${id}`);
      this.lost(
        `more than ${this.limits.events} writes within ${this.limits.memory / 60_000} minutes`,
        dropped[0].time,
      );
    }
    this.#look(fresh);
  }

  /** `resource` is the plural of the object's kind, by which events name it. */
  drifted(drift: Drift, resource: string): void {
    const at = Date.parse(drift.time);
    const { identity } = drift;
    this.#expected.push({
      identity,
      resource,
      since: at - this.limits.memory,
      until: at + this.limits.patience,
      drift,
    });
    this.#look([]);
  }

  /** A write of our own was answered: its event has to come, too. */
  written(identity: ObjectIdentity, resource: string, from: number): void {
    if (!this.isWhole) return;
    const until = this.now() + this.limits.patience;
    this.#expected.push({ identity, resource, since: from - SLACK, until, drift: null });
  }

  /** Events from `from` on may be missing. Milliseconds since the epoch. */
  lost(reason: string, from = this.now() - this.limits.patience): void {
    this.#gaps.push({ from, to: this.now() });
    this.events.lost(reason);
  }

  /** Forgets what is too old, and tells of what did not come. To be called every few seconds. */
  sweep(): void {
    const now = this.now();
    const late = this.#expected.filter(({ until }) => until < now);
    this.#expected = this.#expected.filter(({ until }) => until >= now);
    const missing = this.isWhole ? late.find((one) => !this.#isTold(one)) : undefined;
    if (missing) {
      const { kind, namespace, name } = missing.identity;
      const what = missing.drift ? 'a change that somebody made to' : 'our own write of';
      this.lost(`no event came of ${what} ${kind} ${namespace ? `${namespace}/` : ''}${name}`, missing.since);
    }
    const oldest = now - this.limits.memory;
    for (const { id, source, time } of this.#writes) if (time < oldest) this.#seen.delete(`${source} ${id}`);
    this.#writes = this.#writes.filter(({ time }) => time >= oldest);
    this.#gaps = this.#gaps.filter(({ to }) => to >= oldest);
  }

  #isTold(expected: Expected): boolean {
    if (expected.drift) return this.#best.get(expected)?.endsWith('audit') ?? false;
    return this.#writes.some((write) => write.source === 'audit' && isAbout(write, expected) && write.time >= expected.since); // prettier-ignore
  }

  #look(fresh: readonly ApiWrite[]): void {
    for (const expected of this.#expected) {
      const { drift } = expected;
      // Nothing follows the strongest, and nothing is told twice.
      if (!drift || this.#best.get(expected)?.startsWith('strong')) continue;
      if (fresh.length > 0 && !fresh.some((write) => isAbout(write, expected))) continue;
      const supplement = evidenceOf(drift, expected.resource, this.#writes, this.self());
      if (!supplement || this.#best.get(expected) === `${supplement.strength} ${supplement.source}`) continue;
      this.#best.set(expected, `${supplement.strength} ${supplement.source}`);
      const time = Date.parse(supplement.time);
      const incomplete = supplement.strength !== 'strong' && this.#gaps.some(({ from, to }) => time >= from && time <= to + SLACK); // prettier-ignore
      this.events.found(drift, { ...supplement, incomplete });
    }
  }
}

/** Who wrote a drift, by what the API server told. Pure. */
export function evidenceOf(
  drift: Drift,
  resource: string,
  writes: readonly ApiWrite[],
  self: string | null,
): Supplement | null {
  const seen = Date.parse(drift.time) + SLACK;
  const told = writes.filter((write) => isAbout(write, { identity: drift.identity, resource }) && write.time <= seen);
  // What came before our own last write was put right by that.
  const own = Math.max(0, ...told.filter(({ user, time }) => isSelf(user, self) && time < seen - SLACK).map(({ time }) => time)); // prettier-ignore
  const about = told.filter(({ user, time }) => !isSelf(user, self) && time > own);
  const made = about.findLast((write) => write.source === 'audit' && isTheWrite(write, drift));
  // One that says which version it left, and another than was seen, is not the one.
  const found = made ?? latest(about.filter((write) => write.resourceVersion === null && fitsType(write, drift)));
  if (!found) return null;
  const { source, user, verb, id, time } = found;
  return {
    strength: made ? 'strong' : 'likely',
    source,
    user,
    verb,
    request: id,
    time: new Date(time).toISOString(),
    incomplete: false,
  };
}

/** Our own user, or one in whose name it wrote: nobody else can act by our credentials. */
function isSelf({ name, impersonatedBy }: WriteUser, self: string | null): boolean {
  return self !== null && (impersonatedBy ?? name) === self;
}

/** The event says itself that it left the object in this version, or that it deleted this one. */
function isTheWrite(write: ApiWrite, { type, uid, resourceVersion }: Drift): boolean {
  if (type === 'deleted') return write.verb === 'delete' && write.name !== '' && write.subresource === '';
  return write.uid === uid && write.resourceVersion !== null && write.resourceVersion === resourceVersion;
}

function fitsType({ verb }: ApiWrite, { type }: Drift): boolean {
  return type === 'deleted' ? verb === 'delete' || verb === 'deletecollection' : verb !== 'delete' && verb !== 'deletecollection'; // prettier-ignore
}

/** An audit event before what admission was asked. */
function latest(writes: readonly ApiWrite[]): ApiWrite | undefined {
  const sorted = writes.toSorted((a, b) => a.time - b.time);
  return sorted.findLast(({ source }) => source === 'audit') ?? sorted.at(-1);
}

function isAbout(
  { group, resource, kind, namespace, name, subresource }: ApiWrite,
  of: { readonly identity: ObjectIdentity; readonly resource: string },
): boolean {
  const { identity } = of;
  if (subresource === 'status' || group !== identity.group || namespace !== identity.namespace) return false;
  if (name !== '' && name !== identity.name) return false;
  return resource === null ? kind === identity.kind : resource === of.resource;
}
