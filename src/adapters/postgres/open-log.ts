import type { DataSource } from 'typeorm';
import { CountersignError } from '../../errors.js';
import type { ExportableLog } from '../evidence/export.js';
import { openDatabase } from './connect.js';
import { loadContent, storedDigests } from './content-store.js';
import { PostgresCosigned } from './cosigned.js';
import { notedDatabase } from './embedded.js';
import { LogReader } from './log-storage.js';

/** A log opened for reading only, beside its service or while that is stopped. */
export interface ReadableLog extends ExportableLog {
  close(): Promise<void>;
}

/**
 * The log of a data folder. While the service runs, its database is joined read-only; a stopped one's embedded database is started
 * for as long as the reading takes. Throws `data-folder`, `database-unavailable`.
 */
export async function openLogForReading(data: string, url?: string): Promise<ReadableLog> {
  const dataSource = await openLogDatabase(data, url);
  const reader = new LogReader(dataSource);
  return {
    checkpoint: async () => {
      const { note } = await reader.released();
      if (note === undefined) throw empty();
      return note;
    },
    cosigned: () => new PostgresCosigned(dataSource).newest(),
    readTile: reader.readTile,
    storedDigests: (digests) => storedDigests(dataSource.manager, digests),
    storedContent: (digest) => loadContent(dataSource.manager, digest),
    close: () => dataSource.destroy(),
  };
}

/** Its database, to be read only. Throws as `openLogForReading`. */
export async function openLogDatabase(data: string, url?: string): Promise<DataSource> {
  const running = url ?? (await notedDatabase(data));
  const dataSource = await openDatabase(running === undefined ? { data } : { url: running }, { readOnly: true });
  try {
    await requireLog(dataSource);
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}

async function requireLog(dataSource: DataSource): Promise<void> {
  const [{ log }] = await dataSource.query<{ log: string | null }[]>(`SELECT to_regclass('log_head') AS log`);
  if (log === null) throw empty();
}

function empty(): CountersignError {
  return new CountersignError('data-folder', 'there is no log in this database yet', {
    remedy: 'Start the service once with countersign serve',
  });
}
