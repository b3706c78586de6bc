import type { LeaseKind } from '../../audit/lease.js';

/** One piece of work, as the database has it. */
export interface LeaseRow {
  readonly kind: LeaseKind;
  readonly name: string;
  readonly epoch: number;
  readonly instance: string | null;
  readonly wantedBy: string | null;
}

export interface Situation {
  readonly me: string;
  /** Those that are alive, this one among them. */
  readonly instances: readonly string[];
  readonly leases: readonly LeaseRow[];
  /** Whether this instance can do it. */
  readonly candidate: (lease: LeaseRow) => boolean;
}

export interface Intent {
  /** Nobody does these. */
  readonly take: readonly LeaseRow[];
  /** Others do these, who have more to do. */
  readonly ask: readonly LeaseRow[];
  /** Others asked for these. */
  readonly give: readonly LeaseRow[];
}

/**
 * What one instance does next about the sharing of work. Of what is free it takes its part and leaves the rest to the others (what
 * stays free is looked at again soon); of who has more it asks for half the difference. A difference of one is none, so nothing
 * goes back and forth.
 */
export function shareOut({ me, instances, leases, candidate }: Situation): Intent {
  const alive = new Set(instances);
  const place = Math.max(0, instances.toSorted().indexOf(me));
  const intent = { take: [] as LeaseRow[], ask: [] as LeaseRow[], give: [] as LeaseRow[] };
  for (const kind of new Set(leases.map((lease) => lease.kind))) {
    const all = leases.filter((lease) => lease.kind === kind);
    const heldBy = (id: string): readonly LeaseRow[] => all.filter(({ instance }) => instance === id);
    const isFree = ({ instance }: LeaseRow): boolean => instance === null || !alive.has(instance);
    const free = all.filter((lease) => isFree(lease) && candidate(lease));
    const part = Math.ceil(free.length / Math.max(1, alive.size));
    // Each begins elsewhere, so that two that look at the same time seldom want the same.
    const from = (place * part) % Math.max(1, free.length);
    intent.take.push(...[...free, ...free].slice(from, from + part));
    intent.give.push(
      ...heldBy(me).filter(({ wantedBy }) => wantedBy !== null && wantedBy !== me && alive.has(wantedBy)),
    );
    if (free.length > 0 || all.some(({ wantedBy }) => wantedBy === me)) continue;
    const [richest] = instances
      .filter((id) => id !== me)
      .map((id) => heldBy(id))
      .toSorted((a, b) => b.length - a.length);
    if (!richest) continue;
    const missing = Math.floor((richest.length - heldBy(me).length) / 2);
    const asked = richest.filter((lease) => candidate(lease) && lease.wantedBy === null);
    intent.ask.push(...asked.slice(0, Math.max(0, missing)));
  }
  return intent;
}
