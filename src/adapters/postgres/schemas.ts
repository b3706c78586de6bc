import { EntitySchema, type EntitySchemaColumnOptions } from 'typeorm';
import type { Tables } from '../../review/records.js';

type Columns<T> = { readonly [C in keyof T]: EntitySchemaColumnOptions };

const key: EntitySchemaColumnOptions = { type: 'text', primary: true };
const text: EntitySchemaColumnOptions = { type: 'text' };
const maybeText: EntitySchemaColumnOptions = { type: 'text', nullable: true };
const json: EntitySchemaColumnOptions = { type: 'jsonb' };
const maybeJson: EntitySchemaColumnOptions = { type: 'jsonb', nullable: true };
const integer: EntitySchemaColumnOptions = { type: 'integer' };
const flag: EntitySchemaColumnOptions = { type: 'boolean' };
// bigint comes back as text from the driver; log indexes are safe integers.
const bigint = { to: (v: number | null) => v, from: (v: string | null) => (v === null ? null : Number(v)) };
const index: EntitySchemaColumnOptions = { type: 'bigint', transformer: bigint };
const maybeIndex: EntitySchemaColumnOptions = { type: 'bigint', nullable: true, transformer: bigint };
const time = (name: string, nullable = false): EntitySchemaColumnOptions => ({
  name,
  type: 'timestamptz',
  precision: 3,
  nullable,
  transformer: {
    to: (v: string | null) => v,
    from: (v: Date | null) => (v === null ? null : v.toISOString()),
  },
});
const named = (name: string, options: EntitySchemaColumnOptions): EntitySchemaColumnOptions => ({ ...options, name });

const identity = { group: named('api_group', key), version: text, kind: key, namespace: key, name: key } as const;
const identityPlain = {
  group: named('api_group', text),
  version: text,
  kind: text,
  namespace: text,
  name: text,
} as const;

function schema<K extends keyof Tables>(
  name: K,
  tableName: string,
  columns: Columns<Tables[K]>,
): EntitySchema<Tables[K]> {
  return new EntitySchema<Tables[K]>({ name, tableName, columns: columns as never });
}

/** Domain records to tables, one EntitySchema each. The tables themselves are made by migrations/. */
export const schemas = {
  repository: schema('repository', 'repository', {
    name: key,
    url: text,
    state: text,
    trouble: maybeJson,
    governanceRef: named('governance_ref', text),
    governanceCommit: named('governance_commit', maybeText),
    bundleDigest: named('bundle_digest', maybeText),
    updatedAt: time('updated_at'),
  }),
  tip: schema('tip', 'tip', { repository: key, ref: key, commit: named('commit_id', text), push: text }),
  push: schema('push', 'push', {
    id: key,
    repository: text,
    ref: text,
    kind: text,
    old: maybeText,
    new: maybeText,
    time: time('time'),
    index: named('log_index', maybeIndex),
  }),
  commit: schema('commit', 'commit', {
    repository: key,
    id: key,
    tree: text,
    parents: json,
    author: json,
    committer: json,
    message: text,
    signature: json,
    files: json,
    firstSeen: time('first_seen'),
  }),
  environment: schema('environment', 'environment', {
    repository: key,
    name: key,
    path: text,
    ref: text,
    target: maybeText,
    namespace: maybeText,
    labels: json,
    ignore: json,
    head: maybeText,
    headDecision: named('head_decision', maybeText),
    headOutcome: named('head_outcome', maybeText),
    approved: maybeText,
    approvedDecision: named('approved_decision', maybeText),
    noLongerCompliant: named('no_longer_compliant', flag),
    status: text,
    trouble: maybeJson,
    updatedAt: time('updated_at'),
  }),
  change: schema('change', 'change', {
    id: key,
    repository: text,
    environment: text,
    operation: text,
    ref: text,
    push: text,
    base: maybeText,
    head: text,
    tree: text,
    commits: json,
    objectChanges: named('object_changes', integer),
    renderedDigest: named('rendered_digest', text),
    otherDocuments: named('other_documents', integer),
    notRendered: named('not_rendered', json),
    time: time('time'),
  }),
  objectChange: schema('objectChange', 'object_change', {
    change: key,
    position: { type: 'integer', primary: true },
    op: text,
    ...identityPlain,
    before: maybeJson,
    after: maybeJson,
    patch: json,
    path: text,
    line: integer,
  }),
  decision: schema('decision', 'decision', {
    id: key,
    change: text,
    repository: text,
    environment: text,
    outcome: text,
    violations: json,
    warnings: json,
    required: json,
    rulesRun: named('rules_run', integer),
    rulesPassed: named('rules_passed', integer),
    error: maybeJson,
    bundleDigest: named('bundle_digest', text),
    wasmDigest: named('wasm_digest', text),
    inputDigest: named('input_digest', text),
    resultDigest: named('result_digest', text),
    time: time('time'),
    milliseconds: integer,
    index: named('log_index', maybeIndex),
  }),
  run: schema('run', 'run', {
    id: key,
    repository: text,
    environment: text,
    decision: text,
    reason: text,
    startedAt: time('started_at'),
    startedIndex: named('started_index', maybeIndex),
    finishedAt: time('finished_at', true),
    finishedIndex: named('finished_index', maybeIndex),
    outcome: text,
    planned: json,
    results: maybeJson,
    trouble: maybeJson,
  }),
  drift: schema('drift', 'drift', {
    id: key,
    repository: text,
    environment: text,
    ...identityPlain,
    type: text,
    fields: json,
    attribution: maybeJson,
    detectedAt: time('detected_at'),
    index: named('log_index', maybeIndex),
    correctedAt: time('corrected_at', true),
    run: maybeText,
  }),
  liveObject: schema('liveObject', 'live_object', {
    repository: key,
    environment: key,
    ...identity,
    target: text,
    uid: text,
    resourceVersion: named('resource_version', text),
    commit: named('commit_id', text),
    decision: index,
    path: text,
    line: integer,
    digest: text,
    health: text,
    healthReason: named('health_reason', text),
    updatedAt: time('updated_at'),
  }),
  fault: schema('fault', 'fault', {
    id: key,
    repository: maybeText,
    environment: maybeText,
    trouble: json,
    time: time('time'),
    index: named('log_index', maybeIndex),
  }),
} satisfies { [K in keyof Tables]: EntitySchema<Tables[K]> };
