import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import { parseStrictJson } from '../cluster/canonical.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { type AdmissionSettings, type ApprovedView, judgeWrite, type WriteRequest } from '../reconcile/admission.js';
import type { LiveObject } from '../reconcile/cluster.js';
import { AUDIT_BODY, type AuditWebhookOptions, isAuditCaller, receiveAudit } from './audit-webhook.js';

export interface AdmissionOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** PEM: only callers with a certificate of this authority are answered. */
  readonly clientAuthority?: string;
  readonly settings: AdmissionSettings;
  /** Undefined for a target that there is none of. */
  readonly view: (target: string) => ApprovedView | undefined;
  /** Must be durable before it resolves: until then the write waits, and if it fails, the write is refused. */
  readonly recordBypass: (target: string, request: WriteRequest, reason: string) => Promise<void>;
  /** A write that may pass, as far as we are asked. */
  readonly admitted: (target: string, request: WriteRequest) => void;
  /** API servers send their audit events here, too. */
  readonly audit: AuditWebhookOptions;
  readonly onFault: (fault: CountersignError) => void;
}

export interface AdmissionServer {
  /** The port that was really taken. */
  readonly port: number;
  close(): Promise<void>;
}

/** The API server sends objects of up to 3 MiB, old and new. */
const MAX_BODY = 16 * 1024 * 1024;
const PATIENCE = 10_000;

const gvk = z.object({ group: z.string(), version: z.string(), kind: z.string() });
const object = z.looseObject({ metadata: z.looseObject({}) });
const reviewSchema = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string(),
    kind: gvk,
    resource: z.object({ group: z.string(), resource: z.string() }),
    subResource: z.string().default(''),
    name: z.string().default(''),
    namespace: z.string().default(''),
    operation: z.enum(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']),
    userInfo: z.object({ username: z.string().default(''), groups: z.array(z.string()).default([]) }),
    object: object.nullish(),
    oldObject: object.nullish(),
    dryRun: z.boolean().nullish(),
  }),
});

/**
 * The validating webhook: POST /admission/TARGET with an AdmissionReview. Whatever cannot be judged is answered with an error,
 * so that the API server does as its `failurePolicy` says. Throws `config-invalid` for a certificate that cannot be used.
 */
export async function startAdmission(options: AdmissionOptions): Promise<AdmissionServer> {
  const { certificate: cert, key, clientAuthority } = options;
  let server: Server;
  try {
    const trust =
      clientAuthority === undefined ? {} : { ca: clientAuthority, requestCert: true, rejectUnauthorized: true };
    server = createServer({
      cert,
      key,
      minVersion: 'TLSv1.2',
      requestTimeout: PATIENCE,
      headersTimeout: PATIENCE,
      ...trust,
    });
  } catch (cause) {
    throw new CountersignError('config-invalid', 'the certificate or key of admission cannot be used', {
      remedy: 'Give PEM files that belong together',
      cause,
    });
  }
  server.on('request', (request, response) => void serve(request, response, options));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.listen.port, options.listen.host, resolve);
  });
  server.on('error', (error) => options.onFault(toCountersignError(error)));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

async function serve(request: IncomingMessage, response: ServerResponse, options: AdmissionOptions): Promise<void> {
  const answer = (status: number, body: object) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  try {
    const audited = /^\/audit\/([a-z0-9._-]+)(?:\?.*)?$/.exec(request.url ?? '')?.[1];
    if (audited !== undefined) return await serveAudit(audited, request, answer, options);
    const target = /^\/admission\/([a-z0-9._-]+)(?:\?.*)?$/.exec(request.url ?? '')?.[1];
    const view = target === undefined ? undefined : options.view(target);
    if (target === undefined || !view) return answer(404, { message: 'there is no such target' });
    if (request.method !== 'POST') return answer(405, { message: 'send an AdmissionReview by POST' });
    const review = reviewSchema.safeParse(parseStrictJson(await bodyOf(request), { file: 'AdmissionReview' }));
    if (!review.success) return answer(400, { message: 'this is no AdmissionReview of admission.k8s.io/v1' });
    if (!(await view.complete())) return answer(503, { message: 'Countersign does not know yet what is approved' });
    const write = writeOf(review.data.request);
    answer(200, {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: write.uid, ...(await verdict(write, target, view, options)) },
    });
  } catch (thrown) {
    const fault = toCountersignError(thrown);
    options.onFault(fault);
    answer(500, { message: 'the write could not be judged' }); // why is nobody's business but ours
  }
}

async function serveAudit(
  target: string,
  request: IncomingMessage,
  answer: (status: number, body: object) => void,
  { audit }: AdmissionOptions,
): Promise<void> {
  if (request.method !== 'POST' || !isAuditCaller(target, request.headers.authorization, audit)) {
    return answer(401, { message: 'this takes the token of the target’s audit webhook' });
  }
  const { status, message } = receiveAudit(target, await bodyOf(request, AUDIT_BODY), audit);
  answer(status, { message });
}

async function verdict(
  write: WriteRequest,
  target: string,
  view: ApprovedView,
  options: AdmissionOptions,
): Promise<object> {
  const judged = judgeWrite(write, view, options.settings);
  if (!judged.allowed) return { allowed: false, status: { code: 403, reason: 'Forbidden', message: judged.message } };
  options.admitted(target, write);
  if (!('bypass' in judged)) return { allowed: true };
  if (!write.dryRun) await options.recordBypass(target, write, judged.bypass.reason);
  return { allowed: true, warnings: ['this write is not approved; it passes by and is recorded'] };
}

function writeOf(request: z.infer<typeof reviewSchema>['request']): WriteRequest {
  const { uid, kind, resource, subResource, name, namespace, operation, userInfo } = request;
  const [newer, older] = [request.object, request.oldObject].map(
    (one) => (one ?? null) as unknown as LiveObject | null,
  );
  // A scale is asked for by the name of its resource; everything else has its own kind.
  const scale = subResource !== '';
  const identity = scale
    ? { group: resource.group, version: '', kind: resource.resource, namespace, name }
    : { ...kind, namespace, name: name || (newer?.metadata.name ?? '') };
  // The API server says of a Namespace that it lies in itself.
  const own = kind.kind === 'Namespace' && kind.group === '' ? { ...identity, namespace: '' } : identity;
  return {
    uid,
    operation,
    identity: own,
    subResource,
    user: userInfo.username,
    groups: userInfo.groups,
    dryRun: request.dryRun === true,
    object: newer,
    oldObject: older,
  };
}

async function bodyOf(request: IncomingMessage, limit = MAX_BODY): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > limit)
      throw new CountersignError('manifest-too-large', 'an AdmissionReview is larger than any object can be');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
