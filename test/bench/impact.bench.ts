// countersign policy impact: recorded changes a minute, judged again by another policy over the recorded inputs in PostgreSQL. The
// changes are made up, and judged, recorded and logged as the service does it. With an argument, that many (6,000).
import { createHash, randomUUID } from 'node:crypto';
import { RegoCompiler } from '../../src/adapters/opa/compiler.js';
import { RegoEvaluator } from '../../src/adapters/opa/evaluator.js';
import { PostgresPast } from '../../src/adapters/postgres/past-decisions.js';
import { PostgresRecords } from '../../src/adapters/postgres/records.js';
import type { ObjectChange, ProposedChange } from '../../src/change/proposed-change.js';
import { identityOf, type KubernetesObject } from '../../src/cluster/object.js';
import { Redactor } from '../../src/cluster/secret.js';
import { decideMany } from '../../src/policy/decide.js';
import { policyInput } from '../../src/policy/input.js';
import { policySources } from '../../src/policy/sources.js';
import { decisionTerms } from '../../src/review/decision-terms.js';
import { decisionEntry } from '../../src/review/entries.js';
import { analyseImpact, newImpact } from '../../src/review/impact.js';
import { openTestLog } from '../support/log.js';
import { startPostgres } from '../support/postgres.js';

const COUNT = Number(process.argv[2] ?? 6000);
const WANTED = 20_000;
const BATCH = 100;
const environment = {
  name: 'prod',
  path: '',
  ref: 'refs/heads/main',
  target: null,
  namespace: 'shop',
  labels: {},
  ignore: [],
};

const postgres = await startPostgres();
const log = await openTestLog(postgres);
const compiler = new RegoCompiler();
const evaluator = new RegoEvaluator();
try {
  const before = await compiler.compile(policySources(new Map(), { profile: 'baseline' }));
  const rule =
    'package countersign.few\n\n# METADATA\n# custom: {id: few.replicas, scope: object}\ndeny contains "too many" if input.changes[0].after.spec.replicas > 3\n';
  const after = await compiler.compile(policySources(new Map([['policies/few.rego', rule]]), { profile: 'strict' }));
  await record();
  for (let run = 0; run < 3; run++) {
    const started = performance.now();
    const busy = process.cpuUsage();
    let state = newImpact(after, null, '2020-01-01T00:00:00Z');
    for await (const next of analyseImpact(new PostgresPast(log.dataSource), after, evaluator, state)) state = next;
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(busy);
    const each = (user + system) / 1000 / state.tally.decisions;
    const rate = Math.round((state.tally.decisions / seconds) * 60);
    const { decisions, changed, byRule } = state.tally;
    const good = rate >= WANTED && decisions === COUNT && changed > 0;
    console.log(
      `${good || run === 0 ? '✓' : '✗'} ${decisions} recorded changes in ${seconds.toFixed(2)} s: ${rate} a minute (wanted ${WANTED}); ` +
        `${each.toFixed(2)} ms of processor time each; ${changed} would differ, ${Object.keys(byRule).length} rules`,
    );
    if (!good && run > 0) process.exitCode = 1;
  }

  async function record(): Promise<void> {
    const redactor = new Redactor(Buffer.alloc(32, 7), 'bench');
    const records = new PostgresRecords(log.dataSource);
    for (let at = 0; at < COUNT; at += BATCH) {
      const time = new Date();
      const cases = Array.from({ length: Math.min(BATCH, COUNT - at) }, (_, i) => {
        const change = proposed(at + i);
        return { change, input: policyInput({ change, repository: { name: 'shop', url: '' }, time, redactor }) };
      });
      const decisions = await decideMany(evaluator, before, cases);
      const ids = cases.map(() => randomUUID());
      const { entries } = await log.ledger.record(async (transaction) => {
        for (const [i, { change, input }] of cases.entries()) {
          const decision = decisions[i];
          const { base, head } = change;
          const common = { id: ids[i], repository: 'shop', environment: 'prod', time: time.toISOString() };
          const { exceptions, error = null, ...said } = decision;
          const row = {
            ...said,
            ...common,
            error,
            change: ids[i],
            approvals: [],
            uncounted: [],
            impact: null,
            exceptions: exceptions.map(({ id }) => id),
            milliseconds: 1,
            ...decisionTerms({ commits: [], approvals: [], owners: [], said: [] }),
            index: null,
          };
          await records.save(transaction, 'decision', [row]);
          transaction.append(
            decisionEntry({
              ...common,
              target: null,
              operation: 'push',
              ref: environment.ref,
              push: null,
              base,
              head,
              tree: head,
              renderedDigest: head,
              decision,
              bundle: before,
              approvals: [],
              reviewDue: null,
              input,
              results: [],
              rendered: [],
            }),
          );
        }
      });
      for (const [i, { index }] of entries.entries()) await records.update('decision', { id: ids[i] }, { index });
    }
  }
} finally {
  await Promise.all([compiler.close(), evaluator.close()]);
  await log.close();
  await postgres.stop();
}

/** A commit that changes one to three Deployments. */
function proposed(n: number): ProposedChange {
  const head = createHash('sha1').update(String(n)).digest('hex');
  const person = { name: 'Ann', email: 'ann@example.org', time: '2026-07-01T10:00:00Z' };
  const commit = {
    id: head,
    tree: head,
    parents: [],
    message: `change ${n}`,
    trailers: {},
    author: person,
    committer: person,
    raw: Buffer.alloc(0),
  };
  const signature = { kind: 'ssh', status: 'verified', principal: 'ann@example.org', key: 'SHA256:x' } as const;
  const changes = Array.from({ length: 1 + (n % 3) }, (_, i) => objectChange(n, i));
  return {
    environment,
    base: null,
    head,
    headTree: head,
    commits: [{ commit, files: [], signature }],
    changes,
    rendered: [],
    problems: [],
    otherDocuments: new Map(),
    notRendered: [],
  };
}

function objectChange(n: number, i: number): ObjectChange {
  const containers = ['app', 'proxy', 'metrics'].map((name) => ({
    name,
    image:
      n % 4 === 0 ? `registry.example.org/${name}:latest` : `registry.example.org/${name}@sha256:${'0'.repeat(64)}`,
    env: Array.from({ length: 10 }, (_, at) => ({ name: `SETTING_${at}`, value: `value ${at}` })),
    resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } },
    securityContext: { runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  }));
  const metadata = { name: `app-${n}-${i}`, namespace: 'shop', labels: { app: `app-${n}` } };
  const after: KubernetesObject = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: { replicas: n % 5, template: { metadata, spec: { containers } } },
  };
  return {
    op: 'create',
    identity: identityOf(after),
    before: null,
    after,
    patch: [],
    source: { path: `apps/${n}.yaml`, line: 1 },
  };
}
