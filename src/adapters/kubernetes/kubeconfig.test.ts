import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CountersignError } from '../../errors.js';
import { openCluster } from './cluster.js';
import { readKubeconfig, readServiceAccount } from './kubeconfig.js';

const SECRET = 'hunter2';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
let folder: string;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-kubeconfig-'));
  file = join(folder, 'config');
  await mkdir(join(folder, 'pki'));
  for (const name of ['ca.crt', 'user.crt', 'user.key'])
    await writeFile(join(folder, 'pki', name), `${name} as a file`);
  await writeFile(join(folder, 'pki', 'token'), 'from-a-file\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const kubeconfig = (user: object, cluster: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  'current-context': 'one',
  clusters: [
    { name: 'prod', cluster: { server: 'https://prod.example.org:6443/', ...cluster } },
    { name: 'test', cluster: { server: 'https://test.example.org' } },
  ],
  users: [
    { name: 'robot', user },
    { name: 'other', user: { token: 'of-another' } },
  ],
  contexts: [
    { name: 'one', context: { cluster: 'prod', user: 'robot' } },
    { name: 'two', context: { cluster: 'test', user: 'other', namespace: 'shop' } },
    { name: 'nobody', context: { cluster: 'test' } },
    { name: 'no-cluster', context: { cluster: 'gone', user: 'robot' } },
    { name: 'no-user', context: { cluster: 'prod', user: 'gone' } },
  ],
});

async function read(config: object | string, context?: string): ReturnType<typeof readKubeconfig> {
  await writeFile(file, typeof config === 'string' ? config : JSON.stringify(config));
  return await readKubeconfig(file, { context });
}

/** What it says, after checking that it names the file and quotes nothing from it. */
async function refusal(config: object | string, context?: string): Promise<string> {
  const error = (await read(config, context).catch((e: unknown) => e)) as CountersignError;
  expect(error).toBeInstanceOf(CountersignError);
  expect(error).toMatchObject({ code: 'config-invalid', place: { file }, remedy: expect.any(String) as string });
  expect(`${error.sentence} ${error.stack} ${(error.cause as Error | undefined)?.stack}`).not.toContain(SECRET);
  return error.message;
}

