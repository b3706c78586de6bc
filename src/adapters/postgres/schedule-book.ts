import type { DataSource, EntityManager } from 'typeorm';
import { CountersignError } from '../../errors.js';
import { keyOf, type Period, type ScheduleBook, type ScheduleState } from '../../report/scheduled-exports.js';
import { databaseFault } from './faults.js';

/** src/report/scheduled-exports.ts on PostgreSQL. */
export class PostgresScheduleBook implements ScheduleBook {
  constructor(private readonly dataSource: DataSource) {}

  async begun(name: string, now: Date): Promise<Date> {
    await this.#query('INSERT INTO export_schedule (name, begun) VALUES ($1, $2) ON CONFLICT DO NOTHING', [name, now]);
    const [row] = await this.#query<{ begun: Date }>('SELECT begun FROM export_schedule WHERE name = $1', [name]);
    return row.begun;
  }

  async made(name: string, periods: readonly Period[]): Promise<ReadonlySet<string>> {
    const rows = await this.#query<{ since: Date; until: Date }>(
      'SELECT since, until FROM scheduled_export WHERE name = $1 AND made_at IS NOT NULL AND since = ANY($2)',
      [name, periods.map(({ since }) => since)],
    );
    return new Set(rows.map(({ since, until }) => keyOf({ since: since.toISOString(), until: until.toISOString() })));
  }

  settle: ScheduleBook['settle'] = async (lease, name, { at, period }, done) => {
    const failed = done instanceof CountersignError;
    const trouble = failed ? JSON.stringify({ code: done.code, message: done.message }) : null;
    try {
      await this.dataSource.transaction(async (manager: EntityManager) => {
        await lease.fence(manager);
        await manager.query(
          `INSERT INTO scheduled_export (name, since, until, due, made_at, log_index, file, attempts, trouble)
           VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN NULL ELSE now() END, $6, $7, 1, $8)
           ON CONFLICT (name, since, until) DO UPDATE SET attempts = scheduled_export.attempts + 1, trouble = excluded.trouble,
             made_at = excluded.made_at, log_index = excluded.log_index, file = excluded.file
           WHERE scheduled_export.made_at IS NULL`,
          [
            name,
            period.since,
            period.until,
            at,
            failed,
            failed ? null : done.index,
            failed ? null : done.file,
            trouble,
          ],
        );
      });
    } catch (thrown) {
      throw databaseFault(thrown);
    }
  };

  async states(): Promise<readonly ScheduleState[]> {
    const rows = await this.#query<{ name: string; made: string; made_at: Date | null; failing: Date | null; trouble: ScheduleState['trouble'] }>(
      `SELECT s.name, count(e.made_at) AS made, max(e.made_at) AS made_at, min(e.due) FILTER (WHERE e.made_at IS NULL) AS failing,
         (array_agg(e.trouble ORDER BY e.due) FILTER (WHERE e.made_at IS NULL))[1] AS trouble
       FROM export_schedule s LEFT JOIN scheduled_export e USING (name) GROUP BY s.name ORDER BY s.name`,
    ); // prettier-ignore
    return rows.map(({ name, made, made_at, failing, trouble }) => ({
      name,
      made: Number(made),
      madeAt: made_at?.toISOString() ?? null,
      failingSince: failing?.toISOString() ?? null,
      trouble,
    }));
  }

  async #query<T>(text: string, parameters: unknown[] = []): Promise<T[]> {
    try {
      return await this.dataSource.query<T[]>(text, parameters);
    } catch (thrown) {
      throw databaseFault(thrown);
    }
  }
}
