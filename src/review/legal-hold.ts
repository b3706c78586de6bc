import type { EntryDraft, LoggedEntry } from '../audit/entry.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { JsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import { Subject } from './subject.js';

/** What a hold is about: all that is given must fit. Nothing given is everything. */
export interface HoldScope {
  readonly repository?: string;
  readonly environment?: string;
  /** RFC 3339, over the time at which an entry was recorded: from (inclusive) and until (exclusive). */
  readonly since?: string;
  readonly until?: string;
  /** Indexes of the first and the last entry. */
  readonly entries?: { readonly from: number; readonly to: number };
  /** An address or a name that is in the content. */
  readonly person?: string;
}

/** Contents in its scope are removed by nobody: neither by retention, nor by an erasure that two people signed. */
export interface LegalHold {
  readonly name: string;
  readonly scope: HoldScope;
  readonly reason: string;
  readonly by: string;
  /** RFC 3339, UTC. */
  readonly addedAt: string;
  /** Null until the log tells of it; it holds from before. */
  readonly index: number | null;
  readonly release: { readonly at: string; readonly reason: string; readonly by: string; readonly index: number | null } | null; // prettier-ignore
}

/** Whether an entry's contents are in its scope; those of a hold on a person only if they name that person, which `namesHeld` tells. */
export function holds({ scope }: LegalHold, entry: Pick<LoggedEntry, 'index' | 'time' | 'predicate'>): boolean {
  const { repository, environment, since, until, entries } = scope;
  return (
    (repository === undefined || entry.predicate['repository'] === repository) &&
    (environment === undefined || entry.predicate['environment'] === environment) &&
    (since === undefined || Date.parse(entry.time) >= Date.parse(since)) &&
    (until === undefined || Date.parse(entry.time) < Date.parse(until)) &&
    (entries === undefined || (entry.index >= entries.from && entry.index <= entries.to))
  );
}

const subjects = new WeakMap<LegalHold, Subject>();

export function namesHeld(hold: LegalHold, bytes: Buffer): boolean {
  if (hold.scope.person === undefined) return true;
  const subject = subjects.get(hold) ?? new Subject([hold.scope.person]);
  subjects.set(hold, subject);
  return subject.isIn(bytes);
}

/** In words for people. */
export function scopeText({ repository, environment, since, until, entries, person }: HoldScope): string {
  const parts = [
    repository === undefined ? [] : [`repository ${repository}`],
    environment === undefined ? [] : [`environment ${environment}`],
    since === undefined ? [] : [`from ${since}`],
    until === undefined ? [] : [`until ${until}`],
    entries === undefined ? [] : [`entries ${entries.from} … ${entries.to}`],
    person === undefined ? [] : [`naming ${person}`],
  ].flat();
  return parts.length === 0 ? 'everything' : parts.join(', ');
}

/** That it was added, or released. Whom it is about, why, and who did it are people's words: in the contents only (invariant 11). */
export function legalHoldEntry({ name, scope, reason, by, addedAt, release }: LegalHold): EntryDraft {
  const { person: _person, ...plain } = scope;
  const said: JsonObject = release
    ? { reason: release.reason, by: release.by }
    : { reason, by, scope: JSON.parse(JSON.stringify(scope)) as JsonObject };
  return {
    type: 'action',
    subjects: [],
    predicate: {
      action: release ? 'legal-hold-released' : 'legal-hold',
      hold: name,
      scope: { ...plain, ...(plain.entries && { entries: { ...plain.entries } }), person: scope.person !== undefined },
      time: release?.at ?? addedAt,
    },
    contents: { said: { mediaType: 'application/json', bytes: Buffer.from(canonicalJson(said)), salted: true } },
  };
}

export function held(hold: LegalHold): CountersignError {
  return new CountersignError('erasure-refused', `what it would erase is under the legal hold ${hold.name} (${scopeText(hold.scope)})`, {
    remedy: 'Nothing was erased; ask whoever added the hold (countersign legal-hold list)',
  }); // prettier-ignore
}
