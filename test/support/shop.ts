import type {
  AdviceRecord,
  ChangeRecord,
  CommitRecord,
  DecisionRecord,
  EnvironmentRecord,
  ObjectChangeRecord,
} from '../../src/review/records.js';
import type { Violation } from '../../src/policy/decision.js';
import type { TestApi } from './api.js';

const hex = (n: number): string => n.toString(16).padStart(40, '0');
const at = (minute: number): string => new Date(Date.UTC(2026, 6, 1, 0, minute)).toISOString();
const digest = 'd'.repeat(64);

/** One decision every minute from 2026-07-01, each on its own commit and change; every third one denied. */
export async function seedShop(api: TestApi, decisions: number): Promise<void> {
  const time = at(0);
  const { records, ledger } = api;
  await ledger.record(async (transaction) => {
    await records.save(transaction, 'repository', [
      {
        name: 'shop',
        url: 'file:///srv/git/shop.git',
        state: 'ok',
        trouble: null,
        governanceRef: 'refs/heads/main',
        governanceCommit: hex(0),
        organisationCommit: null,
        bundleDigest: digest,
        updatedAt: time,
      },
    ]);
    await records.save(transaction, 'push', [
      {
        id: 'push-1',
        repository: 'shop',
        ref: 'refs/heads/main',
        kind: 'created',
        old: null,
        new: hex(1),
        pusher: null,
        time,
        index: 0,
      },
    ]);
    await records.save(transaction, 'tip', [
      { repository: 'shop', ref: 'refs/heads/main', commit: hex(decisions), push: 'push-1' },
    ]);
    transaction.append({ type: 'push', subjects: [], predicate: { id: 'push-1' } });
  });
  for (let from = 1; from <= decisions; from += 50) {
    const numbers = Array.from({ length: Math.min(50, decisions - from + 1) }, (_, i) => from + i);
    const { entries } = await ledger.record(async (transaction) => {
      await records.save(transaction, 'commit', numbers.map(commit));
      await records.save(transaction, 'change', numbers.map(change));
      await records.save(transaction, 'objectChange', numbers.map(objectChange));
      await records.save(transaction, 'decision', numbers.map(decision));
      for (const n of numbers)
        transaction.append({ type: 'decision', subjects: [], predicate: { id: `decision-${n}` } });
    });
    for (const [i, n] of numbers.entries()) {
      await records.update('decision', { id: `decision-${n}` }, { index: entries[i].index });
    }
  }
  const [approved] = await records.find('decision', { id: 'decision-1' });
  await ledger.record(async (transaction) => {
    await records.save(transaction, 'environment', [environment(decisions)]);
    await records.save(transaction, 'liveObject', [
      {
        ...identity(1),
        repository: 'shop',
        target: 'prod',
        environment: 'shop/production',
        uid: 'uid-1',
        resourceVersion: '1',
        commit: hex(1),
        decision: approved.index as number,
        path: 'production/cart.yaml',
        line: 1,
        digest,
        removal: { prune: 'yes', last: false, wave: 0 },
        hook: null,
        health: 'healthy',
        healthReason: '',
        updatedAt: time,
      },
    ]);
    await records.save(transaction, 'run', [
      {
        id: 'run-1',
        repository: 'shop',
        environment: 'shop/production',
        decision: 'decision-1',
        reason: 'repair',
        startedAt: at(1),
        startedIndex: 1,
        finishedAt: at(2),
        finishedIndex: 2,
        outcome: 'succeeded',
        planned: [],
        results: [],
        trouble: null,
      },
    ]);
    await records.save(transaction, 'drift', [drift('drift-1', null, null), drift('drift-2', at(2), 'run-1')]);
    await records.save(transaction, 'advice', [advice(7, null), advice(8, at(3))]);
    await records.save(transaction, 'fault', [
      {
        id: 'fault-1',
        repository: 'shop',
        environment: null,
        trouble: {
          code: 'repository-missing',
          message: 'it is away',
          place: { file: '/srv/git/shop.git' },
          remedy: 'Bring it back',
        },
        time,
        index: null,
      },
    ]);
  });
}

const identity = (n: number) => ({
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  namespace: 'shop',
  name: `cart-${n}`,
});

export const commit = (n: number): CommitRecord => ({
  repository: 'shop',
  id: hex(n),
  tree: hex(1_000 + n),
  parents: n > 1 ? [hex(n - 1)] : [],
  author: { name: 'Ann', email: 'ann@example.org', time: '2026-07-01T02:00:00+02:00' },
  committer: { name: 'Ann', email: 'ann@example.org', time: '2026-07-01T02:00:00+02:00' },
  message: `tune cart ${n}\n\nTicket: SHOP-${n}\n`,
  signature:
    n % 2
      ? { kind: 'ssh', status: 'verified', principal: 'ann@example.org', key: 'SHA256:abc' }
      : { kind: 'none', status: 'none' },
  files: [{ path: 'production/cart.yaml', op: 'modify', mode: '100644' }],
  firstSeen: at(n),
});

