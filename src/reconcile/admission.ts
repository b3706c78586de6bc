import { canonicalJson } from '../cluster/canonical.js';
import {
  describeIdentity,
  isJsonObject,
  type Json,
  type KubernetesObject,
  type ObjectIdentity,
} from '../cluster/object.js';
import type { LiveObject } from './cluster.js';
import { compare } from './drift.js';
import { formatPath } from './managed-fields.js';

/** What somebody is about to write to a target, as its API server asks (`admission.k8s.io/v1`). */
export interface WriteRequest {
  readonly uid: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly identity: ObjectIdentity;
  /** '' for the object itself. */
  readonly subResource: string;
  readonly user: string;
  readonly groups: readonly string[];
  readonly dryRun: boolean;
  readonly object: LiveObject | null;
  readonly oldObject: LiveObject | null;
}

/** What a governed object is approved to be; null: to be gone. */
export type ApprovedState = { readonly sent: KubernetesObject; readonly expected: LiveObject | undefined } | null;

/** What is approved in one target, as far as this process knows. */
export interface ApprovedView {
  /** False while some environment's approved change is not known yet, as just after a start. */
  complete(): Promise<boolean>;
  /** Undefined for what is not governed. */
  approvedState(identity: ObjectIdentity): ApprovedState | undefined;
  /** The governed object whose `scale` a request names. */
  scaled(identity: ObjectIdentity): ObjectIdentity | undefined;
}

export interface AdmissionSettings {
  /** User names under which Countersign itself writes. A field manager's name proves nothing: anybody may use it. */
  readonly identity: readonly string[];
  /** Countersign's own namespace: always exempt, so that it cannot lock itself out. */
  readonly namespace: string;
  /** Users, or beginnings of their names with `*`, of the cluster's own controllers. */
  readonly controllers: readonly string[];
  /** Users who may pass, where the object says why under BYPASS. */
  readonly bypass: readonly string[];
}

export type Verdict =
  | { readonly allowed: true }
  /** To be recorded before it is answered. */
  | { readonly allowed: true; readonly bypass: { readonly reason: string } }
  | { readonly allowed: false; readonly message: string };

/** The annotation that says why a write passes by. */
export const BYPASS = 'countersign.dev/bypass';

const ALLOWED: Verdict = { allowed: true };

/**
 * Whether a write to a target may pass: whatever is not governed may, and of what is governed, writes that leave it as approved.
 * A write is refused for what it would newly make differ from the approved object, compared as drift is: defaults, other people's
 * fields and status are nobody's business here.
 */
export function judgeWrite(request: WriteRequest, view: ApprovedView, settings: AdmissionSettings): Verdict {
  const { identity, user, operation, subResource } = request;
  if (operation === 'CONNECT' || isExempt(identity, settings.namespace)) return ALLOWED;
  if (settings.identity.includes(user) || isController(user, settings.controllers)) return ALLOWED;
  if (subResource !== '' && subResource !== 'scale') return ALLOWED;
  const target = subResource === 'scale' ? view.scaled(identity) : identity;
  const approved = target && view.approvedState(target);
  if (!target || approved === undefined) return ALLOWED;
  const refusal = refusalOf(request, approved);
  if (refusal === undefined) return ALLOWED;
  const reason = bypassReason(request);
  if (reason !== undefined && settings.bypass.includes(user)) return { allowed: true, bypass: { reason } };
  return { allowed: false, message: `${describeIdentity(target)} ${refusal}. Change it in Git` };
}

function isExempt({ group, kind, namespace, name }: ObjectIdentity, own: string): boolean {
  return namespace === own || (group === '' && kind === 'Namespace' && name === own);
}

function isController(user: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => (pattern.endsWith('*') ? user.startsWith(pattern.slice(0, -1)) : user === pattern));
}

function refusalOf(request: WriteRequest, approved: ApprovedState): string | undefined {
  const { operation, object, oldObject, subResource } = request;
  // On its way out already: what is left are finalizers.
  if (oldObject?.metadata['deletionTimestamp'] !== undefined) return undefined;
  if (operation === 'DELETE') return approved === null ? undefined : 'is approved to be there';
  if (approved === null) return 'is approved to be gone';
  if (!object) return 'would be written without saying how';
  if (subResource === 'scale') {
    const wanted = (approved.sent['spec'] as { replicas?: Json } | undefined)?.replicas;
    const asked = (object['spec'] as { replicas?: Json } | undefined)?.replicas ?? 0;
    return wanted === undefined || wanted === asked ? undefined : `is approved with ${JSON.stringify(wanted)} replicas`;
  }
  const differences = (one: LiveObject) =>
    new Map(
      compare(approved.sent, one, approved.expected).differences.map(({ path, live, type }) => [
        canonicalJson([type, formatPath(path), live ?? null]),
        formatPath(path),
      ]),
    );
  const before = oldObject ? differences(oldObject) : new Map<string, string>();
  const made = [...differences(object)].filter(([key]) => !before.has(key)).map(([, path]) => path);
  if (made.length === 0) return undefined;
  const more = made.length > 3 ? ` and ${made.length - 3} more` : '';
  return `would not be as approved at ${made.slice(0, 3).join(', ')}${more}`;
}

function bypassReason({ object, oldObject, operation }: WriteRequest): string | undefined {
  const annotations = (operation === 'DELETE' ? oldObject : object)?.metadata['annotations'];
  const reason = isJsonObject(annotations) ? annotations[BYPASS] : undefined;
  return typeof reason === 'string' && reason.trim() !== '' ? reason : undefined;
}
