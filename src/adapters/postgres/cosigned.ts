import type { CosignedStore } from '../../audit/cosigning.js';
import { databaseFault } from './faults.js';
import type { Queryable } from './log-storage.js';

/** The newest checkpoint with its witnesses' signatures. */
export class PostgresCosigned implements CosignedStore {
  constructor(private readonly database: Queryable) {}

  async save(note: string, size: number): Promise<void> {
    await this.#query(
      `INSERT INTO log_cosigned (size, note) VALUES ($1, $2)
       ON CONFLICT (one) DO UPDATE SET size = excluded.size, note = excluded.note WHERE log_cosigned.size <= excluded.size`,
      [size, note],
    );
  }

  /** Undefined before the first, and in a database that no service of this version has opened. */
  async newest(): Promise<string | undefined> {
    const [{ there }] = await this.#query<{ there: boolean }>(
      `SELECT to_regclass('log_cosigned') IS NOT NULL AS there`,
    );
    if (!there) return undefined;
    const [row] = await this.#query<{ note: string }>('SELECT note FROM log_cosigned');
    return row?.note;
  }

  async #query<T>(text: string, values: unknown[] = []): Promise<T[]> {
    try {
      return await this.database.query<T[]>(text, values);
    } catch (error) {
      throw databaseFault(error);
    }
  }
}
