import type { DataSource } from 'typeorm';
import { openDatabase } from './connect.js';
import { foreignDatabase } from './embedded.js';

/**
 * The database of a data folder whose service is stopped, to be changed. Throws `data-folder` while a service uses the folder.
 */
export async function openStoppedDatabase(data: string, url?: string): Promise<DataSource> {
  const address = url ?? (await foreignDatabase(data));
  return openDatabase(address === undefined ? { data } : { url: address, data });
}
