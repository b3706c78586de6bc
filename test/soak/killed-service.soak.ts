// The service killed 50 times (or as the first argument says) in a stream of pushes. SEED=n repeats a run.
import { startControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { surviveKillings } from '../support/killings.js';

const kills = Number(process.argv[2] ?? 50);
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`SEED=${seed}`);
const plane = await startControlPlane();
try {
  const started = performance.now();
  const survival = await surviveKillings(plane, { kills, seed, say: (line) => console.log(line) });
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(JSON.stringify({ seed, seconds, ...survival }));
} finally {
  await plane.stop();
  await forgetPeople();
}
