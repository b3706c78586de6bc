import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../../test/support/cluster.js';
import { CountersignError } from '../../errors.js';
import { ExecCredential, readExecPlugin, type ExecLimits } from './exec-credential.js';
import { readKubeconfig } from './kubeconfig.js';

const V1 = 'client.authentication.k8s.io/v1';
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-exec-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
/** A program of these lines of shell; its folder is its own. */
async function program(lines: string): Promise<string> {
  const path = join(folder, `plugin-${count++}`);
  await writeFile(path, `#!/bin/sh\n${lines}\n`);
  await chmod(path, 0o755);
  return path;
}
const gives = (status: object): string =>
  `echo '${JSON.stringify({ apiVersion: V1, kind: 'ExecCredential', status })}'`;
async function credential(lines: string, more: object = {}, limits?: ExecLimits): Promise<ExecCredential> {
  const written = { apiVersion: V1, command: await program(lines), ...more };
  const plugin = readExecPlugin(written, { file: join(folder, 'config'), place: { file: 'config' }, server: 'https://prod.example.org', caData: 'Q0E=' }); // prettier-ignore
  return new ExecCredential(plugin, limits);
}
const why = async (one: Promise<ExecCredential>): Promise<string> =>
  (await one).token().then(() => 'a token', (error: CountersignError) => `${error.code} ${error.message}`); // prettier-ignore

