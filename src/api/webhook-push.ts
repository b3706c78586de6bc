import { isAccountName, type PusherClaim } from '../review/pusher.js';
import { OBJECT_ID, idOrNull } from '../source/object-id.js';
import type { Delivery, ForgeKind } from './webhook-delivery.js';

/** Names of the event, and where in its body the account stands that pushed: the name that people log in with, never one of display. */
const PUSHES: Readonly<
  Record<ForgeKind, { readonly events: readonly string[]; readonly account: readonly string[][] }>
> = {
  github: { events: ['push'], account: [['pusher', 'name']] },
  gitlab: { events: ['Push Hook', 'Tag Push Hook'], account: [['user_username']] },
  gitea: { events: ['push'], account: [['pusher', 'login'], ['pusher', 'username']] }, // prettier-ignore
};

/**
 * Whose push a genuine webhook is about, and from where to where it moved which ref; null where it does not say all of it. It is the
 * forge's word: nothing else vouches for it.
 */
export function pusherOf({ forge, event }: Delivery, body: Buffer): PusherClaim | null {
  const { events, account } = PUSHES[forge];
  if (!events.includes(event)) return null;
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return null; // a form, or no JSON: a hint all the same
  }
  const [ref, before, after] = ['ref', 'before', 'after'].map((name) => at(value, [name]));
  const name = account.map((path) => at(value, path)).find(isAccountName);
  if (typeof ref !== 'string' || !ref.startsWith('refs/') || !isId(before) || !isId(after) || name === undefined)
    return null;
  return { ref, old: idOrNull(before), new: idOrNull(after), by: { forge, name } };
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, name) =>
      typeof inner === 'object' && inner !== null && Object.hasOwn(inner, name)
        ? (inner as Record<string, unknown>)[name]
        : undefined,
    value,
  );
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && OBJECT_ID.test(value);
}
