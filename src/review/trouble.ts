import type { CountersignError } from '../errors.js';
import type { Trouble } from './records.js';

/** An error as it is remembered and shown. */
export function describeTrouble(error: CountersignError): Trouble {
  const { code, message, place, remedy } = error;
  return { code, message, ...(place ? { place } : {}), ...(remedy ? { remedy } : {}) };
}
