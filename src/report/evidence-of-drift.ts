import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';

/** Who made a drift, by the best that is known of it. */
export interface DriftEvidence {
  readonly strength: string;
  /** `managedFields`, `audit`, `admission`, `forge`; null: nothing. */
  readonly source: string | null;
  /** The user by whom the API server knew the caller; null where only a field manager is known. */
  readonly user: string | null;
  readonly impersonatedBy: string | null;
  readonly addresses: readonly string[];
  /** As the client calls itself: the field manager, or its user agent. */
  readonly client: string | null;
  readonly time: string | null;
  readonly incomplete: boolean;
}

const order = ['none', 'hint', 'likely', 'strong'];

/** The strongest of the first evidence and what came after it; the later of two that are equal. Pure. */
export function strongest(drift: { readonly attribution: Json; readonly supplements: Json }): DriftEvidence | null {
  const supplements = Array.isArray(drift.supplements) ? (drift.supplements as readonly Json[]) : [];
  const all = [drift.attribution, ...supplements].filter(isJsonObject).map(evidence);
  return all.toSorted((a, b) => order.indexOf(a.strength) - order.indexOf(b.strength)).at(-1) ?? null;
}

function evidence(one: JsonObject): DriftEvidence {
  const user = isJsonObject(one['user']) ? one['user'] : {};
  const addresses = Array.isArray(user['addresses']) ? (user['addresses'] as readonly Json[]) : [];
  return {
    strength: text(one['strength']) ?? 'none',
    source: text(one['source']),
    user: text(user['name']),
    impersonatedBy: text(user['impersonatedBy']),
    addresses: addresses.filter((address) => typeof address === 'string'),
    client: text(one['manager']) ?? text(user['agent']),
    time: text(one['time']),
    incomplete: one['incomplete'] === true,
  };
}

const text = (value: Json | undefined): string | null => (typeof value === 'string' && value !== '' ? value : null);

const sources: Readonly<Record<string, string>> = {
  managedFields: 'managed fields',
  audit: 'audit log',
  admission: 'admission webhook',
  forge: 'forge',
};

/** `dana@example.org from 10.1.2.3, 2026-07-01T09:30:00Z (audit log: strong)`. */
export function describeEvidence(found: DriftEvidence | null): string {
  if (!found || found.strength === 'none') return 'nobody left a trace';
  const { user, impersonatedBy, addresses, client, time, strength, source, incomplete } = found;
  const who = user === null ? (client ?? 'somebody') : `${client && source === 'managedFields' ? `${client} by ` : ''}${user}`; // prettier-ignore
  const as = impersonatedBy === null ? '' : ` (really ${impersonatedBy})`;
  const from = addresses.length > 0 ? ` from ${addresses.join(', ')}` : '';
  const gap = incomplete ? ', events are missing' : '';
  return `${who}${as}${from}${time ? `, ${time}` : ''} (${sources[source ?? ''] ?? 'unknown'}: ${strength}${gap})`;
}
