// The cluster's figures on a real API server, in one run: 300 new objects against kubectl; 1,000 of which none or one changes, from
// its approval on, and through the whole service from the push on; how long 1,000 take to be rebuilt; with `--many` 10,000 in 200
// environments at rest (only reconciling: the service around it is measured by latency.bench.ts). Needs `make build`. Usage:
// node --import ./test/support/typescript.js test/bench/cluster.bench.ts [--service | --many]
// KUBECTL=path of another kubectl than the first of PATH
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { openCluster } from '../../src/adapters/kubernetes/cluster.js';
import { startControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { Informers } from '../../src/reconcile/informer.js';
import { EnvironmentReconciler } from '../../src/reconcile/loop.js';
import { DecisionLog, environmentNamed, redactor, RunRecorder, writesIn } from '../support/approvals.js';
import { configMap, deployment, everything, namespace, Person, until, World } from '../support/cluster.js';
import { runCli } from '../support/cli.js';
import { cart, configMap as manifest, eventually, PRODUCTION, World as Service } from '../support/world.js';
import type { Run as RunSeen } from '../support/world-queries.js';
import { figure, quantile } from './figure.js';

const run = promisify(execFile);
const kubectl = process.env['KUBECTL'] ?? 'kubectl';
const [ENVIRONMENTS, EACH, REST] = [200, 50, 60];
const ROUNDS = 20;

type Run = Pick<RunSeen, 'id' | 'outcome' | 'finishedAt' | 'finishedIndex' | 'trouble' | 'decision'>;
const newestRun = `{ runs(first: 1, filter: {environment: "${PRODUCTION}"}) { nodes {
  id outcome finishedAt finishedIndex trouble { code message remedy place { file line } } decision { index change { head } } } } }`;

const plane = await startControlPlane();
const decisions = new DecisionLog();
const commit = (n: number): string => n.toString(16).padStart(40, '0');
const objects = (ns: string, images: number, settings: number, value = 1): object[] => [
  namespace(ns),
  ...Array.from({ length: images }, (_, i) => deployment(ns, `cart-${i}`, i === 0 ? `cart:${value}` : 'cart:1')),
  ...Array.from({ length: settings }, (_, i) => configMap(ns, `settings-${i}`, { i: String(i) })),
];

try {
  if (!process.argv.includes('--service')) {
    await allNew();
    await thousand();
  }
  await throughService();
  if (process.argv.includes('--many')) await many();
} finally {
  await plane.stop();
  await forgetPeople();
}

/** Milliseconds until what is approved is live and recorded. */
async function apply(world: World, environment: string, head: number, list: object[]): Promise<number> {
  const change = await decisions.approved(environmentNamed(environment, environment), commit(head), list);
  const began = performance.now();
  world.reconciler.approve(change);
  await world.reconciler.settled();
  if (world.reconciler.state.applied !== change.decision)
    throw world.reconciler.state.trouble ?? new Error('not applied');
  return performance.now() - began;
}

async function allNew(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const [ours, theirs]: [number[], number[]] = [[], []];
  try {
    for (let round = 0; round < 3; round++) {
      const world = await World.open(plane, `ours-${round}`);
      ours.push(await apply(world, `ours-${round}`, 1, objects(`ours-${round}`, 100, 200)));
      await world.close();
      theirs.push(await byKubectl(`theirs-${round}`, folder));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.log(`300 new objects: ${quantile(ours, 0.5).toFixed(0)} ms, kubectl ${quantile(theirs, 0.5).toFixed(0)} ms`);
  figure('300 new objects, of the time of kubectl’s dry-run and apply', '<=', 1, quantile(ours, 0.5) / quantile(theirs, 0.5), ''); // prettier-ignore
}

async function byKubectl(ns: string, folder: string): Promise<number> {
  const [first, ...others] = objects(ns, 100, 200);
  const file = join(folder, `${ns}.json`);
  const given = ['--kubeconfig', plane.kubeconfig('countersign'), 'apply', '--server-side', '-f'];
  // A dry-run needs the namespace.
  writeFileSync(file, JSON.stringify(first));
  await run(kubectl, [...given, file]);
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: others }));
  const began = performance.now();
  await run(kubectl, [...given, file, '--dry-run=server'], { maxBuffer: 2 ** 24 });
  await run(kubectl, [...given, file], { maxBuffer: 2 ** 24 });
  return performance.now() - began;
}

async function thousand(): Promise<void> {
  const ns = 'thousand';
  const world = await World.open(plane, ns);
  const dana = new Person(plane, 'dana');
  try {
    await apply(world, ns, 1, objects(ns, 100, 900));
    await apply(world, ns, 2, objects(ns, 100, 900));
    const [cpus, changed, corrected]: [number[], number[], number[]] = [[], [], []];
    const before = writesIn(plane.auditLog, 'countersign').length;
    for (let round = 0; round < 5; round++) {
      const change = await decisions.approved(environmentNamed(ns, ns), commit(10 + round), objects(ns, 100, 900));
      const cpu = process.cpuUsage();
      world.reconciler.approve(change);
      await world.reconciler.settled();
      const { user, system } = process.cpuUsage(cpu);
      cpus.push((user + system) / 1_000);
    }
    figure('CPU for 1,000 objects with nothing to do, median', '<', 100, quantile(cpus, 0.5), 'ms');
    figure('write requests of that', '<=', 0, writesIn(plane.auditLog, 'countersign').length - before, '');
    for (let i = 0; i < ROUNDS; i++) changed.push(await apply(world, ns, 100 + i, objects(ns, 100, 900, 2 + i)));
    figure('one of 1,000 objects changed: approved to live and recorded, median', '<', 500, quantile(changed, 0.5), 'ms'); // prettier-ignore
    for (let i = 0; i < ROUNDS; i++) {
      const path = `/api/v1/namespaces/${ns}/configmaps/settings-${i}`;
      const began = performance.now();
      await dana.edit(path, { data: { i: 'by hand' } });
      await until('it is corrected', async () => (await dana.must(path))['data']!['i' as never] !== 'by hand');
      corrected.push(performance.now() - began);
      await world.reconciler.settled();
    }
    figure('drift of one of 1,000 corrected, median', '<', 300, quantile(corrected, 0.5), 'ms');
    const attributed = world.log.drifts.filter(({ attribution }) => attribution.manager === 'kubectl-edit').length;
    figure('drifts recorded with who made them before they were corrected', '>=', ROUNDS, attributed, '');
  } finally {
    await dana.close();
    await world.close();
  }
}