describe('a kubeconfig', () => {
  it('gives the current context, or the one that is named', async () => {
    const robot = kubeconfig({ token: 'abc' });
    expect(await read(robot)).toMatchObject({ server: 'https://prod.example.org:6443', insecure: false });
    const other = await read(robot, 'two');
    expect(other.server).toBe('https://test.example.org');
    expect(await other.authorization()).toBe('Bearer of-another');
    expect(await (await read(robot, 'nobody')).authorization()).toBeUndefined();
  });

  it('may be YAML', async () => {
    const yaml = `current-context: c
clusters: [{name: k, cluster: {server: "https://[::1]:6443"}}]
contexts: [{name: c, context: {cluster: k, user: u}}]
users:
  - name: u
    user: {token: "0012"}
`;
    expect(await (await read(yaml)).authorization()).toBe('Bearer 0012');
    expect(await refusal(yaml.replace('"0012"', '0012'))).toBe('user u: token is not text');
    expect(await refusal(yaml.replace('token: "0012"', 'tokenFile: [a]'))).toBe('user u: tokenFile is not text');
  });

  it('reads authority, certificate and key from files beside it', async () => {
    const connection = await read(
      kubeconfig(
        { 'client-certificate': 'pki/user.crt', 'client-key': join(folder, 'pki/user.key') },
        { 'certificate-authority': 'pki/ca.crt', 'tls-server-name': 'kubernetes' },
      ),
    );
    expect(connection).toMatchObject({
      authority: 'ca.crt as a file',
      certificate: 'user.crt as a file',
      key: 'user.key as a file',
      serverName: 'kubernetes',
    });
    expect(await connection.authorization()).toBeUndefined();
  });

  it('takes data before a file, as kubectl does', async () => {
    const user = { 'client-certificate-data': base64('certificate'), 'client-key-data': base64('key') };
    expect(
      await read(
        kubeconfig(
          { ...user, 'client-certificate': 'gone', 'client-key': 'gone' },
          { 'certificate-authority-data': base64('authority'), 'certificate-authority': 'gone' },
        ),
      ),
    ).toMatchObject({ authority: 'authority', certificate: 'certificate', key: 'key' });
  });

  it('skips verification only if told so in so many words', async () => {
    expect((await read(kubeconfig({}, { 'insecure-skip-tls-verify': true }))).insecure).toBe(true);
    expect((await read(kubeconfig({}, { 'insecure-skip-tls-verify': 'true' }))).insecure).toBe(false);
  });

  it('authorizes by token, or by name and password', async () => {
    expect(await (await read(kubeconfig({ token: 'abc' }))).authorization()).toBe('Bearer abc');
    expect(await (await read(kubeconfig({ username: 'ann', password: SECRET }))).authorization()).toBe(
      `Basic ${base64(`ann:${SECRET}`)}`,
    );
    expect(await (await read(kubeconfig({ username: 'ann' }))).authorization()).toBe(`Basic ${base64('ann:')}`);
  });

  it('reads a tokenFile again whenever it is asked, before any token', async () => {
    const connection = await read(kubeconfig({ tokenFile: 'pki/token', token: 'stale' }));
    expect(await connection.authorization()).toBe('Bearer from-a-file');
    await writeFile(join(folder, 'pki', 'token'), 'rotated');
    expect(await connection.authorization()).toBe('Bearer rotated');
    await rm(join(folder, 'pki', 'token'));
    await expect(connection.authorization()).rejects.toMatchObject({
      code: 'config-invalid',
      place: { file },
      message: `${join(folder, 'pki', 'token')} cannot be read`,
    });
  });

  it.each([
    ['exec', { exec: { command: '/bin/sh', env: [{ name: 'PASSWORD', value: SECRET }] } }],
    ['auth-provider', { 'auth-provider': { name: 'oidc', config: { 'id-token': SECRET } } }],
    ['as', { token: SECRET, as: 'system:admin' }],
    ['as-groups', { token: SECRET, 'as-groups': ['system:masters'] }],
    ['as-uid', { token: SECRET, 'as-uid': '1' }],
    ['as-user-extra', { token: SECRET, 'as-user-extra': { scopes: ['all'] } }],
  ])('refuses a user with %s', async (field, user) => {
    const why = field === 'exec' ? 'runs a program' : 'is not supported';
    expect(await refusal(kubeconfig(user))).toBe(`user robot uses ${field}, which ${why}`);
    expect((await read(kubeconfig(user), 'two')).server).toBe('https://test.example.org');
  });

  it('refuses a proxy', async () => {
    const proxy = { 'proxy-url': `http://ann:${SECRET}@proxy.example.org` };
    expect(await refusal(kubeconfig({}, proxy))).toBe('cluster prod uses proxy-url, which is not supported');
  });

  it.each(['http://prod.example.org', 'HTTP://10.0.0.1:8080', 'http://127.0.0.1.example.org', 'http://[::2]'])(
    'refuses %s, which is not encrypted',
    async (server) => {
      expect(await refusal(kubeconfig({ token: SECRET }, { server }))).toMatch(/is not encrypted$/);
    },
  );

  it.each(['http://127.0.0.1:8001', 'http://localhost:8001', 'http://[::1]:8001'])('accepts %s', async (server) => {
    expect(await read(kubeconfig({}, { server }))).toMatchObject({ server });
  });

  it.each([
    ['prod.example.org', 'its server is no URL'],
    ['unix:///run/api.sock', 'its server is no URL'],
    [`https://ann:${SECRET}@prod.example.org`, 'credentials do not belong in a URL'],
  ])('refuses %s as a server', async (server, message) => {
    expect(await refusal(kubeconfig({}, { server }))).toBe(message);
  });

  it('refuses what is named and not there', async () => {
    expect(await refusal(kubeconfig({}), 'three')).toBe('there is no context three');
    expect(await refusal({ ...kubeconfig({}), 'current-context': '' })).toBe('there is no context (none is current)');
    expect(await refusal(kubeconfig({}), 'no-cluster')).toBe('there is no cluster gone');
    expect(await refusal(kubeconfig({}), 'no-user')).toBe('there is no user gone');
    const gone = `${join(folder, 'gone')} cannot be read`;
    expect(await refusal(kubeconfig({ tokenFile: 'gone' }))).toBe(gone);
    expect(await refusal(kubeconfig({ 'client-key': 'gone' }))).toBe(gone);
    expect(await refusal(kubeconfig({}, { 'certificate-authority': 'gone' }))).toBe(gone);
    await expect(readKubeconfig(join(folder, 'none'))).rejects.toMatchObject({
      code: 'config-invalid',
      place: { file: join(folder, 'none') },
      message: 'it cannot be read',
    });
  });

  it.each([
    ['', 'it is not valid YAML'],
    ['null', 'it is not a kubeconfig'],
    ['just text', 'there is no context (none is current)'],
    [`users: [{user: {token: ${SECRET}}}]`, 'it is not a kubeconfig: users[0].name is missing'],
    ['clusters: [{name: a, cluster: {server: {}}}]', 'it is not a kubeconfig'],
    ['clusters: [{name: a, cluster: {}}]', 'it is not a kubeconfig: clusters[0].cluster.server is missing'],
  ])('refuses %j', async (text, message) => {
    expect(await refusal(text)).toBe(message);
  });

  it.each([
    [`token: *${SECRET}`, 1],
    [`a: 1\npassword: !${SECRET} x`, 2],
    [`a: ${SECRET}: b`, 1],
  ])('tells where its YAML is wrong, not what is there: %#', async (text, line) => {
    const error = (await read(text).catch((e: unknown) => e)) as CountersignError;
    expect(error).toMatchObject({ code: 'config-invalid', message: 'it is not valid YAML', place: { file, line } });
    expect(`${error.sentence} ${error.stack}`).not.toContain(SECRET);
    expect(error.cause).toBeUndefined();
  });
});

