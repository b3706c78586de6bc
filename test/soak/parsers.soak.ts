// Parsers under 100,000 damaged inputs each; the seed that is printed repeats a run. Usage: node test/soak/parsers.soak.ts [cases] [seed]
import { spawnSync } from 'node:child_process';

const [cases = '100000', seed = String(Date.now() % 1_000_000_007)] = process.argv.slice(2);
console.log(`${cases} inputs for each parser, seed ${seed}`);
const args = [
  'test/hostile',
  'src/audit/parsers.test.ts',
  'src/adapters/evidence',
  'src/adapters/postgres/seen-checkpoint.test.ts',
  '--testTimeout=3600000',
];
const { status } = spawnSync('node_modules/.bin/jest', args, {
  stdio: 'inherit',
  env: { ...process.env, CASES: cases, SEED: seed, NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning' }, // prettier-ignore
});
process.exitCode = status ?? 1;
