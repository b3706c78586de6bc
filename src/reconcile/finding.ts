import { isJsonObject, type Json, type KubernetesObject } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import { recordId } from '../review/record-id.js';
import { attribute } from './attribution.js';
import type { LiveObject } from './cluster.js';
import { asServed, type FieldDifference } from './drift.js';
import type { ApprovedChange } from './gate.js';
import { formatPath, valueAt, type Step } from './managed-fields.js';
import type { DesiredObject } from './plan.js';
import type { Drift, DriftedField } from './run-log.js';

/** One governed object that is not as our last run left it. */
export interface Finding {
  readonly key: string;
  readonly type: Drift['type'];
  /** As it should have been. */
  readonly basis: DesiredObject;
  readonly live: LiveObject | null;
  readonly differences: readonly FieldDifference[];
}

/** The finding in the form that is recorded: redacted, and with who did it. */
export function driftOf(
  finding: Finding,
  approved: ApprovedChange,
  target: string,
  redactor: Redactor,
  now: Date,
): Drift {
  const { basis, live, differences, type } = finding;
  return {
    id: recordId(),
    repository: approved.repository,
    environment: approved.environment.name,
    target,
    decision: approved.decision,
    identity: basis.identity,
    type,
    fields: redactedFields(basis.sent, live, differences, redactor),
    attribution: attribute(live, differences),
    uid: live?.metadata.uid ?? null,
    resourceVersion: live?.metadata.resourceVersion ?? null,
    time: now.toISOString(),
  };
}

function redactedFields(
  sent: KubernetesObject,
  live: LiveObject | null,
  differences: readonly FieldDifference[],
  redactor: Redactor,
): DriftedField[] {
  // Both sides are redacted as whole objects first: which paths are secret is the redactor's to say.
  const desired = redactor.redact(asServed(sent));
  const seen = live === null ? undefined : redactor.redact(live);
  return differences.map(({ type, path, desired: wanted }) => {
    const before = type === 'added' ? undefined : (redactedAt(desired, path) ?? wanted);
    const after = redactedAt(seen, path);
    return {
      type,
      path: formatPath(path),
      ...(before === undefined ? {} : { desired: before }),
      ...(after === undefined ? {} : { live: after }),
    };
  });
}

/** The value at a path, or the digest that stands for something it is in. */
function redactedAt(object: KubernetesObject | undefined, path: readonly Step[]): Json | undefined {
  for (let length = 1; length < path.length; length++) {
    const around = valueAt(object, path.slice(0, length));
    if (around !== undefined && !isJsonObject(around) && !Array.isArray(around)) return around;
  }
  return valueAt(object, path);
}
