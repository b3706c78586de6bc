import { z } from 'zod';
import type { ApiWrite } from '../../reconcile/audit-trail.js';

/** What is read of `audit.k8s.io/v1` Event; everything else is left where it is. */
const user = z.object({ username: z.string().default(''), groups: z.array(z.string()).default([]) });
const answered = z.object({ metadata: z.object({ name: z.string().optional(), uid: z.string().optional(), resourceVersion: z.string().optional() }).optional() }); // prettier-ignore
const event = z.object({
  auditID: z.string().min(1),
  stage: z.string(),
  requestURI: z.string(),
  verb: z.string(),
  user,
  impersonatedUser: user.nullish(),
  sourceIPs: z.array(z.string()).nullish(),
  userAgent: z.string().nullish(),
  objectRef: z
    .object({
      resource: z.string().default(''),
      namespace: z.string().default(''),
      name: z.string().default(''),
      uid: z.string().nullish(),
      apiGroup: z.string().default(''),
      subresource: z.string().default(''),
    })
    .nullish(),
  responseStatus: z.object({ code: z.number().optional() }).nullish(),
  responseObject: answered.nullish().catch(null),
  requestReceivedTimestamp: z.iso.datetime({ offset: true }),
});
const list = z.object({ apiVersion: z.literal('audit.k8s.io/v1'), kind: z.literal('EventList'), items: z.array(z.unknown()) }); // prettier-ignore

const writing = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

export interface ReadEvents {
  readonly writes: readonly ApiWrite[];
  /** Events that could not be read. */
  readonly unreadable: number;
}

/** Writes that succeeded, of an EventList as an API server posts it. null: it is none. */
export function readEventList(value: unknown): ReadEvents | null {
  const parsed = list.safeParse(value);
  if (!parsed.success) return null;
  const read = parsed.data.items.map(readEvent);
  return { writes: read.filter((one) => one !== null && one !== 'unreadable'), unreadable: read.filter((one) => one === 'unreadable').length }; // prettier-ignore
}

/** One event; null: not a write that changed something. */
export function readEvent(value: unknown): ApiWrite | null | 'unreadable' {
  const parsed = event.safeParse(value);
  if (!parsed.success) return 'unreadable';
  const { auditID, stage, verb, requestURI, objectRef, responseStatus, responseObject, sourceIPs, userAgent } = parsed.data; // prettier-ignore
  const code = responseStatus?.code ?? 0;
  if (stage !== 'ResponseComplete' || !writing.has(verb) || !objectRef || code < 200 || code >= 300) return null;
  if (URL.parse(requestURI, 'http://api')?.searchParams.get('dryRun')) return null;
  const { user: caller, impersonatedUser, requestReceivedTimestamp } = parsed.data;
  const { metadata } = responseObject ?? {};
  return {
    source: 'audit',
    id: auditID,
    verb,
    group: objectRef.apiGroup,
    resource: objectRef.resource,
    kind: null,
    subresource: objectRef.subresource,
    // A Namespace's own events say that it lies in itself.
    namespace: objectRef.apiGroup === '' && objectRef.resource === 'namespaces' ? '' : objectRef.namespace,
    name: objectRef.name || (verb === 'create' ? nameOf(responseObject) : ''),
    user: {
      name: impersonatedUser?.username || caller.username,
      groups: (impersonatedUser ?? caller).groups,
      impersonatedBy: impersonatedUser ? caller.username : null,
      addresses: sourceIPs ?? [],
      agent: userAgent ?? null,
    },
    uid: metadata?.uid ?? objectRef.uid ?? null,
    resourceVersion: metadata?.resourceVersion ?? null,
    time: Date.parse(requestReceivedTimestamp),
  };
}

function nameOf(object: unknown): string {
  const name = (object as { metadata?: { name?: unknown } } | null | undefined)?.metadata?.name;
  return typeof name === 'string' ? name : '';
}
