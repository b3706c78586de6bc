import type { DataSource } from 'typeorm';
import type { LeaseKind } from '../../audit/lease.js';
import type { InstanceState } from '../../report/instances.js';
import { rowsOf } from './log-storage.js';

interface Row {
  readonly name: string;
  readonly version: string;
  readonly started_at: Date;
  readonly seen_at: Date;
  readonly leases: readonly { readonly kind: LeaseKind; readonly name: string; readonly epoch: number; readonly since: string }[]; // prettier-ignore
}

/** The instances that are alive by the database's clock, and what each does, by name. Throws `database-unavailable`. */
export async function liveInstances(dataSource: DataSource): Promise<readonly InstanceState[]> {
  const rows = await rowsOf<Row>(
    dataSource,
    `SELECT i.name, i.version, i.started_at, i.seen_at,
       coalesce(jsonb_agg(jsonb_build_object('kind', l.kind, 'name', l.name, 'epoch', l.epoch, 'since', l.since)
         ORDER BY l.kind, l.name) FILTER (WHERE l.name IS NOT NULL), '[]') AS leases
     FROM instance i LEFT JOIN lease l ON l.instance = i.id WHERE i.until > now()
     GROUP BY i.id ORDER BY i.name, i.id`,
  );
  return rows.map(({ name, version, started_at: startedAt, seen_at: seenAt, leases }) => ({
    name,
    version,
    startedAt: startedAt.toISOString(),
    seenAt: seenAt.toISOString(),
    leases: leases.map((lease) => ({ ...lease, since: new Date(lease.since).toISOString() })),
  }));
}
