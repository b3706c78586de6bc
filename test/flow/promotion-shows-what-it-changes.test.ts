import { execFileSync } from 'node:child_process';
import { runCli } from '../support/cli.js';
import {
  allowedSigners,
  createRepository,
  person,
  type Person,
  type ScratchRepository,
  temporaryFolder,
} from '../support/git-fixture.js';
import { startTestService } from '../support/service.js';
import { eventually } from '../support/world.js';

const folder = temporaryFolder();
const pod = (image: string) => `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: "${image}"}]}\n`; // prettier-ignore
const pinned = (digit: string) => `nginx@sha256:${digit.repeat(64)}`;
const settings = `apiVersion: countersign.dev/v1
environments:
  - {name: "shop/*", path: "environments/*/", namespace: shop}
  - {name: canary, path: environments/staging, ref: refs/heads/canary, namespace: shop}
`;

interface Told {
  readonly from: { readonly commit: string };
  readonly outcome: string;
  readonly commands: readonly string[];
  readonly environments: readonly { readonly name: string; readonly changes: readonly { op: string }[] }[];
}

describe('countersign promote', () => {
  let scratch: ScratchRepository;
  const promote = async (from: string, to: string, ...more: string[]) => runCli(['promote', scratch.path, '--from', from, '--to', to, ...more]); // prettier-ignore

  let ann: Person;

  beforeAll(async () => {
    ann = await person('Ann', 'ann@example.org');
    scratch = await createRepository(folder.path('shop'));
    await scratch.commit({
      author: ann,
      sign: false,
      message: 'begin',
      files: {
        'countersign.yaml': settings,
        '.countersign/allowed_signers': allowedSigners([ann]),
        'environments/staging/pod.yaml': pod(pinned('1')),
        'environments/staging/more/map.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n',
        'environments/production/pod.yaml': pod(pinned('0')),
        'environments/production/old.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n',
        'environments/broken/pod.yaml': pod('nginx:latest'),
      },
    });
    await scratch.checkout('canary', 'HEAD');
    await scratch.checkout('main');
    await scratch.commit({ author: ann, sign: false, message: 'next', files: { 'environments/staging/pod.yaml': pod(pinned('2')) } }); // prettier-ignore
  });

  it('lists the environments of a template and the commit that each holds', async () => {
    const { stdout } = await runCli(['environments', scratch.path, '--output', 'json']);
    const listed = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as { name: string; commit: string }); // prettier-ignore
    expect(listed.map(({ name }) => name)).toEqual(['canary', 'shop/broken', 'shop/production', 'shop/staging']);
    expect(new Set(listed.map(({ commit }) => commit)).size).toBe(2);
  });

  it('shows what one folder in place of another would change; the commands that it prints do just that', async () => {
    const { stdout, code } = await promote('shop/staging', 'shop/production', '--output', 'json');
    const { environments, commands } = JSON.parse(stdout) as Told;
    expect(environments[0].name).toBe('shop/production');
    expect(environments[0].changes.map(({ op }) => op).toSorted()).toEqual(['create', 'delete', 'update']);
    expect(code).toBe(0);
    const clone = folder.path('clone');
    execFileSync('git', ['clone', '-q', scratch.path, clone]);
    const script = commands.filter((line) => !line.startsWith('git push')).join('\n').replace(' -S ', ' '); // prettier-ignore
    execFileSync('sh', ['-ec', script], { cwd: clone, env: { ...process.env, GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@x', GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@x' } }); // prettier-ignore
    const tree = (path: string) => execFileSync('git', ['rev-parse', `HEAD:environments/${path}`], { cwd: clone, encoding: 'utf8' }); // prettier-ignore
    expect(tree('production')).toBe(tree('staging'));
  });

  it('shows what a branch would change that moves to the commit of another', async () => {
    const { stdout } = await promote('shop/staging', 'canary', '--output', 'json');
    const { commands, environments, from } = JSON.parse(stdout) as Told;
    expect(environments[0].changes).toHaveLength(1);
    expect(commands).toEqual([`git push origin ${from.commit}:refs/heads/promote/canary`]);
  });

  it('says what policy would deny, and refuses what is no promotion', async () => {
    const denied = await promote('shop/broken', 'shop/production');
    expect(denied.code).toBe(1);
    expect(denied.stdout).toMatch(/images\.pinned/);
    expect(denied.stdout).toMatch(/update {2}Pod shop\/a {2}environments\/production\/pod\.yaml:1/);
    const same = await promote('shop/staging', 'shop/staging');
    expect([same.code, same.stderr]).toEqual([2, expect.stringContaining('have the same folder and branch')]);
    const unknown = await promote('shop/stagin', 'canary');
    expect(unknown.stderr).toMatch(/there is no environment "shop\/stagin"/);
  });

  it('is told by the service as by the command line, with the commit that each environment holds and its signed tags', async () => {
    const head = await scratch.head();
    const canary = await scratch.head('canary');
    const sign = ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${ann.keyFile}`, 'tag', '-s', '-m', 'release'];
    await scratch.git(...sign, 'v1', head);
    await scratch.git('tag', '-a', '-m', 'notes', 'unsigned', head);
    await scratch.git('tag', 'light', head);
    // History that nobody follows is not brought here by its tags.
    await scratch.checkout('side', canary);
    const side = await scratch.commit({ author: ann, sign: false, message: 'side', files: { side: '1' } });
    await scratch.git(...sign, 'side', side);
    await scratch.checkout('main');
    const service = await startTestService(
      `  - {name: shop, url: ${scratch.path}, refs: [refs/heads/main, refs/heads/canary], trust: {commit: ${head}}}`,
    );
    try {
      const held = async () =>
        (await service.query<{ holdings: readonly Record<string, unknown>[] }>(
          '{ holdings(repository: "shop") { environment path ref target pinned commitId commit { id } } }',
        )).holdings; // prettier-ignore
      await eventually('something to govern', async () => (await held()).length > 0);
      const common = { target: null, pinned: false };
      const main = { ...common, ref: 'refs/heads/main', commitId: head, commit: { id: head } };
      expect(await held()).toEqual([
        { ...common, environment: 'canary', path: 'environments/staging', ref: 'refs/heads/canary', commitId: canary, commit: { id: canary } }, // prettier-ignore
        ...['broken', 'production', 'staging'].map((one) => ({ ...main, environment: `shop/${one}`, path: `environments/${one}` })), // prettier-ignore
      ]);

      const query = `query ($from: String!, $to: String!) { promotion(repository: "shop", from: $from, to: $to) {
        from { commitId } to { commitId } kind outcome violations { rule } required { rule } objectChangeCount
        objectChanges { op object { kind namespace name } source { path line } patch } commands } }`;
      for (const [from, to, kind] of [
        ['shop/staging', 'shop/production', 'folder'],
        ['shop/broken', 'shop/production', 'folder'],
        ['shop/staging', 'canary', 'branch'],
      ]) {
        const told = JSON.parse((await promote(from, to, '--output', 'json')).stdout) as Told;
        const { promotion } = await service.query<{ promotion: Record<string, any> }>(query, { from, to });
        const { changes } = told.environments[0];
        expect(promotion).toMatchObject({
          kind,
          outcome: told.outcome,
          from: { commitId: told.from.commit },
          commands: told.commands,
          objectChangeCount: changes.length,
          objectChanges: changes.map(({ op }) => ({ op })),
        });
      }
      await expect(service.query(query, { from: 'shop/staging', to: 'nowhere' })).rejects.toThrow(/no environment/);
      await expect(service.query(query, { from: 'canary', to: 'canary' })).rejects.toThrow(/same folder and branch/);

      const tags = async () => {
        const { commit } = await service.query<{ commit: { tags: readonly Record<string, any>[] } }>(
          `{ commit(repository: "shop", id: "${head}") { tags { tag object signature { kind status principal } } } }`,
        );
        return commit.tags;
      };
      expect(await tags()).toEqual([
        { tag: 'unsigned', object: head, signature: { kind: 'none', status: 'none', principal: null } },
        { tag: 'v1', object: head, signature: { kind: 'ssh', status: 'verified', principal: 'ann@example.org' } },
      ]);
      const mirror = `${service.data}/mirrors/shop.git`;
      expect(() => execFileSync('git', ['--git-dir', mirror, 'cat-file', '-e', side], { stdio: 'ignore' })).toThrow(
        'cat-file',
      );
    } finally {
      await service.close();
    }
  }, 120_000);
});
