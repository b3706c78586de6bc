// Ingest of whole histories, from Git's objects to object changes and without policy, against git's own rev-list, diff-tree --stdin
// and cat-file --batch over the same commits in the same run: time (both of elapsed and of CPU, all processes), memory, and growth.
// On ../shared/repos/manifests.bundle, or the repository or bundle that is named, and on histories derived from it.
// Usage: node --import ./test/support/typescript.js test/bench/ingest.bench.ts [repository or bundle]
import { execFileSync } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type * as OpenModule from '../../src/adapters/git/open.js';
import type * as ComparisonModule from '../../src/change/file-comparison.js';
import type * as CacheModule from '../../src/change/manifest-cache.js';
import type * as HistoryModule from '../../src/change/history.js';
import { deriveHistory } from '../support/derived-history.js';

const WANTED = { ratio: 3, mebibytes: 600, growth: 1.3 };
const DERIVED = [6000, 10_000, 60_000];
const ROUNDS = 3;

interface Ingested {
  readonly commits: number;
  readonly files: number;
  readonly objectChanges: number;
  /** From opening the repository to the last change. */
  readonly seconds: number;
  readonly mebibytes: number;
}

interface Spent {
  /** Seconds elapsed, and of CPU with all children's. */
  readonly elapsed: number;
  readonly cpu: number;
  readonly printed: string;
}

const [, , given, path] = process.argv;
if (given === '--ingest') await ingest(path);
else await compare(given ?? resolve('../shared/repos/manifests.bundle'));

async function built(file: string): Promise<unknown> {
  return import(new URL(`../../dist/${file}.js`, import.meta.url).href);
}

/** In a process of its own, so that its memory and its CPU are nobody else's. The build is measured, as it is shipped. */
async function ingest(repositoryPath: string): Promise<void> {
  const { openRepository } = (await built('adapters/git/open')) as typeof OpenModule;
  const { walkHistory } = (await built('change/history')) as typeof HistoryModule;
  const { FileComparison } = (await built('change/file-comparison')) as typeof ComparisonModule;
  const { ManifestCache } = (await built('change/manifest-cache')) as typeof CacheModule;
  const start = performance.now();
  const limits = { bytes: 4 * 1024 * 1024 };
  const repository = await openRepository(repositoryPath);
  const comparer = new FileComparison(repository, new ManifestCache(40 * 1024 * 1024, limits));
  let [commits, files, objectChanges] = [0, 0, 0];
  for await (const step of walkHistory(repository, { head: await repository.resolve('HEAD') }, comparer)) {
    commits++;
    files += step.files.length;
    objectChanges += step.changes.length;
  }
  const seconds = (performance.now() - start) / 1000;
  await repository.close();
  const mebibytes = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(JSON.stringify({ commits, files, objectChanges, seconds, mebibytes } satisfies Ingested));
}

