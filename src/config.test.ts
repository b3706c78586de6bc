import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, withoutSecrets, type Config } from './config.js';
import { CountersignError } from './errors.js';

const COMMIT = '1f3c9a2b'.repeat(5);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-config-'));
  await writeFile(join(folder, 'prod.yaml'), '');
  await writeFile(join(folder, 'password'), 'from-file\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function load(text: string, env: Record<string, string> = {}): Promise<Config> {
  await writeFile(join(folder, 'service.yaml'), text);
  return await loadConfig(join(folder, 'service.yaml'), { data: join(folder, 'data'), env });
}

async function refusal(text: string, env: Record<string, string> = {}): Promise<string> {
  const error: unknown = await load(text, env).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(CountersignError);
  expect((error as CountersignError).code).toBe('config-invalid');
  return (error as CountersignError).sentence.replaceAll(`${folder}/`, '');
}

const repository = (extra = ''): string =>
  `repositories:\n  - name: shop\n    url: shop.git\n    trust: {commit: ${COMMIT}}\n${extra}`;

const inCluster = (more = ''): string => repository(`targets:\n  - {name: prod, kubeconfig: in-cluster${more}}\n`);

const destination = (more: string): string => `${repository()}notifications:\n  - {name: ops, ${more}}\n`;

const scheduled = (more: string): string =>
  `${repository()}exports:\n  - {name: monthly, report: changes, cron: "0 6 1 * *", zone: Europe/Berlin, period: month, ${more}}\n`;

const https = (credentials: string): string =>
  `repositories:\n  - name: shop\n    url: https://example.org/shop.git\n    trust: {commit: ${COMMIT}}\n    credentials: ${credentials}\n`;

const webhook = (text: string): string => `    webhook: ${text}\n`;

const forge = (text: string): Promise<Config> => load(repository(`    forge: ${text}\n`), { TOKEN: 'ghp-hunter2' });

const token = (more: string) =>
  `{login: bo, role: approver, repositories: [shop], environments: ["*"], expires: 2027-01-01T00:00:00Z, ${more}}`;

const oidc = (more: string) =>
  `${repository()}access:\n  oidc: {issuer: https://login.example.org, audience: a, roles: [{group: sre, role: operator}], console: {client: c${more}}}\n`;

