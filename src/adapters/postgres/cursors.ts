import type { DataSource } from 'typeorm';
import type { Cursor, Cursors } from '../../report/notifications.js';
import { databaseFault } from './faults.js';

/** How a destination is. */
export interface DestinationState {
  readonly destination: string;
  /** Entries that it was not told of, wanted or not. */
  readonly waiting: number;
  /** RFC 3339; null while it takes what it is told. */
  readonly failingSince: string | null;
  readonly fault: string | null;
}

/** src/report/notifications.ts in PostgreSQL: a row a destination. */
export class PostgresCursors implements Cursors {
  constructor(private readonly dataSource: DataSource) {}

  async of(destination: string, end: number): Promise<Cursor> {
    await this.#query('INSERT INTO notification (destination, next_index) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
      destination,
      end,
    ]);
    const [row] = await this.#query<{ next_index: string; told: string[] }>(
      'SELECT next_index, told FROM notification WHERE destination = $1',
      [destination],
    );
    return { next: Number(row.next_index), told: row.told };
  }

  async move(destination: string, { next, told }: Cursor): Promise<void> {
    // Never back: whoever comes late tells something twice, and nothing never.
    await this.#query(
      `UPDATE notification SET next_index = greatest(next_index, $2), told = $3, failing_since = NULL, fault = NULL WHERE destination = $1`,
      [destination, next, JSON.stringify(told)],
    );
  }

  async failed(destination: string, fault: string): Promise<void> {
    await this.#query(
      'UPDATE notification SET failing_since = coalesce(failing_since, now()), fault = $2 WHERE destination = $1',
      [destination, fault.slice(0, 1_000)],
    );
  }

  async keep(destinations: readonly string[]): Promise<void> {
    await this.#query('DELETE FROM notification WHERE destination <> ALL($1)', [destinations]);
  }

  async states(size: number): Promise<readonly DestinationState[]> {
    const rows = await this.#query<{
      destination: string;
      next_index: string;
      failing_since: Date | null;
      fault: string | null;
    }>('SELECT destination, next_index, failing_since, fault FROM notification ORDER BY destination');
    return rows.map(({ destination, next_index: next, failing_since: since, fault }) => ({
      destination,
      waiting: Math.max(0, size - Number(next)),
      failingSince: since?.toISOString() ?? null,
      fault,
    }));
  }

  async #query<T>(text: string, values: readonly unknown[] = []): Promise<T[]> {
    try {
      return await this.dataSource.query<T[]>(text, [...values]);
    } catch (thrown) {
      throw databaseFault(thrown);
    }
  }
}
