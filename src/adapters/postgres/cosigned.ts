import type { CosignedStore } from '../../audit/cosigning.js';
import { type Queryable, rowsOf } from './log-storage.js';

/** The newest checkpoint with its witnesses' signatures. */
export class PostgresCosigned implements CosignedStore {
  constructor(private readonly database: Queryable) {}

  async save(note: string, size: number): Promise<void> {
    await rowsOf(
      this.database,
      `INSERT INTO log_cosigned (size, note) VALUES ($1, $2)
       ON CONFLICT (one) DO UPDATE SET size = excluded.size, note = excluded.note WHERE log_cosigned.size <= excluded.size`,
      [size, note],
    );
  }

  /** Undefined before the first, and in a database that no service of this version has opened. */
  async newest(): Promise<string | undefined> {
    const [{ there }] = await rowsOf<{ there: boolean }>(
      this.database,
      `SELECT to_regclass('log_cosigned') IS NOT NULL AS there`,
    );
    if (!there) return undefined;
    const [row] = await rowsOf<{ note: string }>(this.database, 'SELECT note FROM log_cosigned');
    return row?.note;
  }
}
