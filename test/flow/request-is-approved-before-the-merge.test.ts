import { createHmac, randomUUID } from 'node:crypto';
import { forgetPeople, type Person } from '../../src/adapters/git/scratch-repository.js';
import { ApprovingOffice, config, PRODUCTION } from '../support/approving.js';
import { runCli } from '../support/cli.js';
import { type ForgeServer, startForgeServer } from '../support/forge-server.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { eventually } from '../support/world.js';

const SECRET = 'correct horse battery staple';
const SETTINGS = `apiVersion: countersign.dev/v1
environments:
  - {name: shop/production, path: environments/production, namespace: shop}
  - {name: shop/staging, path: environments/staging, namespace: shop}
policies: {starter: {profile: off}}
`;
const FOUR_EYES = `package countersign.team
require contains "somebody else has to agree" if {
  input.environment.name != "shop/staging"
  count(input.changes) > 0
  count({approval.person | some approval in input.approvals; approval.verified}) == 0
}
`;
let postgres: TestPostgres;
let forge: ForgeServer;
let office: ApprovingOffice;
let number = 0;

beforeAll(async () => {
  [postgres, forge] = await Promise.all([startPostgres(), startForgeServer('github')]);
  office = await ApprovingOffice.open(await postgres.database(), {
    data: '{}',
    files: { 'countersign.yaml': SETTINGS, 'policies/four-eyes.rego': FOUR_EYES },
    settings: `forge: {kind: github, api: "${forge.api}", project: acme/shop, tokenEnv: TOKEN}, webhook: {secretEnv: HOOK}`,
    env: { TOKEN: forge.token, HOOK: SECRET },
  });
  await office.approve(office.bo, (await office.decided('pending', office.genesis)).change);
  await office.decided('allow', office.genesis);
}, 120_000);

afterAll(async () => {
  await office?.close();
  await forge?.close();
  await Promise.all([postgres?.stop(), forgetPeople()]);
}, 60_000);

interface AdviceRow {
  readonly id: string;
  readonly outcome: string;
  readonly head: string;
  readonly number: number;
  readonly approvals: readonly { readonly id: string; readonly principal: string; readonly via: string }[];
  readonly repository: string;
  readonly environment: string;
  readonly target: string;
  readonly base: string;
  readonly tree: string;
  readonly renderedDigest: string;
}

async function advice(head: string): Promise<AdviceRow[]> {
  const { advice: found } = await office.query<{ advice: { nodes: AdviceRow[] } }>(
    `query ($head: String) { advice(filter: {head: $head, environment: "${PRODUCTION}", open: true}) { nodes {
       id outcome head number approvals { id principal via } repository environment target base tree renderedDigest } } }`,
    { head },
  );
  return found.nodes;
}

async function advised(outcome: string, head: string): Promise<AdviceRow> {
  return eventually(
    `the request at ${head.slice(0, 7)} to be ${outcome}`,
    async () => (await advice(head)).find((one) => one.outcome === outcome),
    async () => JSON.stringify(await advice(head)),
  );
}

/** The webhook of a forge where something happened. */
async function hook(event = 'pull_request'): Promise<void> {
  const body = JSON.stringify({ action: 'synchronize', nonce: randomUUID() });
  const response = await fetch(`${office.url}/webhook/github/shop`, {
    method: 'POST',
    body,
    headers: {
      'x-github-event': event,
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': `sha256=${createHmac('sha256', SECRET).update(body).digest('hex')}`,
    },
  });
  expect(response.status).toBe(202);
}

/** A request by Ann for another value in production, as a forge keeps it: on no branch that is followed. */
async function request(value: number, author = office.ann): Promise<AdviceRow> {
  const { repository } = office;
  await repository.checkout('work', 'main');
  const head = await office.change(value, { author });
  number += 1;
  await repository.git('update-ref', `refs/pull/${number}/head`, head);
  await repository.checkout('main');
  forge.requests = [...forge.requests, { number, head, target: 'main', author: 'ann-codes' }];
  await hook();
  return advised('pending', head);
}

async function merged(by: Person): Promise<string> {
  const { repository } = office;
  await repository.merge('work', { author: by, message: 'merge' });
  forge.requests = [];
  await hook();
  return repository.head();
}

const approveRequest = ({ target: ref, ...bytes }: AdviceRow, who: Person): Promise<void> =>
  office.approve(who, { ...bytes, ref });

async function status(head: string, state: string): Promise<void> {
  await eventually(`status ${state}`, () =>
    Promise.resolve(
      forge.statuses().findLast((one) => one['commit'] === head && one['context'] === `countersign/${PRODUCTION}`)?.[
        'state'
      ] === state,
    ),
  );
}

