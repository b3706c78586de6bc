// The log killed 500 times, at other moments each time; the seed that is printed repeats a run. Usage: node test/soak/log.soak.ts [kills] [seed]
import { spawnSync } from 'node:child_process';

const [kills = '500', seed = String(Date.now() % 1_000_000_007)] = process.argv.slice(2);
console.log(`${kills} kills, seed ${seed}`);
const { status } = spawnSync('node_modules/.bin/jest', ['test/flow/killed-log-loses-nothing.test.ts'], {
  stdio: 'inherit',
  env: {
    ...process.env,
    KILLS: kills,
    SEED: seed,
    NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
  },
});
process.exitCode = status ?? 1;
