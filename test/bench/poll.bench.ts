// What it costs to look at 200 local repositories in which nothing has moved, the CPU of every git that is kept for it included.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror } from '../../src/adapters/git/mirror.js';
import { forgetPeople, person, ScratchRepository } from '../../src/adapters/git/scratch-repository.js';
import type { Mirror } from '../../src/source/repository.js';

const REPOSITORIES = 200;
const ROUNDS = 5;
const LIMIT = 2;

/** Seconds, of this process and its children; /proc counts in hundredths. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      if (Number(fields[1]) === process.pid) ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      continue; // it has ended meanwhile
    }
  }
  return (user + system) / 1e6 + ticks / 100;
}

const root = await mkdtemp(join(tmpdir(), 'countersign-poll-'));
const mirrors: { mirror: Mirror; seen: ReadonlyMap<string, string> }[] = [];
try {
  const ann = await person('Ann', 'ann@example.org');
  const source = await ScratchRepository.create(join(root, 'source'));
  for (let i = 0; i < 20; i++) {
    await source.commit({ author: ann, sign: false, message: `${i}`, files: { 'a.yaml': `a: ${i}\n` } });
    await source.git('branch', `feature/${i}`);
  }
  for (let i = 0; i < REPOSITORIES; i++) {
    const path = join(root, `r${i}`);
    await cp(join(source.path, '.git'), path, { recursive: true });
    const mirror = await openMirror(join(root, `m${i}.git`), { url: path, refs: ['refs/heads/main'] });
    await mirror.fetch(new Map());
    mirrors.push({ mirror, seen: await mirror.poll() });
  }
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = cpuSeconds();
    for (const { mirror, seen } of mirrors) {
      const now = await mirror.poll();
      if (now.size !== 1 || now.get('refs/heads/main') !== seen.get('refs/heads/main')) throw new Error('it moved');
    }
    rounds.push(cpuSeconds() - before);
  }
  const worst = Math.max(...rounds);
  console.log(
    `idle poll of ${REPOSITORIES} local repositories: ${worst.toFixed(2)} s of CPU at worst, ${((worst / REPOSITORIES) * 1000).toFixed(2)} ms each (rounds: ${rounds.map((one) => one.toFixed(2)).join(' ')}; limit ${LIMIT} s)`,
  );
  if (worst > LIMIT) process.exitCode = 1;
} finally {
  for (const { mirror } of mirrors) await mirror.close();
  await forgetPeople();
  await rm(root, { recursive: true, force: true, maxRetries: 3 });
}
