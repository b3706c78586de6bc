import { hash } from 'node:crypto';
import type { ObjectType } from './cat-file.js';

/** In bytes. A larger file, tree or commit is refused: the largest real ones have a few MiB. */
export const OBJECT_LIMIT = 64 * 1024 * 1024;
export const COMMIT_LIMIT = 8 * 1024 * 1024;

/** One call over one buffer costs far less than a hash object; most objects fit in a buffer that is there already. */
const scratch = Buffer.allocUnsafeSlow(512 * 1024);
const HEADER = 32;

/** The id under which git stores these bytes. */
export function objectHash(format: 'sha1' | 'sha256', type: ObjectType, data: Buffer): string {
  const whole = data.length + HEADER <= scratch.length ? scratch : Buffer.allocUnsafe(data.length + HEADER);
  const start = whole.write(`${type} ${data.length}\0`, 'latin1');
  data.copy(whole, start);
  return hash(format, whole.subarray(0, start + data.length), 'hex');
}
