import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { runCli } from '../support/cli.js';
import {
  allowedSigners,
  createRepository,
  person,
  type Person,
  type ScratchRepository,
  temporaryFolder,
} from '../support/git-fixture.js';

const folder = temporaryFolder();
const pinned = `nginx@sha256:${'0'.repeat(64)}`;
const deployment = (image: string, more = '') =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n  template:\n    spec:\n      containers: [{name: c, image: "${image}"}]\n${more}`;
const settings = `apiVersion: countersign.dev/v1
environments:
  - {name: shop/production, path: environments/production, namespace: shop}
  - {name: shop/staging, path: environments/staging, ref: refs/heads/staging, namespace: shop}
`;
const production = 'environments/production/cart.yaml';
const never = 'package countersign.never\n\ndeny contains "never" if input.kind\n';

let ann: Person;
let names = 0;
let scratch: ScratchRepository;

const check = (...args: string[]) => runCli(['check', scratch.path, ...args]);
const commit = (message: string, files: Record<string, string>, remove: string[] = []) =>
  scratch.commit({ author: ann, message, files, delete: remove });

interface Answer {
  readonly outcome: string;
  readonly environments: {
    readonly name: string;
    readonly changes: unknown[];
    readonly commits: unknown[];
    readonly violations: {
      readonly rule: string;
      readonly source?: { path: string; line: number };
      readonly fix?: string;
    }[];
  }[];
  readonly notes: string[];
}
const parse = (stdout: string) => JSON.parse(stdout) as Answer;

beforeEach(async () => {
  ann = await person('Ann', 'ann@example.org');
  scratch = await createRepository(folder.path(`r${names++}`));
  await commit('start', {
    'countersign.yaml': settings,
    '.countersign/allowed_signers': allowedSigners([ann]),
    [production]: deployment(pinned),
  });
  await scratch.checkout('feature', 'main');
});

const imageOf = (name: string, digit: string) =>
  `image "registry.example.org/${name}@sha256:${digit.repeat(64)}" of container "${name}"`;

describe('countersign check', () => {
  it('when images must have provenance, takes the word of governed keys alone, and says what does not hold', async () => {
    const [builder, stranger] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
    const attested = (name: string, digit: string, { privateKey } = builder): string => {
      const payload = Buffer.from(JSON.stringify({
        _type: 'https://in-toto.io/Statement/v1',
        subject: [{ name: `registry.example.org/${name}`, digest: { sha256: digit.repeat(64) } }],
        predicateType: 'https://slsa.dev/provenance/v1',
        predicate: { buildDefinition: {}, runDetails: { builder: { id: 'https://ci.example.org/1' } } },
      })); // prettier-ignore
      const type = 'application/vnd.in-toto+json';
      const sig = sign(null, Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]), privateKey); // prettier-ignore
      return JSON.stringify({ payload: payload.toString('base64'), payloadType: type, signatures: [{ sig: sig.toString('base64') }] }); // prettier-ignore
    };
    const key = builder.publicKey
      .export({ type: 'spki', format: 'pem' })
      .toString()
      .trim()
      .replaceAll('\n', '\n      ');
    await scratch.checkout('main');
    const governed = `apiVersion: countersign.dev/v1\nattesters:\n  - name: ci\n    key: |\n      ${key}\n    builders: ["https://ci.example.org/*"]\n`;
    await commit('believe', { '.countersign/attesters.yaml': governed });
    const said = async (name: string, files: Record<string, string>): Promise<string[]> => {
      await scratch.checkout(name, 'main');
      const images = ['cart', 'shop', 'till', 'pay'].map((one, i) => `{name: ${one}, image: "registry.example.org/${one}@sha256:${String(i).repeat(64)}"}`); // prettier-ignore
      await commit(name, { [production]: deployment(pinned).replace(/containers:.*/, `containers: [${images.join(', ')}]`), ...files }); // prettier-ignore
      const { stdout, stderr } = await check('--base', 'main', '--profile', 'strict', '--output', 'json');
      if (stdout === '') throw new Error(stderr);
      const found = parse(stdout).environments[0].violations.filter(({ rule }) => rule.startsWith('provenance.'));
      return found.map((one) => `${one.rule} ${(one as unknown as { message: string }).message}`).toSorted();
    };
    const files = {
      'attestations/a.intoto.jsonl': `${attested('cart', '0')}\n${attested('shop', '1', stranger)}\n`,
      'attestations/till.json': attested('till', '9'),
    };
    expect(await said('attested', files)).toEqual([
      `provenance.genuine what attests ${imageOf('shop', '1')} does not hold: no key of .countersign/attesters.yaml signed it as it is`,
      `provenance.required ${imageOf('pay', '3')} has no provenance`,
      `provenance.required ${imageOf('till', '2')} has no provenance: attestations/till.json is of sha256:999999999999`,
    ]);
    // Who may be believed is governed: a change cannot bring its own key.
    const own = governed.replace(key, stranger.publicKey.export({ type: 'spki', format: 'pem' }).toString().trim().replaceAll('\n', '\n      ')); // prettier-ignore
    expect(await said('own', { ...files, '.countersign/attesters.yaml': own })).toHaveLength(3);
  });

  it('when a change breaks a rule, denies it with rule, file, line and fix, and exits with 1', async () => {
    await commit('faster cart', { [production]: `# why\n${deployment('nginx:latest')}` });
    const { code, stdout, stderr } = await check('--base', 'main');
    const lines = stdout.split('\n');
    expect(stderr).toBe('');
    expect(code).toBe(1);
    expect(lines[0]).toMatch(
      /^✗ denied {3}shop\/production {3}main [0-9a-f]{7} → feature [0-9a-f]{7} {3}1 commit, 1 object changed$/,
    );
    // The line of the image, not of the object.
    expect(lines[2]).toBe(`  ${production}:8   Deployment shop/cart`);
    expect(stdout).toMatch(/rule {3}images\.pinned \(countersign:policies\/.*images\.rego:\d+\) +control +SOC2:CC8\.1/);
    expect(stdout).toMatch(/fix {4}use nginx/);
    expect(stdout).toMatch(/policy [0-9a-f]{4}… from main [0-9a-f]{7} {3}\d+\.\d\d s/);
    const explained = await check('--base', 'main', '--trace');
    expect(explained.stdout).toMatch(/because {2}field = "containers"\n[^]* reference = "nginx:latest"\n/);
    expect(explained.stdout).toMatch(
      /or {7}ask for an exception: countersign exception request images\.pinned --env shop\/production --object apps\/Deployment\/shop\/cart/,
    );
    expect(explained.stdout).toMatch(
      /^ {4}\| countersign:policies\/supply-chain\/images\.rego:\d+ +[| ]+Enter data\.countersign\./m,
    );
  });

  it('when a change keeps all rules, allows it and exits with 0', async () => {
    await commit('more', { [production]: deployment(pinned, '  replicas: 3\n') });
    const { code, stdout } = await check('--base', 'main');
    expect(stdout).toMatch(/^✓ allowed/);
    expect(code).toBe(0);
  });

  it('when a commit is not signed by somebody known, denies it by name', async () => {
    await scratch.commit({
      author: ann,
      sign: false,
      message: 'tune',
      files: { [production]: deployment(pinned, '  replicas: 2\n') },
    });
    const { stdout } = await check('--base', 'main', '--output', 'json');
    expect(parse(stdout).environments[0]?.violations.map(({ rule }) => rule)).toEqual(['commits.signed']);
  });

  it('never lets a change choose its own policy (invariant 2)', async () => {
    await commit('relax', {
      'countersign.yaml': `${settings}policies: {starter: {profile: "off"}}\n`,
      '.countersign/allowed_signers': '',
      [production]: deployment('nginx:latest'),
    });
    const answer = parse((await check('--base', 'main', '--output', 'json')).stdout);
    expect(answer.environments[0]?.violations.map(({ rule }) => rule)).toContain('images.pinned');
    expect(answer.environments.map(({ name }) => name)).toEqual(['shop/production', 'governance']);
    expect(parse((await check('--output', 'json')).stdout).outcome).toBe('allow');
  });

  it('denies what could not govern, which the service would not take up either', async () => {
    await commit('owners', { '.countersign/owners': '* @nobody\n' });
    const { code, stdout } = await check('--base', 'main', '--output', 'json');
    const [production, governance] = parse(stdout).environments;
    expect([code, production?.violations]).toEqual([1, []]);
    expect(governance).toMatchObject({
      name: 'governance',
      violations: [{ rule: 'reading.config-invalid', source: { path: '.countersign/owners', line: 1 } }],
    });
    const alone = parse((await check('--base', 'main', '--env', 'governance', '--output', 'json')).stdout);
    expect(alone.environments.map(({ name }) => name)).toEqual(['governance']);
    expect((await check('--base', 'main', '--env', 'shop/production')).code).toBe(0);
  });

  it('when base has moved on, judges what the branch does and not what it lacks', async () => {
    await commit('more', { [production]: deployment(pinned, '  replicas: 3\n') });
    await scratch.checkout('main');
    await commit('new', {
      'environments/production/new.yaml': 'apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\n',
    });
    const { stdout } = await check('--base', 'main', '--head', 'feature', '--output', 'json');
    const answer = parse(stdout);
    expect(answer.outcome).toBe('allow');
    expect(answer.environments[0]?.changes).toHaveLength(1);
    expect(answer.notes[0]).toMatch(/main has moved on/);
  });

  it('judges an environment by branch with its own branch', async () => {
    await scratch.checkout('staging', 'main');
    await commit('stage', { 'environments/staging/a.yaml': deployment('nginx') });
    const answer = parse((await check('--base', 'main', '--env', 'shop/staging', '--output', 'json')).stdout);
    expect(answer.environments.map(({ name }) => name)).toEqual(['shop/staging']);
    expect(parse((await check('--output', 'json')).stdout).environments.map(({ name }) => name)).toEqual([
      'shop/staging',
    ]);
  });

  it('when files are not committed, says so; with --worktree judges them', async () => {
    await writeFile(`${scratch.path}/${production}`, deployment('nginx:latest'));
    const committed = parse((await check('--base', 'main', '--output', 'json')).stdout);
    expect(committed.outcome).toBe('allow');
    expect(committed.notes[0]).toContain(`${production} is not committed and not judged`);
    const files = parse((await check('--base', 'main', '--worktree', '--output', 'json')).stdout);
    expect(files.outcome).toBe('deny');
    expect(files.notes[0]).toMatch(/no commits, so these rules had none to judge: .*commits\.signed/);
  });

  it('takes policies from a folder in place of the repository, starters as the profile says', async () => {
    const own = folder.path('own');
    await mkdir(own, { recursive: true });
    await writeFile(`${own}/never.rego`, never);
    await commit('more', { [production]: deployment(pinned, '  replicas: 3\n') });
    const answer = parse((await check('--base', 'main', '--policies', own, '--output', 'json')).stdout);
    expect(answer.environments[0]?.violations.map(({ rule }) => rule)).toEqual(['countersign.never.deny']);
  });

  it('outside of Git judges the files and names the rules that had nothing to judge', async () => {
    const plain = folder.path('plain');
    await mkdir(dirname(`${plain}/sub/a.yaml`), { recursive: true });
    await writeFile(`${plain}/sub/a.yaml`, deployment('nginx'));
    await symlink('/etc/passwd', `${plain}/link.yaml`);
    const { code, stdout } = await runCli(['check', plain, '--output', 'json']);
    const answer = parse(stdout);
    expect(code).toBe(1);
    expect(answer.environments[0]?.violations.map(({ rule, source }) => [rule, source?.path])).toEqual([
      ['reading.manifest-malformed', 'link.yaml'],
      ['images.pinned', 'sub/a.yaml'],
    ]);
    expect(answer.notes[0]).toContain('outside of Git');
  });

  it.each([
    ['malformed YAML', 'a: [1\nb: 2\n', 'manifest-malformed', 2],
    ['a key written twice', deployment(pinned).replace('kind:', 'kind: Secret\nkind:'), 'manifest-duplicate-key', 3],
    [
      'an alias bomb',
      `a0: &a0 [x]\n${Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(',')}]`).join('\n')}\n`,
      'manifest-aliases',
      8,
    ],
    ['a manifest of 50 MB', '# nothing but words\n'.repeat(2_500_000), 'manifest-too-large', 1],
    ['an object that another file defines', deployment(pinned), 'object-duplicate', 1],
  ])('denies %s with place and remedy', async (_what, content, code, line) => {
    await commit('bad', { 'environments/production/other.yaml': content });
    const answer = parse((await check('--base', 'main', '--output', 'json')).stdout);
    expect(answer.environments[0]?.violations).toEqual([
      expect.objectContaining({
        rule: `reading.${code}`,
        source: { path: 'environments/production/other.yaml', line },
        fix: expect.any(String) as string,
      }),
    ]);
  });

  it('when no namespace is known, denies with the place of the object', async () => {
    await commit('no namespace', { 'countersign.yaml': settings.replaceAll(', namespace: shop', '') });
    const answer = parse((await check('--output', 'json')).stdout);
    expect(answer.environments[0]?.violations[0]).toMatchObject({
      rule: 'reading.namespace-missing',
      source: { path: production, line: 1 },
    });
  });

  it('judges what a folder of Kustomize renders to, and says where it cannot be rendered', async () => {
    const app = 'environments/production/app';
    await commit('kustomize', { [`${app}/kustomization.yaml`]: 'resources: [a.yaml]\n' });
    const refused = await check('--base', 'main');
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain(`${app}/kustomization.yaml:1`);
    expect(refused.stdout).toContain(`there is no ${app}/a.yaml in this commit`);
    await commit('a file', {
      [`${app}/a.yaml`]: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: rendered}\n',
      [`${app}/kustomization.yaml`]: 'resources: [a.yaml]\nnamePrefix: was-\n',
    });
    expect((await check('--base', 'main', '--output', 'json')).stdout).toContain('was-rendered');
  });

  it.each([
    [
      'a wrong countersign.yaml',
      { 'countersign.yaml': 'apiVersion: countersign.dev/v1\nenvironment: []\n' },
      /countersign\.yaml:2 .*did you mean "environments"/,
    ],
    ['Rego that does not compile', { 'policies/a.rego': 'package a\n\ndeny contains x if y\n' }, /policies\/a\.rego:3/],
  ])('when %s governs, could not tell: exits with 2', async (_what, files, says) => {
    await commit('broken', files);
    const { code, stderr } = await check();
    expect(code).toBe(2);
    expect(stderr).toMatch(says);
  });

  it.each([
    [
      'an empty repository',
      async () => (await createRepository(folder.path(`empty${names++}`))).path,
      [],
      /no commits yet/,
    ],
    ['nothing at all', async () => folder.path('nothing'), [], /there is no file or folder/],
    ['an unknown revision', async () => scratch.path, ['--base', 'nowhere'], /nowhere/],
    [
      'an unknown environment',
      async () => scratch.path,
      ['--env', 'nowhere'],
      /Choose one of shop\/production, shop\/staging/,
    ],
  ])('when pointed at %s, says what to do and exits with 2', async (_what, path, args, says) => {
    const { code, stderr } = await runCli(['check', await path(), ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(says);
  });

  it('shows no secret in any output (invariant 10)', async () => {
    await commit('secret', {
      'environments/production/secret.yaml':
        'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n',
      'policies/echo.rego':
        'package countersign.echo\n\ndeny contains sprintf("%v", [c.after]) if some c in input.changes\n',
    });
    for (const output of ['text', 'json', 'sarif', 'junit']) {
      const { stdout } = await check('--output', output);
      expect(stdout).toContain('hmac-sha256:local:');
      expect(stdout).not.toContain('hunter2');
    }
  });
});
