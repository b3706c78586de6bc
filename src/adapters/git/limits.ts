import { hash } from 'node:crypto';
import type { ObjectType } from './cat-file.js';

/** In bytes. A larger file, tree or commit is refused: the largest real ones have a few MiB. */
export const OBJECT_LIMIT = 64 * 1024 * 1024;
export const COMMIT_LIMIT = 8 * 1024 * 1024;

/** The id under which git stores these bytes. */
export function objectHash(format: 'sha1' | 'sha256', type: ObjectType, data: Buffer): string {
  return hash(format, Buffer.concat([Buffer.from(`${type} ${data.length}\0`, 'latin1'), data]), 'hex');
}
