// 10,000 manifests, 20 rules, each time a process of its own: `countersign check --conftest` against `conftest test`, in turns, to
// the same answer. Time by the clock and of the processors (user and system), and the most memory that was resident at once. The
// compiled policies are there from an earlier run, as they are in a pipeline that keeps its cache; `no cache` is without them.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { conftestProgram } from '../support/conftest.js';
import { writeManifests, writeRules } from './conftest-files.js';

const FILES = 10_000;
const ROUNDS = process.argv.includes('--quick') ? 1 : 3;
const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
const countersign = [process.execPath, fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url)), 'check', '--conftest']; // prettier-ignore
const conftest = [conftestProgram(), 'test'];

interface Run {
  readonly wall: number;
  readonly cpu: number;
  readonly mebibytes: number;
  readonly found: string;
}

/** One process from start to end; seconds. */
async function run(command: readonly string[], cache: string): Promise<Run> {
  const out = join(folder, 'out');
  const script = `TIMEFORMAT='%R %U %S'; time "$@" > ${out}`;
  const child = spawn('bash', ['-c', script, 'bench', ...command], {
    env: { ...process.env, COUNTERSIGN_CACHE: cache },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let told = '';
  child.stderr.on('data', (data: Buffer) => (told += data.toString()));
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, peakBelow(child.pid!))), 10);
  await new Promise((resolve) => child.on('close', resolve));
  clearInterval(watch);
  const times = told.trim().split('\n').at(-1)!.split(' ').map(Number);
  if (times.length !== 3 || times.some(Number.isNaN)) throw new Error(told);
  return { wall: times[0], cpu: times[1] + times[2], mebibytes: most / 1024, found: sorted(readFileSync(out, 'utf8')) };
}

/** The kernel's own high-water mark of each process that the shell runs, KiB. */
function peakBelow(shell: number): number {
  let most = 0;
  try {
    for (const pid of readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').split(' ').filter(Boolean)) {
      most = Math.max(most, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0));
    }
  } catch {
    // it has just ended
  }
  return most;
}

/** Conftest tells of files in another order each time. */
function sorted(json: string): string {
  const checks = JSON.parse(json) as { filename: string; failures?: { msg: string }[] }[];
  for (const { failures } of checks) failures?.sort((a, b) => (a.msg < b.msg ? -1 : 1));
  return JSON.stringify(checks.toSorted((a, b) => (a.filename < b.filename ? -1 : 1)));
}

const least = (runs: readonly Run[], of: 'wall' | 'cpu' | 'mebibytes') => Math.min(...runs.map((one) => one[of]));
const most = (runs: readonly Run[]) => Math.max(...runs.map((one) => one.mebibytes));

try {
  const manifests = join(folder, 'manifests');
  writeManifests(manifests, FILES);
  console.log(`${FILES} manifests, 20 rules, least of ${ROUNDS}; ratios of conftest to countersign`);
  for (const [style, goal] of [
    ['array', 7],
    ['set', undefined],
  ] as const) {
    const policy = join(folder, style);
    writeRules(policy, style);
    const cache = join(folder, 'cache');
    const asked = ['-p', policy, '-o', 'json', manifests];
    const runs = { 'no cache': [] as Run[], countersign: [] as Run[], conftest: [] as Run[] };
    for (let round = 0; round < ROUNDS; round++) {
      rmSync(cache, { recursive: true, force: true });
      runs['no cache'].push(await run([...countersign, ...asked], cache));
      runs.countersign.push(await run([...countersign, ...asked], cache));
      runs.conftest.push(await run([...conftest, ...asked], cache));
      const [a, b, c] = Object.values(runs).map((of) => of[round].found);
      if (a !== c || b !== c) throw new Error('they disagree');
    }
    for (const [name, of] of Object.entries(runs)) {
      const ratio = (what: 'wall' | 'cpu') => (least(runs.conftest, what) / least(of, what)).toFixed(1);
      console.log(
        `${style.padEnd(6)}${name.padEnd(12)} ${least(of, 'wall').toFixed(2)} s (${ratio('wall')}×)   processors ${least(of, 'cpu').toFixed(2)} s (${ratio('cpu')}×)   ${most(of).toFixed(0)} MiB`,
      );
    }
    if (goal) console.log(`${style.padEnd(6)}to be at least ${goal}×, below 150 MiB`);
  }
} finally {
  if (!process.argv.includes('--keep')) rmSync(folder, { recursive: true, force: true });
  else console.log(folder, readdirSync(folder).join(' '));
}
