// How fast history is read, against git's own three programs doing the same and nothing else; and signatures verified.
// Ratios, not rates, are what another machine can be held to. Usage: node test/bench/git.bench.ts [repository or bundle]
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type * as MirrorModule from '../../src/adapters/git/mirror.js';
import type * as OpenModule from '../../src/adapters/git/open.js';
import type * as ScratchModule from '../../src/adapters/git/scratch-repository.js';
import type { Commit } from '../../src/source/repository.js';
import type * as SignersModule from '../../src/source/signers.js';

/** What is measured is what is shipped: the build, typed as its sources. */
const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { openMirror } = (await built('adapters/git/mirror')) as typeof MirrorModule;
const { openRepository } = (await built('adapters/git/open')) as typeof OpenModule;
const { allowedSigners, forgetPeople, person, ScratchRepository } = (await built(
  'adapters/git/scratch-repository',
)) as typeof ScratchModule;
const { checkSignature, parseSigners } = (await built('source/signers')) as typeof SignersModule;

const ROUNDS = 3;
const root = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
const given = process.argv[2] ?? resolve('../shared/repos/manifests.bundle');

/** The best of a few rounds: what a busy machine adds is never what the code costs. */
async function best(run: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now();
    await run();
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

function report(what: string, milliseconds: number, count: number, unit: string): void {
  console.log(
    `${what.padEnd(52)} ${milliseconds.toFixed(0).padStart(7)} ms ${((count / milliseconds) * 1000).toFixed(0).padStart(8)} ${unit}/s`,
  );
}

async function benchHistory(path: string): Promise<void> {
  const sh = (command: string): void => {
    const { status } = spawnSync('sh', ['-c', command], {
      cwd: path,
      stdio: 'ignore',
      env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null' },
    });
    if (status !== 0) throw new Error(`${command} failed`);
  };
  const list = 'git rev-list --topo-order --reverse HEAD';
  const diff = 'git diff-tree --stdin -z -r --root --always --no-renames --no-abbrev';
  const alone = await best(() =>
    sh(`${list} | ${diff} >/dev/null & ${list} | git cat-file --batch --buffer >/dev/null; wait`),
  );
  const repository = await openRepository(path, { adapter: 'native' });
  const head = await repository.resolve('HEAD');
  const commits = await repository.count({ head });
  report('git alone: rev-list, diff-tree, cat-file of commits', alone, commits, 'commits');
  const blobs = new Map<string, string>();
  const ours = await best(async () => {
    for await (const { files } of repository.history({ head }))
      for (const { id, path: file, op } of files) if (op !== 'delete') blobs.set(id, file);
  });
  report('history with files', ours, commits, 'commits');
  console.log(`ratio to git alone: ${(ours / alone).toFixed(2)}`);
  const ids = [...blobs].filter(([, file]) => /\.ya?ml$/.test(file)).map(([id]) => id);
  const aloneBlobs = await best(() => {
    execFileSync('git', ['cat-file', '--batch', '--buffer'], {
      cwd: path,
      input: `${ids.join('\n')}\n`,
      maxBuffer: 2 ** 31 - 1,
    });
  });
  const ourBlobs = await best(async () => {
    for (let i = 0; i < ids.length; i += 256) await Promise.all(ids.slice(i, i + 256).map((id) => repository.blob(id)));
  });
  report('git alone: every version of every manifest', aloneBlobs, ids.length, 'files');
  report('every version of every manifest, hash checked', ourBlobs, ids.length, 'files');
  console.log(`ratio to git alone: ${(ourBlobs / aloneBlobs).toFixed(2)}`);
  await repository.close();
  if (commits <= 5000) {
    const slow = await openRepository(path, { adapter: 'isomorphic' });
    const start = performance.now();
    let seen = 0;
    for await (const _ of slow.history({ head })) seen++;
    report('history with files, without git', performance.now() - start, seen, 'commits');
    await slow.close();
  }
  console.log(`memory: ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB at most`);
}

async function benchSignatures(): Promise<void> {
  for (const type of ['ed25519', 'ecdsa', 'rsa'] as const) {
    const ann = await person('Ann', `ann-${type}@example.org`, type);
    const scratch = await ScratchRepository.create(join(root, type));
    const commits: Commit[] = [];
    const repository = await openRepository(scratch.path);
    for (let i = 0; i < 20; i++)
      commits.push(await repository.commit(await scratch.commit({ author: ann, message: `${i}` })));
    const signers = parseSigners({ text: allowedSigners([ann]), file: 'signers' });
    const now = new Date();
    const times = 25;
    const spent = await best(() => {
      for (let i = 0; i < times; i++) {
        for (const commit of commits)
          if (checkSignature(commit, signers, now).status !== 'verified') throw new Error('not verified');
      }
    });
    report(`SSH signatures, ${type}`, spent, commits.length * times, 'commits');
    await repository.close();
  }
}

async function benchMirror(): Promise<void> {
  const ann = await person('Ann', 'ann@example.org');
  const scratch = await ScratchRepository.create(join(root, 'followed'));
  await scratch.commit({ author: ann, sign: false, message: 'first' });
  const mirror = await openMirror(join(root, 'mirror'), { url: scratch.path, refs: ['refs/heads/main'] });
  await mirror.fetch(new Map());
  const times: number[] = [];
  for (let i = 0; i < 21; i++) {
    const seen = await mirror.poll();
    await scratch.commit({ author: ann, sign: false, message: `${i}` });
    const start = performance.now();
    await mirror.fetch(seen);
    times.push(performance.now() - start);
  }
  console.log(`local mirror, commit to fetched: median ${times.toSorted((a, b) => a - b)[10]!.toFixed(0)} ms`);
  const before = process.cpuUsage();
  for (let i = 0; i < 500; i++) await mirror.poll();
  const { user, system } = process.cpuUsage(before);
  console.log(`local mirror, idle poll: ${((user + system) / 1000 / 500).toFixed(2)} ms of CPU`);
  await mirror.close();
}

try {
  if (existsSync(given)) {
    const path = join(root, 'history');
    execFileSync('git', ['clone', '--quiet', '--bare', given, path], { stdio: 'inherit' });
    await benchHistory(path);
  } else {
    console.log(`no repository at ${given}: name one`);
  }
  await benchSignatures();
  await benchMirror();
} finally {
  await forgetPeople();
  await rm(root, { recursive: true, force: true });
}