async function compare(source: string): Promise<void> {
  if (!existsSync(source)) {
    console.log(`no repository at ${source}: name one`);
    return;
  }
  const root = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  try {
    const original = join(root, 'original.git');
    execFileSync('git', ['clone', '--quiet', '--bare', source, original]);
    await measure('as it is', original, root);
    const perCommit = new Map<number, number>();
    for (const commits of DERIVED) {
      const derived = join(root, `${commits}.git`);
      await deriveHistory(original, derived, commits);
      perCommit.set(commits, await measure('derived', derived, root));
      await rm(derived, { recursive: true, force: true });
    }
    const growth = perCommit.get(60_000)! / perCommit.get(6000)!;
    console.log(
      `CPU per commit at 60,000 commits is ${growth.toFixed(2)} times that at 6,000 (at most ${WANTED.growth})`,
    );
    hold(growth <= WANTED.growth);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Prints the figures; gives seconds of CPU per commit. */
async function measure(name: string, repository: string, root: string): Promise<number> {
  const ids = await objectIds(repository, root);
  const git = `git --git-dir '${repository}'`;
  const programs = [
    `${git} rev-list --topo-order --reverse HEAD > '${root}/commits'`,
    `${git} diff-tree --stdin -z -r --root --always --no-renames --no-abbrev < '${root}/commits' | cat > /dev/null`,
    `${git} cat-file --batch --buffer < '${ids}' | cat > /dev/null`,
  ];
  const own = `'${process.execPath}' --import ./test/support/typescript.js '${fileURLToPath(import.meta.url)}' --ingest '${repository}'`;
  const alone: Spent[] = [];
  const ours: (Spent & Ingested)[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const parts = programs.map(spend);
    alone.push({ elapsed: sum(parts, 'elapsed'), cpu: sum(parts, 'cpu'), printed: '' });
    const spent = spend(own);
    ours.push({ ...spent, ...(JSON.parse(spent.printed.split('\n', 1)[0]) as Ingested) });
  }
  const [{ commits, files, objectChanges }] = ours as [Spent & Ingested];
  const gitElapsed = Math.min(...alone.map((one) => one.elapsed));
  const gitCpu = Math.min(...alone.map((one) => one.cpu));
  const elapsed = Math.min(...ours.map(({ seconds }) => seconds));
  const cpu = Math.min(...ours.map((one) => one.cpu));
  const mebibytes = Math.max(...ours.map((one) => one.mebibytes));
  console.log(`${name}: ${commits} commits, ${files} files, ${objectChanges} object changes`);
  console.log(`  git alone  ${gitElapsed.toFixed(2)} s, ${gitCpu.toFixed(2)} s of CPU`);
  console.log(
    `  ours       ${elapsed.toFixed(2)} s, ${cpu.toFixed(2)} s of CPU (start of Node included), ${Math.round(commits / elapsed)} commits/s, ${mebibytes} MiB`,
  );
  console.log(
    `  ratio      ${(elapsed / gitElapsed).toFixed(2)} elapsed, ${(cpu / gitCpu).toFixed(2)} of CPU (at most ${WANTED.ratio} elapsed, ${WANTED.mebibytes} MiB)`,
  );
  hold(elapsed / gitElapsed <= WANTED.ratio && mebibytes < WANTED.mebibytes);
  return cpu / commits;
}

/** Every commit, and every version of a file that a commit brought or took away, once, in the order of history. */
async function objectIds(repository: string, root: string): Promise<string> {
  const file = join(root, 'ids');
  const list = `git --git-dir '${repository}' rev-list --topo-order --reverse HEAD`;
  const diff = `git --git-dir '${repository}' diff-tree --stdin -r --root --always --no-renames --no-abbrev`;
  const child = spawn('sh', ['-c', `${list} | ${diff}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const out = createWriteStream(file);
  const known = new Set<string>();
  for await (const line of createInterface({ input: child.stdout })) {
    const [, , before, after] = line.split(' ');
    for (const id of line.startsWith(':') ? [before, after] : [line]) {
      if (/^0+$/.test(id) || known.has(id)) continue;
      known.add(id);
      out.write(`${id}\n`);
    }
  }
  await new Promise<void>((done) => out.end(done));
  return file;
}

function spend(command: string): Spent {
  const start = performance.now();
  const printed = execFileSync('sh', ['-c', `${command}\ntimes`], {
    encoding: 'utf8',
    env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
  });
  const elapsed = (performance.now() - start) / 1000;
  const children = printed.trimEnd().split('\n').at(-1)!;
  const cpu = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce((all, [, m, s]) => all + Number(m) * 60 + Number(s), 0);
  return { elapsed, cpu, printed };
}

function sum(of: readonly Spent[], what: 'elapsed' | 'cpu'): number {
  return of.reduce((all, one) => all + one[what], 0);
}

function hold(good: boolean): void {
  if (good) return;
  console.log('  ✗ not reached');
  process.exitCode = 1;
}
