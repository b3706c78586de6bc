import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { openKeys } from '../../src/adapters/keys/file.js';
import { RegoCompiler } from '../../src/adapters/opa/compiler.js';
import { RegoEvaluator } from '../../src/adapters/opa/evaluator.js';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import type { PostgresLedger } from '../../src/adapters/postgres/ledger.js';
import { openLedger } from '../../src/adapters/postgres/ledger.js';
import type { EntryDraft } from '../../src/audit/entry.js';
import type { KeyRing } from '../../src/audit/keys.js';
import { canonicalJson, digestOf } from '../../src/cluster/canonical.js';
import { identityKey, identityOf } from '../../src/cluster/object.js';
import type { Json, KubernetesObject } from '../../src/cluster/object.js';
import type { PolicyBundle } from '../../src/policy/bundle.js';
import type { RuleResult } from '../../src/policy/evaluator.js';
import { decisionEntry } from '../../src/review/entries.js';
import type { TestPostgres } from './postgres.js';

export interface TestLog {
  readonly data: string;
  readonly url: string;
  readonly dataSource: DataSource;
  readonly keys: KeyRing;
  readonly ledger: PostgresLedger;
  close(): Promise<void>;
}

export async function openTestLog(server: TestPostgres): Promise<TestLog> {
  const data = mkdtempSync(join(tmpdir(), 'countersign-log-'));
  const url = await server.database();
  const dataSource = await openDatabase({ url });
  const keys = await openKeys({ data, origin: 'log.example.org/test' });
  const ledger = await openLedger({ dataSource, keys, dataDir: data });
  const close = async (): Promise<void> => {
    await ledger.close();
    await dataSource.destroy();
    rmSync(data, { recursive: true });
  };
  return { data, url, dataSource, keys, ledger, close };
}

export const pushDraft = (n: number): EntryDraft => ({
  type: 'push',
  subjects: [{ name: 'git:shop', digest: { gitCommit: commitOf(n) } }],
  predicate: { id: `push-${n}`, repository: 'shop', n },
});

const commitOf = (n: number): string => createHash('sha1').update(String(n)).digest('hex');

const rego = `package countersign.scale

import rego.v1

# METADATA
# title: No more than five replicas
# custom:
#   id: scale.replicas
deny contains msg if {
	some change in input.changes
	change.after.spec.replicas > 5
	msg := sprintf("%d replicas", [change.after.spec.replicas])
}
`;

/** Makes decisions as the service does: real Rego, compiled and evaluated. */
export class TestJudge {
  private constructor(
    readonly evaluator: RegoEvaluator,
    readonly bundle: PolicyBundle,
  ) {}

  static async open(): Promise<TestJudge> {
    const compiler = new RegoCompiler();
    try {
      const bundle = await compiler.compile({ files: new Map([['policies/scale.rego', rego]]), data: {} });
      return new TestJudge(new RegoEvaluator({ threads: 1 }), bundle);
    } finally {
      await compiler.close();
    }
  }

  async decision(id: string, replicas: number): Promise<EntryDraft> {
    const object = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'cart', namespace: 'shop' },
      spec: { replicas },
    } satisfies KubernetesObject;
    const time = new Date().toISOString();
    const input = canonicalJson({
      apiVersion: 'countersign.dev/v1',
      kind: 'ProposedChange',
      time,
      commits: [],
      changes: [
        { op: 'create', object: { apiVersion: 'apps/v1', kind: 'Deployment' }, before: null, after: object, id },
      ],
    });
    const results: readonly RuleResult[] = await this.evaluator.evaluate(this.bundle, input);
    return decisionEntry({
      id,
      repository: 'shop',
      environment: 'shop/production',
      target: 'prod',
      operation: 'push',
      ref: 'refs/heads/main',
      push: `push-${id}`,
      base: null,
      head: commitOf(replicas),
      tree: commitOf(replicas + 1),
      renderedDigest: digestOf([[identityKey(identityOf(object)), digestOf(object)]]),
      approvals: [],
      reviewDue: null,
      time,
      decision: {
        outcome: results.length === 0 ? 'allow' : 'deny',
        violations: [],
        warnings: [],
        required: [],
        excepted: [],
        exceptions: [],
        rulesRun: 1,
        rulesPassed: results.length === 0 ? 1 : 0,
        bundleDigest: this.bundle.digest,
        wasmDigest: this.bundle.wasmDigest,
        inputDigest: createHash('sha256').update(input).digest('hex'),
        resultDigest: digestOf(results as unknown as Json),
      },
      bundle: this.bundle,
      input,
      results,
      rendered: [object],
    });
  }

  close(): Promise<void> {
    return this.evaluator.close();
  }
}

/** A run of the decision at `index`. */
export function runDrafts(id: string, index: number, decision: EntryDraft): [EntryDraft, EntryDraft] {
  const { repository, environment, head, id: decisionId } = decision.predicate;
  const started = { phase: 'started', id, repository, environment, head, decision: index, decisionId };
  return [
    { type: 'run', subjects: [], predicate: started },
    { type: 'run', subjects: [], predicate: { phase: 'finished', id, repository, environment, outcome: 'succeeded' } },
  ];
}
