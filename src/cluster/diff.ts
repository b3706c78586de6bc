import type { Json } from './object.js';

/** One operation of RFC 6902. Only add, remove and replace are made. */
export interface JsonPatchOperation {
  readonly op: 'add' | 'remove' | 'replace';
  /** RFC 6901 JSON pointer. */
  readonly path: string;
  readonly value?: Json;
}
