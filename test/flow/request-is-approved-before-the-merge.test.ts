import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { forgetPeople, person, type Person } from '../../src/adapters/git/scratch-repository.js';
import { ApprovingOffice, config, PRODUCTION } from '../support/approving.js';
import { runCli } from '../support/cli.js';
import { type ForgeServer, startForgeServer } from '../support/forge-server.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { sendGithub } from '../support/webhook.js';
import { eventually } from '../support/world.js';

/** Others may be using the machine. */
const PATIENCE = 240_000;
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
const IDENTITIES = `apiVersion: countersign.dev/v1
people:
  - {person: ann, principals: [ann@example.org], logins: [ann], accounts: {github: [ann-codes, ann-too]}}
  - {person: bo, principals: [bo@example.org], logins: [bo], accounts: {github: [bo-codes]}}
  - {person: cy, principals: [cy@example.org], accounts: {github: [cy-codes]}}
`;
const [BO, ANN] = ['cs_bo', 'cs_ann'];
const sha256 = (token: string): string => createHash('sha256').update(token).digest('hex');
let postgres: TestPostgres;
let forge: ForgeServer;
let office: ApprovingOffice;
let dana: Person;
let number = 0;

beforeAll(async () => {
  [postgres, forge, dana] = await Promise.all([
    startPostgres(),
    startForgeServer('github'),
    person('Dana', 'dana@example.org'),
  ]);
  office = await ApprovingOffice.open(await postgres.database(), {
    data: '{}',
    files: {
      'countersign.yaml': SETTINGS,
      'policies/four-eyes.rego': FOUR_EYES,
      '.countersign/identities.yaml': IDENTITIES,
    },
    settings: `forge: {kind: github, api: "${forge.api}", project: acme/shop, tokenEnv: TOKEN}, webhook: {secretEnv: HOOK}, administrators: [{name: dana@example.org, key: ${dana.publicKey}}]`,
    env: { TOKEN: forge.token, HOOK: SECRET },
    service: `access:
  loopback: read
  tokens:
    - {name: bo-laptop, login: bo, role: approver, sha256: ${sha256(BO)}, repositories: [shop], environments: [shop/production], expires: 2099-01-01T00:00:00Z}
    - {name: ann-laptop, login: ann, role: approver, sha256: ${sha256(ANN)}, repositories: ["*"], environments: ["*"], expires: 2099-01-01T00:00:00Z}
    - {name: bo-old, login: bo, role: approver, sha256: ${sha256('cs_old')}, repositories: ["*"], environments: ["*"], expires: 2026-01-01T00:00:00Z}
    - {name: eve, login: eve, role: approver, sha256: ${sha256('cs_eve')}, repositories: ["*"], environments: ["*"], expires: 2099-01-01T00:00:00Z}`,
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
  const told = { action: 'synchronize' };
  expect(await sendGithub(`${office.url}/webhook/github/shop`, SECRET, event, told)).toBe(202);
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
  it(
    'is given by `countersign approve`, turns its status green at once, and counts after a merge that others came before',
    async () => {
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
    },
    PATIENCE,
  );

  it(
    'counts after a fast-forward and a squash, and not again for what comes back after it was reverted',
    async () => {
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
    },
    PATIENCE,
  );

  it.each([
    ['holds something put in by hand', { 'shared/notes.txt': 'by hand\n' }, 'holds other files than merging that'],
    [
      'changes other objects as well',
      { 'environments/production/more.yaml': config(1).replace('settings', 'more') },
      'holds other objects',
    ],
  ])(
    'does not count for a merge that %s, which says so',
    async (_, files, reason) => {
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
    },
    PATIENCE,
  );

  it(
    'is not given by who made it, nor for a head that was pushed over',
    async () => {
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
    },
    PATIENCE,
  );
});

const review = (id: number, login: string, state: string, commit: string) => ({
  id,
  user: { login },
  state,
  commit_id: commit,
  submitted_at: new Date(Date.UTC(2026, 10, 21, 3, 0, id)).toISOString(),
});

interface Entry {
  readonly type: string;
  readonly predicate: Readonly<Record<string, unknown>>;
}
const entries = async (type: string): Promise<readonly Entry[]> =>
  (
    await office.query<{ entries: { nodes: Entry[] } }>(
      `{ entries(first: 500, newestFirst: true, filter: {type: [${type}]}) { nodes { type predicate } } }`,
    )
  ).entries.nodes;

describe('a review on the forge', () => {
  it(
    'counts by the forge’s word for who the identity map gives its account to, until it is dismissed',
    async () => {
      const waiting = await request(70);
      forge.reviews.set(number, [
        review(1, 'ann-codes', 'APPROVED', waiting.head),
        review(2, 'ann-too', 'APPROVED', waiting.head),
        review(3, 'stranger', 'APPROVED', waiting.head),
        review(4, 'cy-codes', 'APPROVED', waiting.base),
      ]);
      await hook('pull_request_review');
      const seen = async () => {
        const { approvals } = await office.query<{
          approvals: { nodes: { account: string; status: string; reason: string }[] };
        }>(`{ approvals(filter: {head: "${waiting.head}"}) { nodes { account status reason } } }`);
        return approvals.nodes;
      };
      // Of each account once for each environment that the request would change.
      const refused = await eventually(
        'the reviews that do not count',
        async () => {
          const reviews = await seen();
          return new Set(reviews.map(({ account }) => account)).size === 3 && reviews;
        },
        async () => JSON.stringify(await seen()),
      );
      expect(Object.fromEntries(refused.map(({ account, reason }) => [account, reason]))).toEqual({
        'github:ann-codes': expect.stringContaining('their own change') as string,
        'github:ann-too': expect.stringContaining('their own change') as string,
        'github:stranger': expect.stringContaining('to nobody') as string,
      });
      expect((await advised('pending', waiting.head)).approvals).toEqual([]);

      forge.reviews.get(number)!.push(review(5, 'bo-codes', 'APPROVED', waiting.head));
      await hook('pull_request_review');
      const green = await advised('allow', waiting.head);
      expect(green.approvals).toMatchObject([{ principal: 'bo', via: 'forge' }]);
      await status(waiting.head, 'success');
      const logged = (await entries('approval')).find(({ predicate }) => predicate['id'] === green.approvals[0].id);
      expect(logged?.predicate).toMatchObject({
        via: 'forge',
        strength: 'vouched',
        status: 'accepted',
        head: waiting.head,
      });

      forge.reviews.get(number)!.push(review(6, 'bo-codes', 'DISMISSED', waiting.head));
      await hook('pull_request_review');
      await advised('pending', waiting.head);
      await status(waiting.head, 'pending');
      const withdrawn = (await entries('approval')).filter(
        ({ predicate }) => predicate['id'] === green.approvals[0].id,
      );
      expect(withdrawn.map(({ predicate }) => predicate['status'])).toEqual(['withdrawn', 'accepted']);
    },
    PATIENCE,
  );

  it(
    'counts also when it is given and the request merged in one breath',
    async () => {
      forge.requests = [];
      const waiting = await request(71);
      forge.reviews.set(number, [review(7, 'cy-codes', 'APPROVED', waiting.head)]);
      const merge = await merged(office.ann);
      expect((await office.decided('allow', merge)).approvals).toMatchObject([{ principal: 'cy' }]);
    },
    PATIENCE,
  );
});

const call = async (query: string, variables: object, token?: string) => {
  const response = await fetch(`${office.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify({ query, variables }),
  });
  const answer = (await response.json()) as {
    data: Record<string, { id: string; status: string; reason: string | null }> | null;
    errors?: { extensions: { code: string } }[];
  };
  return { status: response.status, code: answer.errors?.[0]?.extensions.code, data: answer.data };
};
const inputOf = ({ repository, target, environment, base, head, tree, renderedDigest }: AdviceRow) => ({
  input: { repository, ref: target, environment, base, head, tree, renderedDigest, comment: 'looks right' },
});

describe('the mutation approve', () => {
  const APPROVE =
    'mutation ($input: ApproveInput!) { approve(input: $input) { id status reason via strength account } }';
  it(
    'lets nobody in without a token that is valid and good for this, and logs each refusal',
    async () => {
      forge.requests = [];
      const waiting = await request(80);
      const input = inputOf(waiting);
      const elsewhere = { input: { ...input.input, environment: 'shop/staging' } };
      expect(await call(APPROVE, input)).toMatchObject({ status: 401, code: 'unauthenticated' });
      expect(await call(APPROVE, input, 'cs_guessed')).toMatchObject({ status: 401, code: 'unauthenticated' });
      expect(await call(APPROVE, input, 'cs_old')).toMatchObject({ status: 401, code: 'unauthenticated' });
      expect(await call(APPROVE, elsewhere, BO)).toMatchObject({ status: 403, code: 'forbidden' });
      expect(await call('mutation { withdrawApproval(id: "0") { id } }', {}, BO)).toMatchObject({ status: 404 });
      const get = await fetch(
        `${office.url}/graphql?query=${encodeURIComponent('mutation { withdrawApproval(id: "0") { id } }')}`,
        {
          headers: { authorization: `Bearer ${BO}` },
        },
      );
      expect(get.status).toBeGreaterThanOrEqual(400);
      const codes = (await entries('access')).map(({ predicate }) => predicate['code']);
      expect(codes.toReversed()).toEqual(['no-token', 'unknown-token', 'expired', 'out-of-scope', 'nothing-there']);
      expect((await advised('pending', waiting.head)).approvals).toEqual([]);
    },
    PATIENCE,
  );

  it(
    'counts for nobody’s own change, nobody unknown and nothing else than it names; else at once, until it is taken back',
    async () => {
      const [waiting] = await advice(forge.requests[0].head);
      const input = inputOf(waiting);
      const status = async (token: string, more: object = {}) =>
        (await call(APPROVE, { input: { ...input.input, ...more } }, token)).data?.['approve'];
      expect(await status(ANN)).toMatchObject({
        status: 'rejected',
        reason: expect.stringContaining('own change') as string,
      });
      expect(await status('cs_eve')).toMatchObject({
        status: 'rejected',
        reason: expect.stringContaining('to nobody') as string,
      });
      expect(await status(BO, { tree: 'a'.repeat(40) })).toMatchObject({
        status: 'rejected',
        reason: expect.stringContaining('names tree') as string,
      });
      const given = await status(BO);
      expect(given).toMatchObject({ status: 'accepted', via: 'login', strength: 'vouched', account: 'login:bo' });
      expect(await status(BO)).toMatchObject({ id: given!.id });
      expect((await advised('allow', waiting.head)).approvals).toMatchObject([{ id: given!.id, principal: 'bo' }]);
      const take = `mutation { withdrawApproval(id: "${given!.id}") { status } }`;
      expect(await call(take, {}, ANN)).toMatchObject({ status: 404 });
      expect((await call(take, {}, BO)).data?.['withdrawApproval']).toEqual({ status: 'withdrawn' });
      await advised('pending', waiting.head);

      // The same by the command line, and it counts after the merge.
      const file = `${office.root}/token`;
      await writeFile(file, `${BO}\n`);
      const env = {
        HOME: office.root,
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
      };
      const done = await runCli(
        [
          'approve',
          PRODUCTION,
          '--url',
          office.url,
          '--repository',
          office.repository.path,
          '--token-file',
          file,
          '--yes',
        ],
        { env },
      );
      expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining('approved  shop/production') as string });
      await advised('allow', waiting.head);
      const merge = await merged(office.ann);
      expect((await office.decided('allow', merge)).approvals).toMatchObject([{ principal: 'bo' }]);
    },
    PATIENCE,
  );
});

describe('how the forge guards the branch', () => {
  interface Guard {
    readonly ref: string;
    readonly state: string;
    readonly settings: Readonly<Record<string, unknown>>;
    readonly entry: { readonly type: string };
  }
  const guards = async (): Promise<readonly Guard[]> =>
    (
      await office.query<{ repository: { branchProtection: Guard[] } }>(
        '{ repository(name: "shop") { branchProtection { ref state settings entry { type } } } }',
      )
    ).repository.branchProtection;

  it(
    'is shown as it said last, and logged whenever that changed',
    async () => {
      expect(await guards()).toMatchObject([
        { ref: 'refs/heads/main', state: 'unknown', entry: { type: 'protection' } },
      ]);
      forge.settings.set('/branches/main', { protected: true });
      forge.settings.set('/branches/main/protection', { allow_force_pushes: { enabled: false } });
      await office.stop();
      await office.start();
      const now = await eventually('the other state', async () =>
        (await guards()).find(({ state }) => state === 'protected'),
      );
      expect(now.settings).toMatchObject({ protection: { allow_force_pushes: { enabled: false } } });
      await office.stop();
      await office.start();
      await hook();
      await office.decided('allow', await office.repository.head());
      expect(await entries('protection')).toHaveLength(2);
    },
    PATIENCE,
  );
});

const governance = (outcome: string, head: string) => office.decided(outcome, head, 'governance');

describe('a policy that denies everything, its own correction included', () => {
  const emergency = 'lift the lock\n\nBreak-Glass: nothing goes through any more\nTicket: INC-9\n';

  it('is replaced by a commit that a configured administrator signed, which is marked and owes a review', async () => {
    forge.requests = [];
    const { repository } = office;
    const locked = await repository.commit({
      author: office.ann,
      message: 'lock',
      files: { 'policies/lock.rego': 'package countersign.lock\n\ndeny contains "nothing changes" if true\n' },
    });
    await governance('allow', locked);
    // Nobody of the repository gets out, whatever they claim.
    const tries = [
      { author: dana, message: 'unlock\n\nBreak-Glass: no ticket\n' },
      { author: dana, sign: office.ann, message: emergency },
    ];
    for (const one of tries) {
      const head = await repository.commit({ ...one, delete: ['policies/lock.rego'] });
      expect((await governance('deny', head)).violations).toMatchObject([{ message: 'nothing changes' }]);
      await repository.rewind(locked);
    }
    const lifted = await repository.commit({ author: dana, message: emergency, delete: ['policies/lock.rego'] });
    const denied = await governance('deny', lifted);
    expect(denied.reviewDuty).toMatchObject({ principal: 'dana@example.org', ticket: 'INC-9', closedAt: null });
    const [override] = await entries('action');
    expect(override.predicate).toMatchObject({
      action: 'override',
      decision: denied.id,
      outcome: 'deny',
      head: lifted,
    });
    const { repository: state } = await office.query<{ repository: { governanceCommit: string } }>(
      '{ repository(name: "shop") { governanceCommit } }',
    );
    expect(state.governanceCommit).toBe(lifted);
    await office.decided('allow', lifted);
    await office.recorded(() => office.approve(office.bo, denied.change));
    await eventually('the review', async () => (await governance('deny', lifted)).reviewDuty?.closedAt);
  }, 240_000);
});

describe('all of this', () => {
  it('verifies offline, decisions replayed', async () => {
    const [data, trust, file] = ['data', 'trust.txt', 'evidence.zip'].map((name) => `${office.root}/${name}`);
    await writeFile(trust, (await runCli(['keys', '--data', data, '--vkey'])).stdout);
    expect(await runCli(['export', '--data', data, '--format', 'bundle', '--to', file])).toMatchObject({ code: 0 });
    const { code, stdout } = await runCli(['verify', file, '--trust', trust]);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('all equal') as string });
  }, 120_000);
});
