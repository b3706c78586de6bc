import { type ForgeKind, type ForgeServer, startForgeServer } from '../../../test/support/forge-server.js';
import type { CommitStatus } from '../../review/forge.js';
import { openForge } from './forges.js';

const head = 'a'.repeat(40);
const status: CommitStatus = {
  commit: head,
  context: 'countersign/shop/production',
  outcome: 'deny',
  description: 'denied: images.pinned',
};
let server: ForgeServer | undefined;
afterEach(() => server?.close());

async function start(kind: ForgeKind, token?: string) {
  server = await startForgeServer(kind);
  const forge = openForge({ kind, api: server.api, project: 'acme/shop', token: token ?? server.token });
  return { server, forge };
}

describe.each<ForgeKind>(['github', 'gitlab', 'gitea'])('%s', (kind) => {
  it('lists every open request, page by page', async () => {
    const { server: forgeServer, forge } = await start(kind);
    forgeServer.requests = [1, 2, 3, 4, 5].map((number) => ({ number, head, target: 'release/1.x' }));
    const found = await forge.openRequests();
    const place = kind === 'gitlab' ? 'merge-requests' : 'pull';
    expect(found).toHaveLength(5);
    expect(found[4]).toEqual({ number: 5, head, target: 'refs/heads/release/1.x', ref: `refs/${place}/5/head` });
    expect(forgeServer.asked[0]?.headers['user-agent']).toBe('countersign');
    expect(forgeServer.asked.map(({ path }) => /[?&]page=(\d)/.exec(path)?.[1])).toEqual(['1', '2', '3', '4']);
  });

  it('sets a commit status as that forge wants it', async () => {
    const { server: forgeServer, forge } = await start(kind);
    for (const outcome of ['allow', 'deny', 'pending', 'error'] as const) await forge.report({ ...status, outcome });
    const states = {
      github: ['success', 'failure', 'pending', 'error'],
      gitlab: ['success', 'failed', 'pending', 'failed'],
      gitea: ['success', 'failure', 'pending', 'error'],
    };
    expect(forgeServer.statuses().map(({ state }) => state)).toEqual(states[kind]);
    expect(forgeServer.statuses()[1]).toEqual({
      commit: head,
      state: states[kind][1],
      [kind === 'gitlab' ? 'name' : 'context']: status.context,
      description: status.description,
    });
  });

  it('says what is wrong with token, project, answer and connection, and never says the token', async () => {
    const { forge } = await start(kind, 'a-wrong-token');
    await expect(forge.openRequests()).rejects.toMatchObject({
      code: 'forge-failed',
      message: expect.stringMatching(/^GET \S+ of 127\.0\.0\.1:\d+ answered HTTP 401$/) as string,
      remedy: expect.stringContaining('token') as string,
    });
    server!.instead = { status: 200, body: JSON.stringify([{ number: 1, iid: 1, head: { sha: '--upload-pack=x' } }]) };
    await expect(forge.openRequests()).rejects.toMatchObject({
      message: expect.stringContaining('not understood') as string,
    });
    server!.instead = { status: 200, body: 'x'.repeat(17 * 1024 * 1024) };
    await expect(forge.openRequests()).rejects.toMatchObject({ message: expect.stringContaining('passed') as string });
    server!.instead = { status: 502, body: '{}' };
    await expect(forge.report(status)).rejects.toMatchObject({ retry: true });
    await server!.close();
    const away = await forge.openRequests().catch((error: unknown) => error);
    expect(away).toMatchObject({ code: 'forge-failed', retry: true });
    expect(JSON.stringify(away)).not.toContain('a-wrong-token');
  });
});

describe('a forge that redirects', () => {
  it('is not followed, since the token would be sent there', async () => {
    const { forge } = await start('github');
    server!.instead = { status: 302, body: '' };
    await expect(forge.report(status)).rejects.toMatchObject({ code: 'forge-failed' });
    expect(server!.asked).toHaveLength(1);
  });
});