describe('the configuration', () => {
  it('reads the file that the design shows', async () => {
    const config = await load(`
listen: 127.0.0.1:4100
database: embedded
log: {origin: countersign.example.org/prod}
repositories:
  - {name: shop, url: "file:///srv/git/shop.git", refs: [refs/heads/main], governance: refs/heads/main, trust: {commit: ${COMMIT}}, poll: 500ms}
targets:
  - name: prod
    kind: kubernetes
    kubeconfig: prod.yaml
    grants: [{repository: shop, namespaces: [shop], kinds: ["*"]}]
limits: {manifestBytes: 10MiB, evaluation: 2s, wasmMemory: 128MiB}
`);
    expect(config).toEqual({
      file: join(folder, 'service.yaml'),
      data: join(folder, 'data'),
      gates: [],
      listen: { host: '127.0.0.1', port: 4100 },
      reached: { proxy: [] },
      database: 'embedded',
      log: { origin: 'countersign.example.org/prod' },
      instance: hostname(),
      logLevel: 'info',
      notifications: [],
      retention: {},
      exports: [],
      repositories: [
        {
          name: 'shop',
          url: 'file:///srv/git/shop.git',
          refs: ['refs/heads/main'],
          governance: 'refs/heads/main',
          trust: { commit: COMMIT },
          pollMilliseconds: 500,
        },
      ],
      targets: [
        {
          name: 'prod',
          kind: 'kubernetes',
          kubeconfig: join(folder, 'prod.yaml'),
          grants: [{ repository: 'shop', namespaces: ['shop'], kinds: ['*'] }],
        },
      ],
      access: { configured: false, loopback: 'read', log: 'readers', introspection: 'callers', tokens: [] },
      limits: {
        manifestBytes: 10_485_760,
        evaluationMilliseconds: 2_000,
        wasmMemoryBytes: 134_217_728,
        commits: 10_000,
      },
    });
  });

  it('takes a folder of known queries that is there', async () => {
    expect(await refusal(repository('access: {queries: no-such-folder}\n'))).toContain(
      'access.queries: there is no folder no-such-folder',
    );
    expect((await load(repository('access: {queries: .}\n'))).access.queries).toMatch(/^\//);
  });

  it('knows as what people sign in with a browser, and shows no secret of it', async () => {
    const config = await load(oidc(', secretEnv: CONSOLE, life: 8h'), { CONSOLE: 'very secret' });
    const scope = 'openid profile email';
    expect(config.access.oidc?.console).toEqual({ client: 'c', secret: 'very secret', scope, idle: 3_600_000, life: 28_800_000 }); // prettier-ignore
    expect(JSON.stringify(withoutSecrets(config))).not.toContain('very secret');
    expect((await load(oidc(''))).access.oidc?.console).not.toHaveProperty('secret');
    expect(await refusal(oidc(', secretEnv: CONSOLE'))).toContain('access.oidc.console.secretEnv');
    expect(await refusal(oidc(', secretEnv: A, secretFile: b'), { A: 'a' })).toContain(
      'or neither for a public client',
    );
    expect(await refusal(oidc(', idle: 2h, life: 1h'))).toContain('console.idle: it is longer than "life"');
    expect(await refusal(oidc(', scope: profile'))).toContain('it must hold "openid"');
  });

  it('knows tokens by their digests, and shows none of them', async () => {
    const [one, other] = ['a'.repeat(64), 'b'.repeat(64)];
    const config = await load(`${repository()}access: {tokens: [${token(`name: bo, sha256: ${one}`)}]}\n`);
    expect(config.access.tokens).toMatchObject([{ name: 'bo', login: 'bo', sha256: one }]);
    expect(JSON.stringify(withoutSecrets(config))).not.toContain(one);
    const text = await refusal(
      `${repository()}access: {tokens: [${token(`name: bo, sha256: ${one}`)}, ${token(`name: bo, sha256: ${one}`)}, ${token(`name: cy, sha256: ${other}`)}]}\n`,
    );
    expect(text).toContain('"bo" is already the name of tokens[0]');
    expect(text).toContain('it is that of another token');
    expect(await refusal(`${repository()}access: {tokens: [${token('name: bo, sha256: cs_secret')}]}\n`)).toContain(
      'never the token itself',
    );
  });

  it('has a default for everything but repositories, and resolves paths against the file', async () => {
    const config = await load(repository());
    expect(config.repositories[0]).toMatchObject({
      url: join(folder, 'shop.git'),
      refs: ['refs/heads/main'],
      pollMilliseconds: 500,
    });
    expect(config).toMatchObject({ listen: { host: '127.0.0.1', port: 4100 }, database: 'embedded', targets: [] });
    expect(await refusal('listen: 127.0.0.1:1\n')).toContain('repositories: it is missing; it must be a list');
  });

  it('reports every fault at once, each with its file and line', async () => {
    const text = await refusal(`listen: 127.0.0.1:4100
databse: embedded
repositories:
  - name: Shop!
    url: file:///srv/shop.git
    refs: [main]
    trust: {commit: ${COMMIT}}
    poll: soon
limits:
  manifestBytes: 12
  evaluation: 2 weeks
`);
    expect(text.split('\n')).toEqual([
      'service.yaml:2  databse: there is no such setting (did you mean "database"?)',
      expect.stringMatching(/^service\.yaml:4 {2}repositories\[0\]\.name: it must be 1 to 63/),
      'service.yaml:6  repositories[0].refs[0]: it must be a full ref name (did you mean "refs/heads/main"?)',
      'service.yaml:8  repositories[0].poll: it must be a duration such as 500ms or 2s',
      'service.yaml:10  limits.manifestBytes: it must be between 1KiB and 1GiB',
      expect.stringMatching(/^service\.yaml:11 {2}limits\.evaluation: it must be a duration such as 500ms or 2s\. See/),
    ]);
  });

  it('reports faults between settings at once: names that match nothing, files that are missing, doubled names', async () => {
    const text = await refusal(`repositories:
  - {name: shop, url: "https://bob:secret@example.org/x.git", trust: {}}
  - {name: shop, url: "git@example.org:x.git", trust: {commit: abc}}
targets:
  - name: prod
    kubeconfig: nowhere.yaml
    grants:
      - {repository: shpo, namespaces: [shop]}
`);
    expect(text).toContain('service.yaml:2  repositories[0].url: credentials do not belong in a URL');
    expect(text).not.toContain('secret');
    expect(text).toContain('service.yaml:2  repositories[0].trust: it must hold either');
    expect(text).toContain('service.yaml:3  repositories[1].name: "shop" is already the name of repositories[0]');
    expect(text).toContain('service.yaml:3  repositories[1].url: a repository over SSH needs "ssh"');
    expect(text).toContain('service.yaml:3  repositories[1].trust.commit: it must be a full commit id');
    expect(text).toContain('service.yaml:6  targets[0].kubeconfig: there is no file nowhere.yaml');
    expect(text).toContain(
      'service.yaml:8  targets[0].grants[0].repository: no repository is called "shpo" (did you mean "shop"?)',
    );
  });

  it.each(['0.0.0.0:4100', '10.1.2.3:80', '[::]:80', 'example.org:80'])(
    'refuses to listen on %s as things are',
    async (listen) => {
      const host = new URL(`http://${listen}`).hostname.replace(/[[\]]/g, '');
      const text = await refusal(repository(`listen: "${listen}"\n`));
      expect(text).toContain(`listen: "${host}" can be reached from other machines, so it takes TLS (tls: {certificate: tls.crt, key: tls.key}) or a proxy that does it`); // prettier-ignore
      expect(text).toContain('so everybody must say who they are: access: {tokens: […]} (countersign token makes one)');
      expect(text).toContain('so it takes the address that others know it by (url: https://…)');
      expect(await refusal(repository(), { COUNTERSIGN_LISTEN: listen })).toContain(
        `COUNTERSIGN_LISTEN: "${host}" can be`,
      );
    },
  );

  it('listens beyond loopback with TLS or a proxy, a name, and somebody who says who they are', async () => {
    const access = `access: {tokens: [${token(`name: bo, sha256: ${'a1'.repeat(32)}`)}]}\n`;
    const behind = `listen: 0.0.0.0:4100\nurl: https://countersign.example.org\nproxy: [10.0.0.5, "fd00::/8"]\n`;
    expect((await load(repository(behind + access))).reached).toEqual({
      url: 'https://countersign.example.org',
      proxy: ['10.0.0.5', 'fd00::/8'],
    });
    expect(await refusal(repository(behind))).toContain('everybody must say who they are');
    expect(await refusal(repository(behind + access.replace('{tokens', '{loopback: read, tokens')))).toContain(
      'access.loopback: a proxy may speak for anybody',
    );
    expect(
      await refusal(
        repository(
          `proxy: [10.0.0.300, 10.0.0.0/33]\nurl: http://a.example.org\ntls: {certificate: no.crt, key: no.key}\n${access}`,
        ),
      ),
    ).toMatch(
      /"10\.0\.0\.300" is no address(.|\n)*"10\.0\.0\.0\/33" is no(.|\n)*url: it must be an https(.|\n)*there is no file .*no\.crt/,
    );
  });

  it.each(['4100', '127.0.0.1:70000'])('refuses %s as an address', async (listen) => {
    expect(await refusal(repository(`listen: "${listen}"\n`))).toContain(`"${listen}" is no address`);
  });

  it('takes in-cluster for the service account of the pod, and only in a pod', async () => {
    const pod = { KUBERNETES_SERVICE_HOST: '10.96.0.1' };
    expect((await load(inCluster(), pod)).targets[0]).toMatchObject({ kubeconfig: 'in-cluster' });
    expect(await refusal(inCluster())).toContain(
      'service.yaml:6  targets[0].kubeconfig: in-cluster is for a pod, and here KUBERNETES_SERVICE_HOST is not set',
    );
    expect(await refusal(inCluster(', context: two'), pod)).toContain('targets[0].context: in-cluster has no contexts');
    expect(await refusal(inCluster().replace('in-cluster', './in-cluster'))).toContain('there is no file in-cluster');
  });

  it('says where YAML is malformed, doubled or aliased', async () => {
    expect(await refusal('listen: [\nrepositories: []\n')).toMatch(/^service\.yaml:2:1 {2}it is not valid YAML/);
    expect(await refusal('listen: a:1\nlisten: b:1\n')).toMatch(
      /^service\.yaml:2:1 {2}it is not valid YAML: duplicated mapping key/,
    );
    expect(await refusal('repositories: &r []\ntargets: *r\n')).toContain('it is not valid YAML');
    expect(await refusal('just text\n')).toContain('it must be a mapping');
  });

  it('names a file that is not there', async () => {
    const error = (await loadConfig(join(folder, 'none.yaml'), { data: folder, env: {} }).catch(
      (e: unknown) => e,
    )) as CountersignError;
    expect(error.sentence).toContain('none.yaml  there is no such configuration file');
  });

  it('takes secrets from the environment or files only, and never shows them', async () => {
    const config = await load(https('{username: bot, passwordEnv: SHOP_TOKEN}'), {
      SHOP_TOKEN: 'from-env',
      COUNTERSIGN_DATABASE: 'postgres://me:hidden@db/countersign',
    });
    expect(config.repositories[0]?.credentials).toEqual({ username: 'bot', password: 'from-env' });
    expect(config.database).toContain('hidden');
    expect(JSON.stringify(withoutSecrets(config))).not.toMatch(/from-env|hidden/);
    expect((await load(https('{passwordFile: password}'))).repositories[0]?.credentials).toEqual({
      username: 'git',
      password: 'from-file',
    });
    expect(await refusal(https('{passwordEnv: SHOP_TOKEN}'))).toContain(
      'the environment variable SHOP_TOKEN is not set',
    );
    expect(await refusal(https('{passwordFile: gone}'))).toContain('gone cannot be read: ENOENT');
    expect(await refusal(https('{password: hunter2}'))).toContain('credentials.password: there is no such setting');
    expect(await refusal(repository('database: "postgres://me:pw@db/x"\n'))).toContain(
      'a password does not belong in this file',
    );
  });

  it('takes tokens, SSH files and webhook secrets by variable or file, and shows none of them', async () => {
    await writeFile(join(folder, 'known_hosts'), '');
    const config = await load(
      `repositories:
  - {name: a, url: "https://example.org/a.git", trust: {commit: ${COMMIT}}, credentials: {tokenEnv: TOKEN}, webhook: {secretEnv: HOOK}}
  - {name: b, url: "git@example.org:b.git", trust: {commit: ${COMMIT}}, ssh: {keyFile: password, knownHosts: known_hosts}}
`,
      { TOKEN: 'glpat-hunter2', HOOK: 'sixteen bytes or more' },
    );
    const [a, b] = config.repositories;
    expect(a).toMatchObject({ credentials: { token: 'glpat-hunter2' }, webhook: { secret: 'sixteen bytes or more' } });
    expect(b).toMatchObject({
      url: 'git@example.org:b.git',
      ssh: { keyFile: join(folder, 'password'), knownHosts: join(folder, 'known_hosts') },
      pollMilliseconds: 10_000,
    });
    expect(JSON.stringify(withoutSecrets(config))).not.toMatch(/hunter2|sixteen/);
  });

  it('refuses secrets that are missing, short or given twice, and SSH files that are not there', async () => {
    expect(await refusal(https('{tokenEnv: T, passwordEnv: P}'), { T: 'x', P: 'x' })).toContain('exactly one of');
    expect(await refusal(https('{username: bot, tokenEnv: T}'), { T: 'x' })).toContain('without a user name');
    expect(await refusal(repository(webhook('{secretEnv: HOOK}')), { HOOK: 'short' })).toContain('shorter than 16');
    expect(await refusal(repository(webhook('{secretEnv: HOOK}')))).toContain('HOOK is not set');
    expect(await refusal(repository(webhook('{}')))).toContain('either "secretEnv" or "secretFile"');
    expect(await refusal(repository('    ssh: {keyFile: password, knownHosts: password}\n'))).toContain('only ssh://');
    expect(
      await refusal(`repositories:
  - {name: b, url: "ssh://git@example.org/b.git", trust: {commit: ${COMMIT}}, ssh: {keyFile: gone, knownHosts: password}}
`),
    ).toContain('ssh.keyFile: there is no file gone');
  });

  it('takes exports that are due by themselves, and refuses what could not be taken, or leads elsewhere', async () => {
    const config = await load(scheduled('repository: shop, to: {folder: out}'));
    expect(config.exports).toEqual([
      {
        name: 'monthly',
        file: 'changes.csv',
        report: 'changes',
        format: 'csv',
        cron: '0 6 1 * *',
        zone: 'Europe/Berlin',
        period: 'month',
        words: { repository: 'shop' },
        to: { folder: expect.stringMatching(/\/out$/) as string },
      },
    ]);
    for (const [more, wrong] of [
      ['to: {folder: a, bucket: b}', /to: it must name either a folder or a bucket/],
      ['format: pdf, to: {folder: a}', /format: changes is written as csv or jsonl/],
      ['decision: alow, to: {folder: a}', /did you mean "allow"/],
      ['sample: "0", to: {folder: a}', /sample is "0"/],
      ['controls: SOC2, to: {folder: a}', /controls: it is not for the report changes/],
      ['to: {folder: a, lock: {mode: compliance, days: 1}}', /to.lock: it is for a bucket/],
      ['since: 2026-01-01, to: {folder: a}', /since/],
    ] as const)
      await expect(load(scheduled(more))).rejects.toThrow(wrong);
    for (const [from, to, wrong] of [
      ['monthly', '../etc', /exports\[0\].name/],
      ['Europe/Berlin', 'Europe/Berln', /which there is not/],
      ['0 6 1 * *', '0 25 1 * *', /exports\[0\].cron/],
      ['period: month', 'period: fortnight', /period/],
    ] as const)
      await expect(load(scheduled('to: {folder: a}').replace(from, to))).rejects.toThrow(wrong);
  });

  it('takes destinations of notifications, shows neither their secrets nor their addresses, and refuses those it must not ask', async () => {
    const env = { HOOK: 'https://hooks.example.org/very/secret', KEY: 'a secret of some length' };
    const config = await load(destination('urlEnv: HOOK, secretEnv: KEY, types: [decision.*], expiring: 1d'), env);
    expect(config.notifications).toEqual([
      { name: 'ops', url: env.HOOK, secret: env.KEY, types: ['decision.*'], expiringMilliseconds: 86_400_000 },
    ]);
    const shown = JSON.stringify(withoutSecrets(config));
    expect(shown).toContain('https://hooks.example.org"');
    expect(shown).not.toMatch(/very|some length/);
    for (const [more, words] of [
      ['url: "http://169.254.169.254/"', /notifications\[0\].url: it must be an https:\/\/ address/],
      ['url: "file:///etc/passwd"', /it must be an https/],
      ['url: "https://a:b@example.org"', /do not belong in the address/],
      ['text: x', /exactly one of "url", "urlEnv" and "urlFile"/],
      ['url: "https://example.org", types: [decisions]', /there is no news "decisions"/],
      ['url: "https://example.org", secretEnv: SHORT', /at least 16 characters/],
    ] as const)
      expect(await refusal(destination(more), { SHORT: 'short' })).toMatch(words);
  });

  it('takes a forge with its token, which it never shows, and refuses one that could not be asked', async () => {
    const config = await forge('{kind: github, project: acme/shop, tokenEnv: TOKEN}');
    expect(config.repositories[0]?.forge).toEqual({
      kind: 'github',
      api: 'https://api.github.com',
      project: 'acme/shop',
      token: 'ghp-hunter2',
    });
    expect(JSON.stringify(withoutSecrets(config))).not.toContain('hunter2');
    const wrong: [string, string][] = [
      [
        '{kind: gitlab, project: acme/shop, tokenEnv: TOKEN}',
        'it needs "api", such as https://gitlab.example.org/api/v4',
      ],
      ['{kind: gitea, api: "http://gitea.example.org", project: a/b, tokenEnv: TOKEN}', 'must be an https:// URL'],
      ['{kind: github, project: shop, tokenEnv: TOKEN}', 'it must be like acme/shop'],
      ['{kind: github, project: acme/shop}', 'either "tokenEnv" or "tokenFile"'],
      ['{kind: bitbucket, project: acme/shop, tokenEnv: TOKEN}', 'it must be one of github, gitlab, gitea'],
    ];
    for (const [text, message] of wrong) await expect(forge(text)).rejects.toThrow(message);
  });
});
