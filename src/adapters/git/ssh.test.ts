import { chmod, copyFile, writeFile } from 'node:fs/promises';
import {
  createRepository,
  person,
  type Person,
  type ScratchRepository,
  temporaryFolder,
} from '../../../test/support/git-fixture.js';
import { startGitServer } from '../../../test/support/git-server.js';
import { startSshServer, type SshServer } from '../../../test/support/ssh-server.js';
import type { Credentials, Mirror, SshFiles } from '../../source/repository.js';
import { openMirror } from './mirror.js';
import { sshEnvironment } from './ssh.js';

const folder = temporaryFolder();
const MAIN = 'refs/heads/main';
let ann: Person;
let repository: ScratchRepository;
let server: SshServer;
let files: SshFiles;
let count = 0;
const opened: Mirror[] = [];

beforeAll(async () => {
  ann = await person('Ann', 'ann@example.org');
  server = await startSshServer(folder.path('sshd'), [ann.publicKey]);
  files = { keyFile: ann.keyFile, knownHosts: folder.path('known_hosts') };
  await writeFile(files.knownHosts, `${server.hostKey}\n`);
  repository = await createRepository(folder.path('shop'));
  await commit('first');
});
afterEach(async () => {
  for (const mirror of opened.splice(0)) await mirror.close();
});
afterAll(() => server.close());

const commit = (message: string) =>
  repository.commit({ author: ann, sign: false, message, files: { 'a.txt': message } });

async function mirrorOf(url: string, ssh?: SshFiles, credentials?: Credentials): Promise<Mirror> {
  const options = { ...(ssh && { ssh }), ...(credentials && { credentials }) };
  const mirror = await openMirror(folder.path(`mirror-${count++}`), { url, refs: [MAIN], ...options });
  opened.push(mirror);
  return mirror;
}

describe('a mirror over SSH', () => {
  it('polls and fetches with its key from a host it knows', async () => {
    const mirror = await mirrorOf(`ssh://${server.user}@127.0.0.1:${server.port}${repository.path}`, files);
    const first = await repository.head();
    expect(await mirror.poll()).toEqual(new Map([[MAIN, first]]));
    await mirror.fetch(new Map());
    const second = await commit('second');
    expect(await mirror.fetch(new Map([[MAIN, first]]))).toEqual([
      { ref: MAIN, kind: 'advanced', old: first, new: second },
    ]);
    expect((await mirror.repository.commit(second)).message).toBe('second\n');
  });

  it('follows a repository in SHA-256', async () => {
    const other = await createRepository(folder.path('sha256'), { objectFormat: 'sha256' });
    const head = await other.commit({ author: ann, sign: false, message: 'first', files: { a: '1' } });
    const mirror = await mirrorOf(`ssh://${server.user}@127.0.0.1:${server.port}${other.path}`, files);
    expect(await mirror.fetch(new Map())).toEqual([{ ref: MAIN, kind: 'created', old: null, new: head }]);
    expect((await mirror.repository.commit(head)).message).toBe('first\n');
  });

  it('refuses a host whose key is unknown or another, before it shows its own', async () => {
    const url = `ssh://${server.user}@127.0.0.1:${server.port}${repository.path}`;
    const empty = folder.path('known-none');
    await writeFile(empty, '');
    await expect((await mirrorOf(url, { ...files, knownHosts: empty })).poll()).rejects.toMatchObject({
      code: 'repository-missing',
      message: expect.stringContaining('its host key is not in knownHosts') as string,
    });
    const other = folder.path('known-other');
    await writeFile(other, `[127.0.0.1]:${server.port} ${ann.publicKey}\n`);
    await expect((await mirrorOf(url, { ...files, knownHosts: other })).poll()).rejects.toMatchObject({
      message: expect.stringContaining('its host key is not the one in knownHosts') as string,
    });
  });

  it('when the server does not accept the key, or others may read it, says so', async () => {
    const url = `ssh://${server.user}@127.0.0.1:${server.port}${repository.path}`;
    const bo = await person('Bo', 'bo@example.org');
    await expect((await mirrorOf(url, { ...files, keyFile: bo.keyFile })).poll()).rejects.toMatchObject({
      message: expect.stringContaining('it does not accept this key') as string,
      retry: true,
    });
    const open = folder.path('open-key');
    await copyFile(ann.keyFile, open);
    await chmod(open, 0o644);
    await expect((await mirrorOf(url, { ...files, keyFile: open })).poll()).rejects.toMatchObject({
      message: expect.stringContaining('chmod 600') as string,
    });
  });

  it.each([
    'ssh://git@-oProxyCommand=touch/x',
    'ssh://-oProxyCommand=x@host/x',
    'git@host:-x',
    'git@host:x;touch /tmp/y',
    'git@host:$(id)',
    'ssh://git@host/`id`',
    'ssh://git@ho st/x',
  ])('refuses an address that could be taken for something else: %s', (address) => {
    expect(() => sshEnvironment(address, files)).toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });

  it('refuses files whose names ssh or a shell would read as something else, and an address without files', () => {
    for (const keyFile of ['/a b', '/%h', '/${HOME}', "/'", 'relative', '/a;b', '~/.ssh/id']) {
      expect(() => sshEnvironment('git@host:shop.git', { ...files, keyFile })).toThrow(/characters/);
    }
    expect(() => sshEnvironment('git@host:shop.git', undefined)).toThrow(/needs a key/);
    expect(sshEnvironment('git@host:shop.git', files).variables?.['GIT_SSH_COMMAND']).toMatch(
      /^ssh -F \/dev\/null -o BatchMode=yes -o StrictHostKeyChecking=yes /,
    );
  });
});

describe('a mirror over HTTP with a token', () => {
  it('sends it as a bearer token, and says when it is not accepted', async () => {
    const bare = await createRepository(folder.path('http', 'shop.git'), { bare: true });
    await repository.push(bare.path, 'main');
    const web = await startGitServer(folder.path('http'), { token: 'glpat-Abc123' });
    try {
      const mirror = await mirrorOf(`${web.url}/shop.git`, undefined, { token: 'glpat-Abc123' });
      const head = await repository.head();
      expect(await mirror.poll()).toEqual(new Map([[MAIN, head]]));
      expect(await mirror.fetch(new Map())).toMatchObject([{ kind: 'created', new: head }]);
      const other = await mirrorOf(`${web.url}/shop.git`, undefined, { token: 'another' });
      await expect(other.poll()).rejects.toMatchObject({ message: expect.stringContaining('HTTP 401') as string });
      await expect(mirrorOf(`${web.url}/shop.git`, undefined, { token: 'a\nHost: evil' })).rejects.toMatchObject({
        code: 'config-invalid',
      });
    } finally {
      await web.close();
    }
  });
});
