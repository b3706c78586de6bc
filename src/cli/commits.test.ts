import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, truncate, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { runCli } from '../../test/support/cli.js';
import {
  allowedSigners,
  createRepository,
  person,
  temporaryFolder,
  type Person,
  type ScratchRepository,
} from '../../test/support/git-fixture.js';

const folder = temporaryFolder();
let ann: Person;
let bo: Person;
let repository: ScratchRepository;

beforeAll(async () => {
  [ann, bo] = await Promise.all([person('Ann', 'ann@example.org'), person('Bo\u202e\u0007 <b', 'bo@example.org')]);
  repository = await createRepository(folder.path('governed'));
  const files = { '.countersign/allowed_signers': allowedSigners([ann]), 'a.yaml': 'a: 1\n' };
  await repository.commit({ author: ann, message: 'govern', files });
  await repository.commit({ author: bo, message: 'by somebody else', files: { 'b\u001b[31m.yaml': 'b' } });
  await repository.checkout('side', 'main~1');
  await repository.commit({ author: ann, sign: false, message: 'not signed', delete: ['a.yaml'] });
  await repository.checkout('main');
  await repository.merge('side', { author: ann, message: 'merge' });
  const key = ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${ann.keyFile}`];
  await repository.git(...key, 'tag', '-s', '-m', 'release', 'v1', 'main~1');
  await repository.git('tag', '-a', '-m', 'mark', 'mark', 'main~1');
});

const lines = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('countersign commits', () => {
  it('shows annotated tags with their own signatures beside the commits they are of', async () => {
    const { stdout } = await runCli(['commits', repository.path, '--output', 'jsonl']);
    const tagged = lines(stdout).filter(({ tags }) => tags !== undefined);
    const object = await repository.git('rev-parse', 'main~1');
    expect(tagged.map(({ id }) => id)).toEqual([object]);
    expect(tagged[0]).toMatchObject({
      tags: [
        { tag: 'mark', object, signature: { status: 'none' } },
        { tag: 'v1', object, signature: { kind: 'ssh', status: 'verified', principal: 'ann@example.org' } },
      ],
    });
    const text = await runCli(['commits', repository.path]);
    expect(text.stdout).toContain('  mark (not signed) v1 (ann@example.org)\n');
  });

  it('prints every commit with its people, signature and files, parents first', async () => {
    const { code, stdout, stderr } = await runCli(['commits', repository.path, '--output', 'jsonl']);
    expect([code, stderr]).toEqual([0, '']);
    const commits = lines(stdout);
    const git = await repository.git('rev-list', '--topo-order', '--reverse', 'HEAD');
    expect(commits.map(({ id }) => id)).toEqual(git.split('\n'));
    expect(commits[0]).toMatchObject({
      parents: [],
      author: { name: 'Ann', email: 'ann@example.org', time: expect.stringMatching(/^\d{4}-.*[+-]\d\d:\d\d$/) },
      signature: {
        kind: 'ssh',
        status: 'verified',
        principal: 'ann@example.org',
        key: expect.stringMatching(/^SHA256:/),
      },
      files: [
        { path: '.countersign/allowed_signers', op: 'add', mode: '100644' },
        { path: 'a.yaml', op: 'add', mode: '100644' },
      ],
    });
    const statuses = new Map(
      commits.map(({ message, signature }) => [message, (signature as { status: string }).status]),
    );
    expect(statuses).toEqual(
      new Map([
        ['govern\n', 'verified'],
        ['by somebody else\n', 'unknown_key'],
        ['not signed\n', 'none'],
        ['merge\n', 'verified'],
      ]),
    );
    expect(commits.find(({ message }) => message === 'not signed\n')?.['files']).toEqual([
      { path: 'a.yaml', op: 'delete', mode: '100644' },
    ]);
  });

  it('keeps control and bidirectional characters as data, and lets none reach the terminal', async () => {
    for (const output of ['jsonl', 'json', 'text']) {
      const { stdout } = await runCli(['commits', repository.path, '--output', output]);
      // eslint-disable-next-line no-control-regex
      expect(stdout.replaceAll('\n', '')).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202a-\u202e]/);
    }
    const { stdout } = await runCli(['commits', repository.path, '--output', 'json']);
    const all = JSON.parse(stdout) as { author: { name: string }; files: { path: string }[] }[];
    expect(all.some(({ author }) => author.name.includes('\u202e\u0007'))).toBe(true);
    expect(all.some(({ files }) => files.some(({ path }) => path === 'b\u001b[31m.yaml'))).toBe(true);
  });

  it('takes signers, revocations and a range from its options', async () => {
    await writeFile(folder.path('signers'), allowedSigners([bo]));
    const { stdout } = await runCli([
      'commits',
      repository.path,
      '--output',
      'jsonl',
      '--head',
      'HEAD^1',
      '--base',
      'HEAD~2',
      '--signers',
      folder.path('signers'),
    ]);
    expect(lines(stdout)).toMatchObject([
      { message: 'by somebody else\n', signature: { status: 'verified', principal: 'bo@example.org' } },
    ]);
    await writeFile(folder.path('revoked'), `${ann.publicKey}\n`);
    const revoked = await runCli([
      'commits',
      repository.path,
      '--output',
      'jsonl',
      '--revoked',
      folder.path('revoked'),
    ]);
    expect(lines(revoked.stdout)[0]).toMatchObject({ signature: { status: 'revoked' } });
  });

  it('works on a bare repository, from inside a work tree, and without an argument', async () => {
    await repository.git('clone', '--quiet', '--bare', '.', folder.path('bare.git'));
    const bare = await runCli(['commits', folder.path('bare.git'), '--output', 'jsonl']);
    const inside = await runCli(['commits', '--output', 'jsonl'], { cwd: join(repository.path, '.countersign') });
    expect([bare.code, lines(bare.stdout).length, inside.stdout]).toEqual([0, 4, bare.stdout]);
  });

  it('gives the same answer on a machine without git', async () => {
    const args = ['commits', repository.path, '--output', 'jsonl'];
    const without = await runCli(args, { env: { PATH: '/nonexistent' } });
    expect(without).toEqual(await runCli(args));
  });

  it.each([
    ['a place with nothing in it', ['commits', '/no/such/place'], 'there is nothing at /no/such/place. Check the path'],
    ['a folder that is no repository', ['commits', '/'], '/ is not a Git repository. Name a work tree'],
    ['an unknown revision', ['commits', '--head', 'nope'], 'has no commit "nope". Check the name'],
    ['signers that are not there', ['commits', '--signers', '/no/such/file'], '/no/such/file cannot be read'],
    ['an unknown format', ['commits', '--output', 'xml'], 'Allowed choices are text, json, jsonl'],
    ['an unknown command', ['comits'], "unknown command 'comits'"],
    ['no command', [], 'Usage: countersign'],
  ])('answers %s with 2 and one clear sentence', async (_name, args, sentence) => {
    const { code, stdout, stderr } = await runCli(args, { cwd: repository.path });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it('says so when there is no commit yet', async () => {
    const empty = await createRepository(folder.path('empty'));
    expect(await runCli(['commits', empty.path])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('has no commits yet. Commit something first'),
    });
  });

  it('refuses allowed signers that cannot be read exactly, with file and line', async () => {
    const broken = await createRepository(folder.path('broken-signers'));
    const files = {
      '.countersign/allowed_signers': '# ours\nann@example.org valid-before="20260101" ssh-ed25519 AAAA\n',
    };
    await broken.commit({ author: ann, message: 'x', files });
    expect(await runCli(['commits', broken.path])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('.countersign/allowed_signers:2  valid-before 20260101 does not say its zone'),
    });
  });

  it('says which object is damaged', async () => {
    const damaged = await createRepository(folder.path('damaged'));
    await damaged.commit({ author: ann, message: 'x', files: { 'd/a': 'b' } });
    const tree = await damaged.git('rev-parse', 'HEAD:d');
    const file = join(damaged.path, '.git/objects', tree.slice(0, 2), tree.slice(2));
    await rm(file);
    await writeFile(file, 'nonsense');
    await truncate(file, 5);
    const { code, stderr } = await runCli(['commits', damaged.path]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/is damaged: .*Run git fsck/)]);
  });

  it('ends quietly when its reader has seen enough', async () => {
    const many = await createRepository(folder.path('many'));
    for (let i = 0; i < 30; i++) await many.commit({ author: ann, sign: false, message: 'x'.repeat(20_000) });
    const child = spawn(process.execPath, [resolve('dist/cli/main.js'), 'commits', many.path, '--output', 'jsonl'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += String(chunk)));
    child.stdout.once('data', () => child.stdout.destroy());
    const [code] = (await once(child, 'close')) as [number];
    expect([code, stderr]).toEqual([0, '']);
  });
});
