import { execFileSync } from 'node:child_process';
import {
  createRepository,
  person,
  type Person,
  ScratchRepository,
  temporaryFolder,
} from '../../test/support/git-fixture.js';
import { NativeRepository } from '../adapters/git/native.js';
import { describeIdentity } from '../cluster/object.js';
import { renderedDigest } from '../cluster/rendered.js';
import { Redactor } from '../cluster/secret.js';
import type { Repository } from '../source/repository.js';
import type { Environment } from './environment.js';
import { ManifestCache } from './manifest-cache.js';
import { proposeChange, type ProposedChange } from './proposed-change.js';

const folder = temporaryFolder();
const environment: Environment = {
  name: 'prod',
  path: 'env',
  ref: 'refs/heads/main',
  target: null,
  namespace: 'shop',
  labels: {},
  ignore: ['ignored/**'],
};
const configMap = (name: string, value: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {v: "${value}"}\n`;
let scratch: ScratchRepository;
let repository: Repository;
let ann: Person;
let names = 0;

const commit = (files: Record<string, string>, remove: string[] = []) =>
  scratch.commit({ author: ann, sign: false, message: 'change', files, delete: remove });
const propose = (
  base: string | null,
  head: string,
  of = environment,
  was?: typeof environment,
): Promise<ProposedChange> =>
  proposeChange(repository, of, base, head, {
    checkSignature: () => ({ kind: 'none', status: 'none' }),
    cache: new ManifestCache(),
    was,
  });
const brief = (change: ProposedChange) =>
  change.changes.map((c) => `${c.op} ${describeIdentity(c.identity)} ${c.source.path}:${c.source.line}`);
const problems = (change: ProposedChange) => change.problems.map((p) => [p.code, p.place?.file, p.place?.line]);

beforeEach(async () => {
  ann = await person('Ann', 'ann@example.org');
  scratch = await createRepository(folder.path(`r${names++}`));
  repository = await NativeRepository.open(scratch.path);
});
afterEach(() => repository.close());

describe('proposeChange', () => {
  it('gives commits, net object changes with patches and lines, and the whole environment at head', async () => {
    const base = await commit({
      'env/a.yaml': configMap('a', '1'),
      'env/sub/b.yml': configMap('b', '1'),
      'outside.yaml': configMap('x', '1'),
    });
    await commit({ 'env/a.yaml': `# moved down\n${configMap('a', '2')}---\n${configMap('c', '1')}` });
    const head = await commit({ 'outside.yaml': configMap('x', '2') }, ['env/sub/b.yml']);
    const change = await propose(base, head);
    expect(brief(change)).toEqual([
      'update ConfigMap shop/a env/a.yaml:2',
      'delete ConfigMap shop/b env/sub/b.yml:1',
      'create ConfigMap shop/c env/a.yaml:7',
    ]);
    expect(change.changes[0]?.patch).toEqual([{ op: 'replace', path: '/data/v', value: '2' }]);
    expect(change.commits).toHaveLength(2);
    expect(change.rendered.map((o) => o.identity.name)).toEqual(['a', 'c']);
    expect(change.headTree).toMatch(/^[0-9a-f]{40}$/);
  });

  it('when nothing was approved before, creates everything', async () => {
    const head = await commit({ 'env/a.yaml': configMap('a', '1') });
    expect(brief(await propose(null, head))).toEqual(['create ConfigMap shop/a env/a.yaml:1']);
  });

  it.each([
    ['its target moves', { target: 'other' }, ['create ConfigMap shop/a env/a.yaml:1', 'create ConfigMap shop/b env/b.yaml:1']], // prettier-ignore
    ['its folder moves', { path: 'never-judged' }, ['delete ConfigMap shop/a env/a.yaml:1', 'delete ConfigMap shop/b env/b.yaml:1', 'create ConfigMap shop/x never-judged/x.yaml:1']], // prettier-ignore
    ['its namespace moves', { namespace: 'blog' }, ['create ConfigMap blog/a env/a.yaml:1', 'create ConfigMap blog/b env/b.yaml:1', 'delete ConfigMap shop/a env/a.yaml:1', 'delete ConfigMap shop/b env/b.yaml:1']], // prettier-ignore
    ['less of it is ignored', { ignore: [] }, ['create ConfigMap shop/old env/old/o.yaml:1']],
    ['only its ref and labels differ', { ref: 'refs/heads/live', labels: { tier: 'x' } }, []],
  ])('when %s at one commit, what comes and goes by that is a change', async (_what, is, changes) => {
    await commit({ 'env/b.yaml': configMap('b', '1'), 'never-judged/x.yaml': configMap('x', '1') });
    const head = await commit({ 'env/a.yaml': configMap('a', '1'), 'env/old/o.yaml': configMap('old', '1') });
    const was = { ...environment, ignore: ['old/**'] };
    const change = await propose(head, head, { ...was, ...is }, was);
    expect(new Set(brief(change))).toEqual(new Set(changes));
    expect(change.commits).toEqual([]);
  });

  it('when an object moves to another file, does not change it', async () => {
    const base = await commit({ 'env/a.yaml': configMap('a', '1') });
    const head = await commit({ 'env/b.yaml': configMap('a', '1') }, ['env/a.yaml']);
    expect(brief(await propose(base, head))).toEqual([]);
  });

  it('gives the same from any base through incremental reading as from the whole (property)', async () => {
    let seed = 1;
    const next = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    const commits: string[] = [await commit({ 'env/f0.yaml': configMap('o0', '0') })];
    for (let i = 1; i < 12; i++) {
      const files: Record<string, string> = {};
      for (let f = 0; f <= next(3); f++) {
        const file = next(5);
        files[`env/f${file}.yaml`] = [0, 1, 2]
          .map((o) => (next(3) ? configMap(`o${file * 3 + o}`, String(next(3))) : ''))
          .join('---\n');
      }
      if (i === 5) files['env/Kustomization'] = 'resources: []\n';
      commits.push(await commit(files, i === 8 ? ['env/Kustomization'] : []));
    }
    const redactor = new Redactor(Buffer.alloc(32), 'k');
    for (const [i, head] of commits.entries()) {
      const base = commits[next(i + 1)];
      const change = await propose(base, head);
      const state = new Map((await propose(null, base)).rendered.map((o) => [o.identity.name, o]));
      for (const { op, identity, after } of change.changes) {
        expect(state.has(identity.name)).toBe(op !== 'create');
        if (after) state.set(identity.name, { identity, object: after, source: { path: '', line: 1 } });
        else state.delete(identity.name);
      }
      expect(renderedDigest([...state.values()], redactor)).toBe(renderedDigest(change.rendered, redactor));
    }
  });

  it('names every file that cannot be read, each with its place, and reads the others', async () => {
    const head = await commit({
      'env/good.yaml': configMap('good', '1'),
      'env/bad.yaml': 'a: [1\nb: 2\n',
      'env/twice.yaml': `${configMap('a', '1')}kind: Secret\n`,
      'env/lfs.yaml': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n',
      'env/Good.yaml': configMap('other', '1'),
      'env/cafe\u0301.yaml': configMap('decomposed', '1'),
      'env/caf\u00e9.yaml': configMap('composed', '1'),
      'env/ignored/bad.yaml': 'a: [',
      'env/README.md': '# not a manifest',
      'env/values.yaml': 'a: 1\n---\nb: 2\n',
    });
    const change = await propose(null, head);
    expect(problems(change)).toEqual([
      ['manifest-malformed', 'env/caf\u00e9.yaml', undefined],
      ['manifest-malformed', 'env/good.yaml', undefined],
      ['manifest-malformed', 'env/bad.yaml', 2],
      ['manifest-malformed', 'env/lfs.yaml', undefined],
      ['manifest-duplicate-key', 'env/twice.yaml', 5],
    ]);
    expect(change.problems.every((p) => p.remedy)).toBe(true);
    expect(change.otherDocuments).toEqual(new Map([['env/values.yaml', 2]]));
    expect(change.rendered.map((o) => o.identity.name).toSorted()).toEqual(['decomposed', 'other']);
  });

  it('when two files define one object, names both places', async () => {
    const head = await commit({ 'env/a.yaml': configMap('a', '1'), 'env/b.yaml': `\n${configMap('a', '2')}` });
    const [problem] = (await propose(null, head)).problems;
    expect(problem).toMatchObject({ code: 'object-duplicate', place: { file: 'env/b.yaml', line: 2 } });
    expect(problem?.message).toContain('env/a.yaml:1');
  });

  it('when an object was defined twice and one definition goes, does not take it for deleted', async () => {
    const base = await commit({ 'env/a.yaml': configMap('a', '1'), 'env/b.yaml': configMap('a', '1') });
    const head = await commit({}, ['env/b.yaml']);
    expect(brief(await propose(base, head))).toEqual([]);
  });

  it('never follows a symbolic link nor a submodule', async () => {
    const blob = await scratch.git('rev-parse', `${await commit({ link: '../../etc/passwd' })}:link`);
    await scratch.git('update-index', '--add', '--cacheinfo', `120000,${blob},env/link.yaml`);
    await scratch.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},env/module`);
    await scratch.git('commit', '-qm', 'links');
    expect(problems(await propose(null, await scratch.head()))).toEqual([
      ['manifest-malformed', 'env/link.yaml', undefined],
      ['manifest-malformed', 'env/module', undefined],
    ]);
  });

  it('refuses names that a disk takes for one: by case, and by how characters are composed', async () => {
    const head = await commit({
      'env/caf\u00e9.yaml': configMap('one', '1'),
      'env/cafe\u0301.yaml': configMap('two', '2'),
      'env/\u00c5.yaml': configMap('three', '3'),
      'env/a\u030a.yaml': configMap('four', '4'),
    });
    const change = await propose(null, head);
    expect(change.problems.map(({ message }) => message)).toEqual([
      expect.stringContaining(
        'differs from env/cafe\u0301.yaml only in case or in how characters are composed',
      ) as string,
      expect.stringContaining('differs from env/a\u030a.yaml only in case') as string,
    ]);
    expect(change.rendered).toHaveLength(2);
  });

  it('names folders of Kustomize and Helm, and reads nothing in them', async () => {
    const head = await commit({
      'env/app/kustomization.yaml': 'resources: [a.yaml]\n',
      'env/app/a.yaml': configMap('a', '1'),
      'env/app/overlays/x/kustomization.yml': '',
      'env/chart/Chart.yaml': 'name: x\n',
      'env/chart/templates/a.yaml': '{{ if }}',
      'env/plain.yaml': configMap('plain', '1'),
    });
    const change = await propose(null, head);
    expect(change.notRendered).toEqual(['env/app', 'env/chart']);
    expect(change.problems).toEqual([]);
    expect(change.rendered.map((o) => o.identity.name)).toEqual(['plain']);
  });

  it('when no namespace is known, says where one is missing', async () => {
    const head = await commit({ 'env/a.yaml': `\n${configMap('a', '1')}` });
    expect(problems(await propose(null, head, { ...environment, namespace: null }))).toEqual([
      ['namespace-missing', 'env/a.yaml', 2],
    ]);
  });

  it('when a manifest has 50 MB, refuses it without reading it', async () => {
    const head = await commit({ 'env/big.yaml': 'a: bcdefghi\n'.repeat(4_200_000) });
    expect(problems(await propose(null, head))).toEqual([['manifest-too-large', 'env/big.yaml', undefined]]);
  });

  it('when an alias bomb is in a file, refuses that file at once', async () => {
    const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(',')}]`);
    const head = await commit({ 'env/bomb.yaml': `a0: &a0 [lol]\n${levels.join('\n')}\n` });
    const started = performance.now();
    expect(problems(await propose(null, head))[0]?.[0]).toBe('manifest-aliases');
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('a change of thousands of commits', () => {
  it('lists all up to the limit, and is denied for what is beyond it', async () => {
    const many = 4_000;
    const stream = Array.from(
      { length: many },
      (_, i) => `commit refs/heads/long\ncommitter Ann <ann@example.org> ${1_700_000_000 + i} +0000\ndata 1\nc\n`,
    );
    execFileSync('git', ['fast-import', '--quiet'], { cwd: scratch.path, input: stream.join('') });
    const head = (await scratch.git('rev-parse', 'long')).trim();
    const options = { checkSignature: () => ({ kind: 'none', status: 'none' }) as const, cache: new ManifestCache() };
    const all = await proposeChange(repository, environment, null, head, { ...options, mostCommits: many });
    expect([all.commits.length, all.problems]).toEqual([many, []]);
    const cut = await proposeChange(repository, environment, null, head, { ...options, mostCommits: many - 1 });
    expect(cut.commits).toHaveLength(many - 1);
    expect(cut.problems).toMatchObject([
      { code: 'change-too-large', message: expect.stringContaining(`more than ${many - 1} commits`) as string },
    ]);
  });
});
