// The cluster's part of the figures: approved → live, drift → corrected, and what happens at rest.
import { startControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { configMap, deployment, namespace, Person, until, World } from '../support/cluster.js';
import { DecisionLog, environmentNamed, writesIn } from '../support/approvals.js';

const ns = 'bench';
const environment = environmentNamed(ns, ns);
const rounds = 20;
const atRest = process.argv.includes('--quick') ? 5 : 60;

const commit = (n: number) => n.toString(16).padStart(40, '0');

const plane = await startControlPlane();
const dana = new Person(plane, 'dana');
const decisions = new DecisionLog();
const world = await World.open(plane, ns);

try {
  const objects = (images: number, settings: number, value: number) => [
    namespace(ns),
    ...Array.from({ length: images }, (_, i) => deployment(ns, `cart-${i}`, i === 0 ? `cart:${value}` : 'cart:1')),
    ...Array.from({ length: settings }, (_, i) => configMap(ns, `settings-${i}`, { i: String(i) })),
  ];
  const apply = async (head: number, list: object[]): Promise<number> => {
    const change = await decisions.approved(environment, commit(head), list);
    const began = performance.now();
    world.reconciler.approve(change);
    await world.reconciler.settled();
    if (world.reconciler.state.applied !== change.decision)
      throw world.reconciler.state.trouble ?? new Error('not applied');
    return performance.now() - began;
  };

  say('300 objects, all new, until all are live and recorded', [await apply(1, objects(100, 200, 1))]);

  const deployed: number[] = [];
  for (let i = 0; i < rounds; i++) deployed.push(await apply(2 + i, objects(100, 200, 2 + i)));
  say('one of 300 objects changed: approved to live and recorded', deployed);

  const cpu = process.cpuUsage();
  const idle = await apply(100, objects(100, 200, 1 + rounds));
  const spent = process.cpuUsage(cpu);
  say('nothing changed in 300 objects', [idle]);
  console.log(`  CPU of that: ${((spent.user + spent.system) / 1000).toFixed(0)} ms`);

  const path = `/api/v1/namespaces/${ns}/configmaps/settings-0`;
  const corrected: number[] = [];
  for (let i = 0; i < 5; i++) {
    for (const name of ['settings-0', 'settings-1', 'settings-2', 'settings-3']) {
      const at = path.replace('settings-0', name);
      const began = performance.now();
      await dana.edit(at, { data: { i: 'by hand' } });
      await until('it is corrected', async () => (await dana.must(at))['data']!['i' as never] !== 'by hand');
      corrected.push(performance.now() - began);
      await world.reconciler.settled();
    }
  }
  say('drift: hand edit sent to correction seen, evidence recorded in between', corrected);
  const attributed = world.log.drifts.filter(({ attribution }) => attribution.manager === 'kubectl-edit').length;
  console.log(`  ${world.log.drifts.length} drifts recorded, ${attributed} attributed to the client that made them`);

  const before = writesIn(plane.auditLog, 'countersign').length;
  const cpuAtRest = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, atRest * 1000));
  const rest = process.cpuUsage(cpuAtRest);
  const writes = writesIn(plane.auditLog, 'countersign').length - before;
  console.log(
    `at rest for ${atRest} s: ${writes} write requests, ${((rest.user + rest.system) / 1000).toFixed(0)} ms of CPU`,
  );
  if (writes > 0) process.exitCode = 1;
} finally {
  await world.close();
  await dana.close();
  await plane.stop();
}

function say(what: string, milliseconds: number[]): void {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(0);
  console.log(
    sorted.length === 1
      ? `${what}: ${at(0)} ms`
      : `${what}: median ${at(0.5)} ms, p95 ${at(0.95)} ms (${sorted.length} times)`,
  );
}
