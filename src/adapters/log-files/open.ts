import { stat } from 'node:fs/promises';
import type { LogFiles } from '../../audit/log-files.js';
import { CountersignError } from '../../errors.js';
import { openZip } from '../evidence/zip.js';
import { folderFiles } from './folder.js';
import { httpFiles } from './http.js';

export interface OpenLogFiles extends LogFiles {
  close(): Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

/**
 * A copy of a log by what a person calls it: an evidence bundle (.zip), a folder of tiles, the address of a service's `/log` or of
 * static tiles, or `s3://bucket/prefix` (region and credentials as the AWS SDK finds them). Throws `usage`, `bundle-invalid`.
 */
export async function openLogFiles(location: string): Promise<OpenLogFiles> {
  if (location.startsWith('s3://')) {
    const { s3Files, parseS3Location } = await import('./s3.js');
    const files = await s3Files(parseS3Location(location));
    return { ...files, close: nothing };
  }
  if (/^https?:\/\//.test(location)) return { ...httpFiles(location), close: nothing };
  const found = await stat(location).catch((cause: Error) => {
    throw new CountersignError('usage', `${location} cannot be read: ${cause.message}`, { cause });
  });
  if (found.isDirectory()) return { ...folderFiles(location), close: nothing };
  const zip = await openZip(location);
  return {
    where: location,
    read: async (name, limit) => (zip.names.has(name) ? zip.read(name, limit) : undefined),
    close: () => zip.close(),
  };
}