describe('in-cluster', () => {
  const variables = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  let before: NodeJS.ProcessEnv;
  let pod: string;
  let token: string;

  beforeEach(async () => {
    pod = await mkdtemp(join(folder, 'pod-'));
    const mount = join(pod, 'var/run/secrets/kubernetes.io/serviceaccount');
    await mkdir(mount, { recursive: true });
    token = join(mount, 'token');
    await writeFile(token, 'of-the-pod');
    await writeFile(join(mount, 'ca.crt'), 'authority of the pod');
    before = process.env;
    process.env = { ...before, ...variables };
  });
  afterEach(() => {
    process.env = before;
  });

  it('is the service account of the pod, whose token rotates', async () => {
    const connection = await readServiceAccount(pod);
    expect(connection).toMatchObject({
      server: 'https://[fd00::1]:443',
      authority: 'authority of the pod',
      insecure: false,
    });
    expect(connection.certificate ?? connection.key).toBeUndefined();
    expect(await connection.authorization()).toBe('Bearer of-the-pod');
    await writeFile(token, 'rotated\n');
    expect(await connection.authorization()).toBe('Bearer rotated');
  });

  it('refuses a pod without a service account, and one whose API server is not encrypted', async () => {
    process.env['KUBERNETES_SERVICE_PORT'] = '8080';
    await expect(readServiceAccount(pod)).rejects.toMatchObject({
      message: 'in-cluster: http://[fd00::1]:8080 is not encrypted',
    });
    process.env['KUBERNETES_SERVICE_PORT'] = '443';
    await rm(token);
    await expect(readServiceAccount(pod)).rejects.toMatchObject({
      code: 'config-invalid',
      message: `in-cluster: ${token} cannot be read`,
    });
  });

  it('refuses to be anywhere else', async () => {
    delete process.env['KUBERNETES_SERVICE_HOST'];
    await expect(openCluster({ name: 'prod', kubeconfig: 'in-cluster' })).rejects.toMatchObject({
      code: 'config-invalid',
      message: 'in-cluster: KUBERNETES_SERVICE_HOST is not set',
      remedy: 'Run it in a pod with a service account, or give the path of a kubeconfig',
    });
  });
});
