import type { DataSource } from 'typeorm';
import { entryOf } from '../../audit/statement.js';
import type { Configurations } from '../../report/access-list.js';
import { contentOfEntry } from './content-store.js';
import { databaseFault } from './faults.js';
import { rowsOf } from './log-storage.js';

/** Starts that are read at a time: each has an entry of its own. */
const PAGE = 100;

/** src/report/access-list.ts on PostgreSQL, from the entries of the service's starts. */
export class PostgresConfigurations implements Configurations {
  constructor(private readonly dataSource: DataSource) {}

  async at(instant: string): ReturnType<Configurations['at']> {
    try {
      for (let before: string | null = null; ;) {
        const rows: { log_index: string; leaf: Buffer }[] = await rowsOf(
          this.dataSource,
          `SELECT log_index, leaf FROM log_entry WHERE type = 'service' AND ($1::bigint IS NULL OR log_index < $1)
           ORDER BY log_index DESC LIMIT ${PAGE}`,
          [before],
        );
        for (const { log_index: index, leaf } of rows) {
          const { time } = entryOf(Number(index), leaf);
          if (Date.parse(time) > Date.parse(instant)) continue;
          const text = await contentOfEntry(this.dataSource.manager, Number(index), 'configuration');
          return { index: Number(index), time, configuration: JSON.parse(text.toString('utf8')) };
        }
        if (rows.length < PAGE) return null;
        before = rows.at(-1)!.log_index;
      }
    } catch (cause) {
      throw databaseFault(cause);
    }
  }
}