describe('an approval of an open request', () => {
  it('is given by `countersign approve`, turns its status green at once, and counts after a merge that others came before', async () => {
    const waiting = await request(2);
    await status(waiting.head, 'pending');
    const env = {
      HOME: office.root,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    };
    const options = ['--url', office.url, '--repository', office.repository.path, '--key', office.bo.keyFile];
    const done = await runCli(['approve', '--request', '1', PRODUCTION, ...options, '--yes'], { env });
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toContain(`${PRODUCTION} of request 1`);
    expect(done.stdout).toContain('replace /data/value');
    const green = await advised('allow', waiting.head);
    expect(green.approvals).toMatchObject([{ principal: 'bo@example.org', via: 'git' }]);
    await status(waiting.head, 'success');

    // Somebody else's commit in another environment comes first.
    const staging = await office.repository.commit({
      author: office.ann,
      message: 'staging',
      files: { 'environments/staging/config.yaml': config(9) },
    });
    await office.decided('allow', staging);
    const merge = await merged(office.ann);
    const allowed = await office.decided('allow', merge);
    expect(allowed.approvals).toEqual([{ id: green.approvals[0].id, principal: 'bo@example.org' }]);
    const { entry } = await office.query<{ entry: { predicate: Record<string, unknown> } }>(
      `{ entry(index: ${allowed.index}) { predicate } }`,
    );
    expect(entry.predicate['carried']).toEqual([{ approval: green.approvals[0].id, from: waiting.head }]);
  });

  it('counts after a fast-forward and a squash, and not again for what comes back after it was reverted', async () => {
    const first = await request(3);
    await approveRequest(first, office.bo);
    await advised('allow', first.head);
    await office.repository.git('merge', '--quiet', '--ff-only', 'work');
    forge.requests = [];
    expect((await office.decided('allow', first.head)).approvals).toMatchObject([{ principal: 'bo@example.org' }]);

    const second = await request(4);
    await approveRequest(second, office.bo);
    await advised('allow', second.head);
    const squashed = await office.change(4, { message: 'squashed' });
    forge.requests = [];
    expect((await office.decided('allow', squashed)).approvals).toMatchObject([{ principal: 'bo@example.org' }]);

    const reverted = await office.change(3, { message: 'revert' });
    await office.approve(office.bo, (await office.decided('pending', reverted)).change);
    await office.decided('allow', reverted);
    const again = await office.change(4, { message: 'once more' });
    expect((await office.decided('pending', again)).approvals).toEqual([]);
    await office.repository.rewind(reverted);
    await office.decided('allow', reverted);
  });

  it.each([
    ['holds something put in by hand', { 'shared/notes.txt': 'by hand\n' }, 'holds other files than merging that'],
    [
      'changes other objects as well',
      { 'environments/production/more.yaml': config(1).replace('settings', 'more') },
      'holds other objects',
    ],
  ])('does not count for a merge that %s, which says so', async (_, files, reason) => {
    const { repository } = office;
    const before = await repository.head('main');
    const waiting = await request(50 + number);
    await approveRequest(waiting, office.bo);
    const {
      approvals: [approval],
    } = await advised('allow', waiting.head);
    // Seen only when it is done: the merge on its own would count.
    await repository.checkout('evil', 'main');
    await repository.merge('work', { author: office.ann, message: 'merge' });
    const evil = await repository.commit({ author: office.ann, message: 'merge', amend: true, files });
    await repository.checkout('main');
    await repository.rewind(evil);
    forge.requests = [];
    const held = await office.decided('pending', evil);
    expect(held.approvals).toEqual([]);
    const { decision } = await office.query<{
      decision: { uncountedApprovals: { approval: { id: string }; reason: string }[] };
    }>(`{ decision(id: "${held.id}") { uncountedApprovals { approval { id } reason } } }`);
    expect(decision.uncountedApprovals).toMatchObject([
      { approval: { id: approval.id }, reason: expect.stringContaining(reason) as string },
    ]);
    await repository.rewind(before);
    await office.decided('allow', before);
  });

  it('is not given by who made it, nor for a head that was pushed over', async () => {
    const waiting = await request(60);
    const own = await office.recorded(() => approveRequest(waiting, office.ann));
    expect(own).toMatchObject({ status: 'rejected', reason: expect.stringContaining('their own change') as string });
    await office.repository.checkout('work', waiting.head);
    const newer = await office.change(61);
    await office.repository.git('update-ref', `refs/pull/${number}/head`, newer);
    await office.repository.checkout('main');
    forge.requests = [{ number, head: newer, target: 'main' }];
    await hook();
    await advised('pending', newer);
    const late = await office.recorded(() => approveRequest(waiting, office.bo));
    expect(late).toMatchObject({ status: 'rejected', reason: expect.stringContaining('no longer open') as string });
    forge.requests = [];
  });
});
