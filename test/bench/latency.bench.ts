// From a commit to the cluster, and from an edit of the cluster to its correction, seen from outside, on an idle service that is a
// process of its own on the embedded database. Prints a JSON line a figure; milliseconds.
import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { startControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { configMap, eventually, World } from '../support/world.js';

const quick = process.argv.includes('--quick');
const rounds = quick ? 5 : 20;
const rest = quick ? 5 : 60;

const plane = await startControlPlane();
try {
  for (const poll of ['500ms', '100ms']) {
    const world = await World.open({ plane, child: true, poll });
    try {
      await commitToLive(world, poll);
      await driftToCorrected(world, poll);
      if (poll === '500ms') await atRest(world);
      await world.check({ replay: true });
    } finally {
      await world.close();
    }
  }
} finally {
  await plane.stop();
  await forgetPeople();
}

async function commitToLive(world: World, poll: string): Promise<void> {
  const all: number[] = [];
  const parts: Record<'seen' | 'decided' | 'runStarted' | 'runEnded', number[]> = {
    seen: [],
    decided: [],
    runStarted: [],
    runEnded: [],
  };
  for (let round = 0; round < rounds; round += 1) {
    await sleep(300 + Math.random() * 500); // not in step with the polls
    const replicas = 2 + round;
    const head = await world.pushGood(replicas);
    const began = Date.now();
    await eventually('it to be live', async () => (await world.replicas()) === replicas, undefined, undefined, 2);
    all.push(Date.now() - began);
    await world.live(head);
    const [push] = (await world.entries('push')).slice(-1);
    const decision = await world.decision(head);
    const [run] = await world.runs();
    parts.seen.push(Date.parse(push.time) - began);
    parts.decided.push(Date.parse(decision.entry!.time) - began);
    parts.runStarted.push(Date.parse(run.startedAt) - began);
    parts.runEnded.push(Date.parse(run.finishedAt!) - began);
  }
  const medians = Object.fromEntries(Object.entries(parts).map(([name, values]) => [name, summary(values).median]));
  say({ what: 'commit to live', poll, ...summary(all), mediansFromCommit: medians });
}

async function driftToCorrected(world: World, poll: string): Promise<void> {
  const names = Array.from({ length: 5 }, (_, i) => `settings-${i}`);
  const files = Object.fromEntries(
    names.map((name) => [`environments/production/${name}.yaml`, configMap(name, 'as approved')]),
  );
  await world.live(await world.push({ files }));
  const all: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await sleep(200);
    // Not the same object again and again: such corrections are damped.
    const path = world.path('configmaps', names[round % names.length]);
    await world.dana.edit(path, { data: { value: 'by hand' } });
    const began = Date.now();
    await eventually(
      'it to be corrected',
      async () => {
        const live = (await world.dana.must(path)) as unknown as { data: { value: string } };
        return live.data.value === 'as approved';
      },
      undefined,
      undefined,
      2,
    );
    all.push(Date.now() - began);
  }
  const drifts = (await world.entries('drift')).length;
  say({ what: 'drift to corrected', poll, ...summary(all), driftsLogged: drifts });
}

async function atRest(world: World): Promise<void> {
  await sleep(2_000);
  const [writes, entries] = [world.writes().length, (await world.entries()).length];
  await sleep(rest * 1000);
  say({
    what: 'at rest',
    seconds: rest,
    writeRequests: world.writes().length - writes,
    logEntries: (await world.entries()).length - entries,
  });
}

function summary(values: readonly number[]): { rounds: number; median: number; worst: number } {
  const sorted = values.toSorted((a, b) => a - b);
  return { rounds: values.length, median: sorted[Math.floor(sorted.length / 2)], worst: sorted.at(-1)! };
}

function say(figure: object): void {
  console.log(JSON.stringify(figure));
}