export const change = (n: number): ChangeRecord => ({
  id: `change-${n}`,
  repository: 'shop',
  environment: 'shop/production',
  operation: 'push',
  ref: 'refs/heads/main',
  push: 'push-1',
  base: n > 1 ? hex(n - 1) : null,
  head: hex(n),
  tree: hex(1_000 + n),
  commits: [hex(n)],
  objectChanges: 1,
  renderedDigest: digest,
  target: 'prod',
  otherDocuments: 0,
  notRendered: [],
  time: at(n),
});

const objectChange = (n: number): ObjectChangeRecord => ({
  change: `change-${n}`,
  position: 0,
  op: 'update',
  ...identity(n % 10),
  before: null,
  after: { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: `cart-${n % 10}` } },
  patch: [{ op: 'replace', path: '/spec/replicas', value: n }],
  path: 'production/cart.yaml',
  line: 12,
});

const violation: Violation = {
  rule: 'images.pinned',
  kind: 'deny',
  message: 'image "cart:latest" is not pinned by digest',
  severity: 'high',
  controls: ['SOC2:CC8.1'],
  place: { file: 'policies/supply-chain/images.rego', line: 14 },
  object: identity(1),
  source: { path: 'production/cart.yaml', line: 12 },
  fix: 'use cart@sha256:…',
};

export const decision = (n: number): DecisionRecord => ({
  id: `decision-${n}`,
  change: `change-${n}`,
  repository: 'shop',
  environment: 'shop/production',
  outcome: n % 3 ? 'allow' : 'deny',
  violations: n % 3 ? [] : [violation],
  warnings: [],
  required: [],
  excepted: [],
  exceptions: [],
  impact: null,
  rulesRun: 8,
  rulesPassed: n % 3 ? 8 : 7,
  error: null,
  bundleDigest: digest,
  wasmDigest: digest,
  inputDigest: digest,
  resultDigest: digest,
  approvals: [],
  uncounted: [],
  time: at(n),
  milliseconds: 3,
  signers: n % 2 ? ['ann@example.org'] : [],
  approvers: n % 5 ? ['bo@example.org'] : [],
  selfApproved: n % 10 === 1,
  tickets: [`SHOP-${n}`],
  teams: n % 4 ? ['@shop/cart'] : ['@shop/cart', '@shop/ops'],
  controls: n % 3 ? [] : ['SOC2:CC8.1'],
  index: null,
});

const environment = (last: number): EnvironmentRecord => ({
  repository: 'shop',
  name: 'shop/production',
  path: 'production',
  ref: 'refs/heads/main',
  target: 'prod',
  namespace: 'shop',
  labels: { tier: 'production' },
  ignore: [],
  head: hex(last),
  headDecision: `decision-${last}`,
  headOutcome: last % 3 ? 'allow' : 'deny',
  approved: hex(1),
  approvedDecision: 'decision-1',
  approvedDefinition: null,
  noLongerCompliant: false,
  nonCompliantFrom: null,
  healthy: hex(1),
  healthyDecision: 'decision-1',
  status: 'synced',
  trouble: null,
  gate: null,
  updatedAt: at(last),
});

const advice = (number: number, endedAt: string | null): AdviceRecord => ({
  id: `advice-${number}`,
  repository: 'shop',
  environment: 'shop/production',
  environmentTarget: 'prod',
  request: `refs/pull/${number}/head`,
  target: 'refs/heads/main',
  base: hex(1),
  head: hex(number),
  outcome: 'deny',
  description: 'denied: images.pinned',
  bundleDigest: digest,
  time: at(number),
  number,
  violations: [violation],
  required: [],
  reportedAt: at(number),
  endedAt,
  tree: hex(number),
  renderedDigest: digest,
  commits: [hex(number)],
  proposed: [],
  objectChanges: 0,
  approvals: [],
  author: 'ann-codes',
});

const drift = (id: string, correctedAt: string | null, run: string | null) => ({
  id,
  repository: 'shop',
  environment: 'shop/production',
  ...identity(1),
  type: 'modified',
  fields: [{ type: 'changed', path: 'spec.replicas', desired: 3, live: 5 }],
  attribution: { strength: 'hint', source: 'managedFields', manager: 'kubectl-edit' },
  supplements: [],
  detectedAt: at(1),
  index: 1,
  correctedAt,
  run,
});
