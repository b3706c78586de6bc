// How fast signatures are verified, against `git log --format=%G?` over the same commits in the same run, both per second of CPU:
// rates depend on the machine, ratios hardly do. Fails below the ratios it was built for. Usage: node test/bench/signatures.bench.ts
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as OpenModule from '../../src/adapters/git/open.js';
import type * as ScratchModule from '../../src/adapters/git/scratch-repository.js';
import type * as KeyModule from '../../src/source/openpgp-key.js';
import type { Commit } from '../../src/source/repository.js';
import type * as SignersModule from '../../src/source/signers.js';
import { Keyring } from '../support/keyring.js';

/** What is measured is what is shipped: the build, typed as its sources. */
const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { openRepository } = (await built('adapters/git/open')) as typeof OpenModule;
const { allowedSigners, forgetPeople, person, ScratchRepository } = (await built(
  'adapters/git/scratch-repository',
)) as typeof ScratchModule;
const { readOpenPgpKeys } = (await built('source/openpgp-key')) as typeof KeyModule;
const { checkSignature, NO_SIGNERS, parseSigners } = (await built('source/signers')) as typeof SignersModule;

const COMMITS = 60;
const TIMES = 10;
const ROUNDS = 4;
const SECONDS_AHEAD = 3600;
const root = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
const keyring = await Keyring.create();

type Scratch = ScratchModule.ScratchRepository;

/** Seconds of CPU that a command and all that it starts take, by the shell's own account. */
function cpuOf(scratch: Scratch, command: string, variables: Record<string, string>): number {
  const printed = execFileSync('sh', ['-c', `${command} >"${root}/verdicts"; times`], {
    cwd: scratch.path,
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      LC_ALL: 'C',
      ...variables,
    },
  });
  const [, children = ''] = printed.split('\n');
  return [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, m, s]) => sum + Number(m) * 60 + Number(s), 0);
}

async function commitsOf(scratch: Scratch): Promise<Commit[]> {
  const repository = await openRepository(scratch.path);
  const commits: Commit[] = [];
  for await (const { commit } of repository.history({ head: await repository.resolve('HEAD') })) commits.push(commit);
  await repository.close();
  return commits;
}

function ours(commits: readonly Commit[], signers: SignersModule.Signers): number {
  const at = new Date(Date.now() + SECONDS_AHEAD * 1000);
  const round = (): void => {
    for (const commit of commits)
      if (checkSignature(commit, signers, at).status !== 'verified') throw new Error(`${commit.id} is not verified`);
  };
  round();
  return least(() => {
    const before = process.cpuUsage();
    for (let i = 0; i < TIMES; i++) round();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6 / TIMES;
  });
}

/** What a busy machine adds is never what the code costs: neither git's nor ours. */
function least(measure: () => number): number {
  return Math.min(...Array.from({ length: ROUNDS }, measure));
}

function rate(cpu: number, count: number): string {
  return (count / cpu).toFixed(0).padStart(7);
}

function report(kind: string, git: number, own: number, count: number): void {
  console.log(
    `${kind.padEnd(20)} git ${rate(git, count)}/CPU-s   ours ${rate(own, count)}/CPU-s   ratio ${(git / own).toFixed(1).padStart(6)}`,
  );
}

/** The kind as a whole is held to its ratio: which of its algorithms a machine is fast at is not ours. */
class Kind {
  #git = 0;
  #own = 0;
  #count = 0;

  constructor(
    private readonly name: string,
    private readonly wanted: number,
  ) {}

  add(algorithm: string, git: number, own: number): void {
    report(`${this.name} ${algorithm}`, git, own, COMMITS);
    this.#git += git;
    this.#own += own;
    this.#count += COMMITS;
  }

  hold(): void {
    report(`${this.name}, all`, this.#git, this.#own, this.#count);
    if (this.#git / this.#own >= this.wanted) return;
    console.log(`${this.name} is below the ${this.wanted} that it must reach`);
    process.exitCode = 1;
  }
}

try {
  const ssh = new Kind('SSH', 50);
  for (const type of ['ed25519', 'ecdsa', 'rsa'] as const) {
    const ann = await person('Ann', `ann-${type}@example.org`, type);
    const scratch = await ScratchRepository.create(join(root, type));
    for (let i = 0; i < COMMITS; i++) await scratch.commit({ author: ann, message: `${i}` });
    await writeFile(join(root, 'allowed'), allowedSigners([ann]));
    const git = least(() => cpuOf(scratch, `git -c gpg.ssh.allowedSignersFile="${root}/allowed" log --format=%G?`, {}));
    const signers = parseSigners({ text: allowedSigners([ann]), file: 'signers' });
    ssh.add(type, git, ours(await commitsOf(scratch), signers));
  }
  ssh.hold();
  const openpgpKind = new Kind('OpenPGP', 4);
  for (const algorithm of ['ed25519', 'nistp256', 'rsa2048', 'rsa4096']) {
    const key = await keyring.key(`Ann <ann-${algorithm}@example.org>`, { algorithm });
    const scratch = await ScratchRepository.create(join(root, `openpgp-${algorithm}`));
    for (let i = 0; i < COMMITS; i++) await keyring.commit(scratch, key);
    const git = least(() => cpuOf(scratch, 'git log --format=%G?', { GNUPGHOME: keyring.home }));
    const openpgp = await readOpenPgpKeys(await keyring.export(key), 'ann.asc', false);
    openpgpKind.add(algorithm, git, ours(await commitsOf(scratch), { ...NO_SIGNERS, openpgp }));
  }
  openpgpKind.hold();
} finally {
  await keyring.close();
  await forgetPeople();
  await rm(root, { recursive: true, force: true });
}
