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
    expect(found[4]).toEqual({
      number: 5,
      head,
      target: 'refs/heads/release/1.x',
      ref: `refs/${place}/5/head`,
      author: null,
      updated: '2026-11-21T00:00:00Z',
    });
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

const reviewed = (id: number, login: string, state: string, more: object = {}) => ({
  id,
  user: { login },
  state,
  commit_id: head,
  submitted_at: `2026-11-21T03:00:0${id}Z`,
  ...more,
});

describe('approving reviews', () => {
  it.each(['github', 'gitea'] as const)('of %s are those that decided last and stand', async (kind) => {
    const { server: forgeServer, forge } = await start(kind);
    const asked = kind === 'github' ? 'CHANGES_REQUESTED' : 'REQUEST_CHANGES';
    const dismissed =
      kind === 'github' ? reviewed(6, 'dan', 'DISMISSED') : reviewed(6, 'dan', 'APPROVED', { dismissed: true });
    forgeServer.reviews.set(7, [
      reviewed(1, 'bo', asked),
      reviewed(2, 'bo', 'APPROVED'),
      reviewed(3, 'Bo', kind === 'github' ? 'COMMENTED' : 'COMMENT'),
      reviewed(4, 'cy', 'APPROVED'),
      reviewed(5, 'cy', asked),
      dismissed,
      reviewed(7, 'eve', 'APPROVED', { commit_id: null }),
      reviewed(8, 'ghost', 'APPROVED', { user: null }),
      reviewed(9, 'fay', 'PENDING', { submitted_at: null }),
    ]);
    expect(await forge.approvingReviews({ number: 7 })).toEqual([
      { id: '2', account: 'bo', commit: head, time: '2026-11-21T03:00:02.000Z' },
      { id: '7', account: 'eve', commit: null, time: '2026-11-21T03:00:07.000Z' },
    ]);
    expect(await forge.approvingReviews({ number: 8 })).toEqual([]);
  });

  it('of gitlab are of the newest head that was there when they were given', async () => {
    const { server: forgeServer, forge } = await start('gitlab');
    const later = 'b'.repeat(40);
    forgeServer.versions.set(7, [
      { head_commit_sha: later, created_at: '2026-11-21T03:00:05.000Z' },
      { head_commit_sha: head, created_at: '2026-11-21T02:00:00.000Z' },
    ]);
    forgeServer.reviews.set(7, [
      { user: { username: 'bo' }, approved_at: '2026-11-21T03:00:04.999Z' },
      { user: { username: 'cy' }, approved_at: '2026-11-21T03:00:05.000Z' },
      { user: { username: 'dan' }, approved_at: '2026-11-21T04:00:05.001+01:00' },
      { user: { username: 'eve' } },
    ]);
    expect((await forge.approvingReviews({ number: 7 })).map(({ account, commit }) => [account, commit])).toEqual([
      ['bo', head],
      ['cy', head],
      ['dan', later],
      ['eve', null],
    ]);
  });
});

describe('how a branch is guarded', () => {
  it('is what the forge says of it, without addresses, and unknown where it does not say', async () => {
    const github = await start('github');
    expect(await github.forge.branchProtection('main')).toMatchObject({ state: 'unknown' });
    github.server.settings.set('/branches/main', { name: 'main', protected: false });
    expect(await github.forge.branchProtection('main')).toMatchObject({ state: 'unprotected' });
    github.server.settings.set('/branches/main/protection', {
      url: 'https://x',
      allow_force_pushes: { enabled: false },
    });
    expect(await github.forge.branchProtection('main')).toEqual({
      state: 'protected',
      settings: { protection: { allow_force_pushes: { enabled: false } }, rules: null, protected: false },
    });
    github.server.instead = { status: 502, body: '{}' };
    await expect(github.forge.branchProtection('main')).rejects.toMatchObject({ code: 'forge-failed', retry: true });
    await github.server.close();

    const gitlab = await start('gitlab');
    gitlab.server.settings.set('/protected_branches', [
      { name: 'release*', allow_force_push: false },
      { name: 'other' },
    ]);
    expect(await gitlab.forge.branchProtection('release/1.x')).toMatchObject({
      state: 'protected',
      settings: { branches: [{ name: 'release*' }], approvals: null },
    });
    expect(await gitlab.forge.branchProtection('main')).toMatchObject({ state: 'unprotected' });
    await gitlab.server.close();

    const gitea = await start('gitea');
    expect(await gitea.forge.branchProtection('main')).toMatchObject({ state: 'unknown' });
    gitea.server.settings.set('/branch_protections', [{ rule_name: 'main', required_approvals: 1 }]);
    expect(await gitea.forge.branchProtection('main')).toMatchObject({ state: 'protected' });
    expect(await gitea.forge.branchProtection('work')).toMatchObject({ state: 'unprotected' });
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