/** A file for each of 1,000 objects, the starter policies' baseline, the embedded database: nothing is left out. */
async function throughService(): Promise<void> {
  const files = Object.fromEntries([
    ...Array.from({ length: 900 }, (_, i) => [`settings-${i}`, manifest(`settings-${i}`, 'a')]),
    ...Array.from({ length: 98 }, (_, i) => [`cart-${i}`, cart(1, undefined, `cart-${i}`)]),
  ].map(([name, text]) => [`environments/production/${name}.yaml`, text])); // prettier-ignore
  const world = await Service.open({ plane, child: true, poll: '100ms', files });
  try {
    const [pushed, seen, recorded]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < ROUNDS; round++) {
      await sleep(300 + Math.random() * 500); // not in step with the polls
      const head = await world.pushGood(2 + round);
      const began = Date.now();
      await eventually('it to be live', async () => (await world.replicas()) === 2 + round, undefined, undefined, 2);
      const live = Date.now();
      const run = await eventually('its run to be recorded', async () => {
        const { runs } = await world.query<{ runs: { nodes: Run[] } }>(newestRun);
        const [newest] = runs.nodes;
        return newest.decision?.change.head === head && newest.finishedIndex !== null && newest;
      });
      if (run.outcome !== 'succeeded') throw new Error(`run ${run.id}: ${JSON.stringify(run.trouble)}`);
      const [push] = (await world.entries('push')).slice(-1);
      pushed.push(live - began);
      seen.push(live - Date.parse(push.time));
      recorded.push(Date.parse(run.finishedAt!) - Date.parse(push.time));
    }
    figure('one of 1,000 objects changed: commit seen to live, median', '<', 500, quantile(seen, 0.5), 'ms');
    console.log(`pushed to live ${quantile(pushed, 0.5)} ms, seen to the end of its run ${quantile(recorded, 0.5)} ms, medians; looked for every 100 ms`); // prettier-ignore
    await rebuilt(world);
  } finally {
    await world.close();
  }
}

/** Onto an empty cluster in the place of the one that is lost, by the command line. */
async function rebuilt(world: Service): Promise<void> {
  await world.stop();
  const other = await startControlPlane();
  try {
    await world.moveTo(other);
    const began = performance.now();
    const { code, stdout, stderr } = await runCli(['rebuild', '--config', world.configFile, '--data', world.data, '--reason', 'measured']); // prettier-ignore
    if (code !== 0) throw new Error(stdout + stderr);
    console.log(stdout.trim());
    console.log(`1,000 objects rebuilt in an empty cluster: ${((performance.now() - began) / 1_000).toFixed(1)} s, the command's start included`); // prettier-ignore
  } finally {
    await other.stop();
  }
}

async function many(): Promise<void> {
  const cluster = await openCluster({ name: 'prod', kubeconfig: plane.kubeconfig('countersign'), deadlines: { request: 30_000, silence: 150_000 } }); // prettier-ignore
  const informers = new Informers(cluster);
  const reconcilers: EnvironmentReconciler[] = [];
  try {
    for (let n = 0; n < ENVIRONMENTS; n++) {
      const name = `many-${n}`;
      const log = new RunRecorder();
      const reconciler = new EnvironmentReconciler('shop', name, [], { informers, log, redactor, grants: everything, epoch: () => 1 }); // prettier-ignore
      reconcilers.push(reconciler);
      const list = objects(name, 15, EACH - 16);
      reconciler.approve(await decisions.approved(environmentNamed(name, name), commit(1), list));
      await reconciler.settled();
      if (reconciler.state.applied === null) throw reconciler.state.trouble ?? new Error(`${name} is not applied`);
      if (n % 20 === 19) console.error(`${(n + 1) * EACH} objects are live`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const before = writesIn(plane.auditLog, 'countersign').length;
    const cpu = process.cpuUsage();
    let most = 0;
    for (let second = 0; second < REST; second++) {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      most = Math.max(most, process.memoryUsage().rss);
    }
    const { user, system } = process.cpuUsage(cpu);
    figure(`memory with ${ENVIRONMENTS * EACH} objects in ${ENVIRONMENTS} environments at rest`, '<', 600, most / 2 ** 20, 'MiB'); // prettier-ignore
    figure(`CPU of that over ${REST} s, of a core`, '<', 5, (user + system) / 1e4 / REST, '%');
    figure('write requests of that', '<=', 0, writesIn(plane.auditLog, 'countersign').length - before, '');
  } finally {
    await Promise.all(reconcilers.map((one) => one.stop()));
    await informers.close();
    await cluster.close();
  }
}
