import { z } from 'zod';
import { isJsonObject, type Json } from '../../cluster/object.js';
import { CountersignError } from '../../errors.js';
import { OBJECT_ID } from '../../source/object-id.js';
import { ask, failed, type ForgeApi } from './http.js';

const PAGES = 10;

export const commit = z.string().regex(OBJECT_ID);
export const branch = z.string().regex(/^[^\s~^:?*[\\\p{Cc}]{1,255}$/u);
export const number = z.int().positive();
export const account = z.string().regex(/^[^\s\p{Cc}]{1,255}$/u);
export const time = z.iso.datetime({ offset: true });

/** Until a page is empty: a forge may give fewer than were asked for. */
export async function pages<T>(page: (number: number) => Promise<readonly T[]>): Promise<readonly T[]> {
  const all: T[] = [];
  for (let at = 1; at <= PAGES; at++) {
    const some = await page(at);
    if (some.length === 0) break;
    all.push(...some);
  }
  return all;
}

export function understood<T>(what: string, schema: z.ZodType<T>, answer: unknown): T {
  const read = schema.safeParse(answer);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw failed(
    `the forge's ${what} is not understood: ${issue.path.join('.')} ${issue.message}`,
    'Check forge.kind and forge.api',
    false,
  );
}

/** What a forge says at a path; null where this token may not see it, or there is nothing. */
export async function settingsAt(api: ForgeApi, path: string): Promise<Json> {
  try {
    return withoutAddresses((await ask(api, 'GET', path)) as Json);
  } catch (thrown) {
    if (thrown instanceof CountersignError && / answered HTTP (?:401|403|404)$/.test(thrown.message)) return null;
    throw thrown;
  }
}

/** Addresses of the API say nothing about what is allowed, and pictures change. */
function withoutAddresses(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutAddresses);
  if (!isJsonObject(value)) return value;
  const kept = Object.entries(value).filter(([key]) => !/(^|_)(url|href|links|avatar)$/.test(key) && key !== '_links');
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutAddresses(inner)]));
}