describe('a program that gives credentials', () => {
  it('is run once while its token lasts, and again when that ends or is refused', async () => {
    const log = join(folder, 'runs');
    const one = await credential(`echo run >> ${log}; ${gives({ token: 'abc', expirationTimestamp: '2999-01-01T00:00:00Z' })}`); // prettier-ignore
    expect(await Promise.all([one.token(), one.token(), one.token()])).toEqual(['abc', 'abc', 'abc']);
    expect(await readFile(log, 'utf8')).toBe('run\n');
    one.forget();
    await one.token();
    expect(await readFile(log, 'utf8')).toBe('run\nrun\n');

    const short = join(folder, 'short');
    const soon = await credential(`echo run >> ${short}; ${gives({ token: 'abc', expirationTimestamp: 'SOON' })}`.replace('SOON', new Date(Date.now() + 400).toISOString())); // prettier-ignore
    await soon.token();
    await soon.token();
    expect(await readFile(short, 'utf8')).toBe('run\n');
  });

  it('sees what its kubeconfig says and nothing of ours', async () => {
    process.env['COUNTERSIGN_TEST_SECRET'] = 'hunter2';
    const out = join(folder, 'environment');
    const one = await credential(`env > ${out}; echo "$1" >> ${out}; ${gives({ token: 'abc' })}`, {
      args: ['first'],
      env: [{ name: 'ROLE', value: 'deployer' }],
      provideClusterInfo: true,
    });
    await one.token();
    delete process.env['COUNTERSIGN_TEST_SECRET'];
    const seen = await readFile(out, 'utf8');
    expect(seen).toContain('ROLE=deployer');
    expect(seen).toContain('first');
    expect(seen).toContain('"server":"https://prod.example.org"');
    expect(seen).not.toContain('hunter2');
    const names = seen.split('\n').flatMap((line) => /^([A-Z_]+)=/.exec(line)?.[1] ?? []);
    expect(names.filter((name) => !['PATH', 'HOME', 'LC_ALL', 'ROLE', 'KUBERNETES_EXEC_INFO', 'PWD', 'SHLVL', '_', 'OLDPWD'].includes(name))).toEqual([]); // prettier-ignore
  });

  it.each([
    ['ends with an error', 'echo "role not found for hunter2" >&2; exit 3', 'it ended with 3: role not found for …'],
    ['writes no JSON', 'echo hello', 'not JSON'],
    ['writes something else', `echo '{"kind":"Pod","apiVersion":"v1"}'`, 'something else than an ExecCredential'],
    ['speaks another version', `echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1"}'`, 'something else than an ExecCredential of'], // prettier-ignore
    ['gives no token', gives({}), 'no token that a header can hold'],
    ['gives a token with a line break', gives({ token: 'a\nb' }).replace('\\n', '\\\\n'), 'no token|not JSON'],
    ['gives a certificate', gives({ clientCertificateData: 'x', clientKeyData: 'y' }), 'only tokens are taken'],
    ['gives what has expired', gives({ token: 'abc', expirationTimestamp: '2001-01-01T00:00:00Z' }), 'has expired already'], // prettier-ignore
    ['gives an end that is no time', gives({ token: 'abc', expirationTimestamp: 'soon' }), 'is no time'],
  ])('that %s is told', async (_, lines, words) => {
    const said = await why(credential(lines, { env: [{ name: 'SECRET', value: 'hunter2' }] }));
    expect(said).toMatch(/^cluster-unavailable /);
    expect(said).toMatch(new RegExp(words));
    expect(said).not.toContain('hunter2');
  });

  it('is ended with all that it started where it takes too long, or writes without end', async () => {
    const limits = { time: 300, bytes: 1_000 };
    const pid = join(folder, 'pid');
    expect(await why(credential(`sleep 60 & echo $! > ${pid}; wait`, {}, limits))).toContain(
      'did not end within 0.3 s',
    );
    const sleeper = Number(await readFile(pid, 'utf8'));
    // Whoever takes in orphans here may leave it as a zombie.
    await until('what it started is gone', async () => / Z /.test(await readFile(`/proc/${sleeper}/stat`, 'utf8').catch(() => ' Z '))); // prettier-ignore
    expect(await why(credential('while :; do echo aaaaaaaaaaaaaaaaaaaaaaaa; done', {}, { time: 20_000, bytes: 1_000 }))).toContain('more than 1000 bytes'); // prettier-ignore
  });

  it('that failed is not run again by each who asks in that moment', async () => {
    const log = join(folder, 'failures');
    const one = await credential(`echo run >> ${log}; exit 1`);
    await Promise.all([1, 2, 3].map(() => one.token().catch(() => {})));
    await one.token().catch(() => {});
    expect(await readFile(log, 'utf8')).toBe('run\n');
  });

  it('is not run unless its target says so, and the refusal names the line', async () => {
    const file = join(folder, 'config.yaml');
    const mark = join(folder, 'was-run');
    await writeFile(
      file,
      `apiVersion: v1
kind: Config
current-context: one
clusters: [{name: prod, cluster: {server: "https://prod.example.org"}}]
contexts: [{name: one, context: {cluster: prod, user: robot}}]
users:
  - name: robot
    user:
      exec:
        apiVersion: ${V1}
        command: ${await program(`touch ${mark}; ${gives({ token: 'abc' })}`)}
        interactiveMode: IfAvailable
`,
    );
    await expect(readKubeconfig(file)).rejects.toMatchObject({
      code: 'config-invalid',
      message: 'user robot uses exec, which runs a program',
      place: { file, line: 9 },
      remedy: expect.stringContaining('allowExec: true') as string,
    });
    const connection = await readKubeconfig(file, { allowExec: true });
    await expect(readFile(mark)).rejects.toThrow('ENOENT');
    expect(await connection.authorization()).toBe('Bearer abc');
  });

  it.each([
    [{ apiVersion: 'client.authentication.k8s.io/v1alpha1' }, 'apiVersion'],
    [{ command: '' }, 'names no command'],
    [{ interactiveMode: 'Always' }, 'somebody to answer'],
    [{ args: [1] }, 'not all text'],
    [{ env: [{ name: 'A' }] }, 'name and value'],
  ])('is refused as %j', async (more, words) => {
    await expect(credential('exit', more)).rejects.toMatchObject({ code: 'config-invalid', message: expect.stringContaining(words) as string }); // prettier-ignore
  });
});
