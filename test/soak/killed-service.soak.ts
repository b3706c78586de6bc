// Two processes at one database killed 100 times (or as the first argument says) in a stream of pushes, the API server 20 times (or as the
// second one says) with 1 % of requests failing; then one on its embedded database a tenth as often. SEED=n repeats a run.
import { startControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { surviveKillings } from '../support/killings.js';

const kills = Number(process.argv[2] ?? 100);
const restarts = Number(process.argv[3] ?? 20);
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`SEED=${seed}`);
const plane = await startControlPlane();
const say = (line: string): void => console.log(line);
try {
  for (const killings of [
    { kills, restarts, faults: 0.01, instances: 2 as const, seed, say },
    { kills: Math.ceil(kills / 10), seed, say },
  ]) {
    const started = performance.now();
    const survival = await surviveKillings(plane, killings);
    const seconds = Math.round((performance.now() - started) / 1000);
    console.log(JSON.stringify({ seed, instances: killings.instances ?? 1, seconds, ...survival }));
  }
} finally {
  await plane.stop();
  await forgetPeople();
}
