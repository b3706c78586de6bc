// countersign history, the whole command: commits a second and memory. With an argument (a repository or a bundle) that history is
// judged; without, one of 3,000 made-up commits. `make bench ARGS=path`.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const COMMITS = 3000;
const FILES = 300;
const wanted = { commitsPerSecond: 500, mebibytes: 600 };

interface Line {
  readonly commits: number;
  readonly objectChanges: number;
  readonly seconds: number;
}

const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
try {
  const repository = join(folder, 'history.git');
  const [given] = process.argv.slice(2);
  if (given === undefined) makeUp(repository);
  else execFileSync('git', ['clone', '--quiet', '--bare', given, repository]);
  // The first run compiles the policy and keeps it; the others find it there, as any second run does.
  for (let run = 0; run < 3; run++) {
    const { line, mebibytes } = measure(repository);
    const rate = Math.round(line.commits / line.seconds);
    const good = rate >= wanted.commitsPerSecond && mebibytes <= wanted.mebibytes;
    console.log(
      `${good || run === 0 ? '✓' : '✗'} ${line.commits} commits, ${line.objectChanges} object changes in ${line.seconds.toFixed(2)} s: ` +
        `${rate} commits/s (wanted ${wanted.commitsPerSecond}), ${mebibytes} MiB at most (wanted ${wanted.mebibytes})`,
    );
    if (!good && run > 0) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function measure(repository: string): { line: Line; mebibytes: number } {
  const started = performance.now();
  const cli = resolve('dist/cli/main.js');
  // What the process itself says it took at most, printed when it is done.
  const tell = `process.on('exit', () => process.stderr.write('rss=' + process.resourceUsage().maxRSS))`;
  const preload = `data:text/javascript,${encodeURIComponent(tell)}`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--import', preload, cli, 'history', repository, '--output', 'json'],
    { encoding: 'utf8', maxBuffer: 2 ** 28 },
  );
  const seconds = (performance.now() - started) / 1000;
  if (status !== 0) throw new Error(`countersign history ended with ${status}: ${stderr}`);
  const line = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Line;
  // The command's own figure leaves out what Node takes to start; this one does not.
  return { line: { ...line, seconds }, mebibytes: Math.round(Number(/rss=(\d+)/.exec(stderr)?.[1]) / 1024) };
}

function makeUp(repository: string): void {
  execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', repository]);
  const stream: string[] = [];
  for (let i = 0; i < COMMITS; i++) {
    const message = `change ${i}`;
    stream.push('commit refs/heads/main', `committer Ann <ann@example.org> ${1_700_000_000 + i * 60} +0000`);
    stream.push(`data ${message.length}`, message);
    for (let n = 0; n < 2; n++) {
      const file = (i * 7 + n * 13) % FILES;
      const text = manifest(file, i);
      stream.push(`M 100644 inline apps/app-${file}/deployment.yaml`, `data ${text.length}`, text);
    }
  }
  execFileSync('git', ['--git-dir', repository, 'fast-import', '--quiet'], { input: `${stream.join('\n')}\n` });
}

function manifest(file: number, version: number): string {
  const container = (n: number) =>
    `        - name: c${n}\n          image: registry.example.org/app-${file}/${n}@sha256:${String(version).padStart(64, '0')}\n` +
    `          env:\n${Array.from({ length: 12 }, (_, e) => `            - {name: KEY_${e}, value: "${version * e}"}`).join('\n')}\n`;
  return (
    `apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-${file}\n  namespace: shop\nspec:\n  replicas: ${version % 7}\n` +
    `  template:\n    spec:\n      containers:\n${[0, 1, 2].map(container).join('')}`
  );
}
