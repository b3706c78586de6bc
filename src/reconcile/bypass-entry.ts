import { randomUUID } from 'node:crypto';
import type { EntryDraft } from '../audit/entry.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { WriteRequest } from './admission.js';

/** `action/v1` of a write that was let pass by without approval: what it was about in the leaf, who and why beside it. */
export function bypassEntry({
  target,
  request,
  reason,
  time,
}: {
  readonly target: string;
  readonly request: WriteRequest;
  readonly reason: string;
  readonly time: string;
}): EntryDraft {
  const { identity, operation, user, subResource } = request;
  const { group, kind, namespace, name } = identity;
  const text = canonicalJson({ user, reason });
  return {
    type: 'action',
    subjects: [],
    predicate: {
      id: randomUUID(),
      action: 'bypass',
      target,
      operation,
      object: { group, kind, namespace, name },
      ...(subResource ? { subResource } : {}),
      time,
    },
    contents: { said: { mediaType: 'application/json', bytes: Buffer.from(text), salted: true } },
  };
}
