import { runCli } from '../support/cli.js';
import { createRepository, person, ScratchRepository, temporaryFolder } from '../support/git-fixture.js';
import type { HistoryLine } from '../../src/report/history-summary.js';

const folder = temporaryFolder();
const pod = (name: string, image: string) =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec: {containers: [{name: c, image: "${image}"}]}\n`;
const pinned = `nginx@sha256:${'0'.repeat(64)}`;
const last = (stdout: string) => JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as HistoryLine;

const line = async (path: string) => last((await runCli(['history', path, '--output', 'json'])).stdout);

describe('countersign history', () => {
  let scratch: ScratchRepository;

  beforeAll(async () => {
    const ann = await person('Ann', 'ann@example.org');
    const commit = (message: string, files: Record<string, string>) =>
      scratch.commit({ author: ann, sign: false, message, files });
    scratch = await createRepository(folder.path('repository'));
    await commit('good', { 'a/pod.yaml': pod('a', pinned), 'b/pod.yaml': pod('a', pinned) });
    await commit('bad', { 'a/pod.yaml': pod('a', 'nginx:1') });
    await commit('words', { 'README.md': 'hello' });
    await commit('template', { 't.yaml': '{{ if }}\n' });
    await commit('fixed', { 'a/pod.yaml': pod('a', pinned), 't.yaml': 'kind: None\n' });
    await scratch.checkout('side', 'HEAD~2');
    await commit('bad aside', { 'c.yaml': pod('c', 'nginx:2') });
    await scratch.checkout('main');
    await scratch.merge('side', { author: ann, sign: false, message: 'merge' });
  });

  it('judges every commit once and ends with one line of JSON in which allowed and denied make up all commits', async () => {
    const { code, stdout, stderr } = await runCli(['history', scratch.path, '--output', 'json']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const line = last(stdout);
    expect(line).toMatchObject({ commits: 7, objectChanges: 6, allowed: 4, denied: 3, errors: 0, unreadable: 1 });
    expect(line.byRule).toEqual({ 'images.pinned': 3 });
    // Told, not counted: nobody could have signed for a policy that was not there.
    expect(line.notCounted).toEqual({ 'commits.signed': 7 });
    expect(line.seconds).toBeGreaterThan(0);
  });

  it('with --profile strict counts signatures, too', async () => {
    const { stdout } = await runCli(['history', scratch.path, '--profile', 'strict', '--output', 'json']);
    expect(last(stdout)).toMatchObject({ commits: 7, allowed: 0, denied: 7 });
  });

  it('gives the same for a bare clone', async () => {
    const bare = await ScratchRepository.clone(scratch.path, folder.path('bare'), '--bare');
    const [one, other] = [await line(scratch.path), await line(bare.path)];
    expect({ ...other, seconds: 0 }).toEqual({ ...one, seconds: 0 });
  });

  it('for people names each denied commit, oldest first, and why', async () => {
    const { stdout } = await runCli(['history', scratch.path]);
    expect(
      stdout
        .split('\n')
        .filter((line) => line.startsWith('✗'))
        .map((line) => line.split('  ').at(-1)),
    ).toEqual(['bad', 'bad aside', 'merge']);
    expect(stdout).toMatch(/images\.pinned {2}a\/pod\.yaml:1 {2}image "nginx:1"/);
    expect(last(stdout).commits).toBe(7);
  });

  it('for programs prints a line a commit', async () => {
    const { stdout } = await runCli(['history', scratch.path, '--output', 'jsonl', '--base', 'HEAD~1']);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { id?: string; outcome?: string });
    expect(lines.map(({ id, outcome }) => (id ? outcome : 'end'))).toEqual(['deny', 'deny', 'end']);
  });

  it.each([
    ['an empty repository', async () => (await createRepository(folder.path('empty'))).path, /no commits yet/],
    ['a folder that is no repository', async () => folder.path(), /not a Git repository|Name a work tree/],
  ])('when pointed at %s, says what to do and exits with 2', async (_what, path, says) => {
    const { code, stderr } = await runCli(['history', await path()]);
    expect(code).toBe(2);
    expect(stderr).toMatch(says);
  });
});
