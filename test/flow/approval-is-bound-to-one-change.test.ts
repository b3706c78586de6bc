import { forgetPeople, person } from '../../src/adapters/git/scratch-repository.js';
import { APPROVALS_REF, approvalId, approvalPath } from '../../src/review/approval.js';
import { runCli } from '../support/cli.js';
import { ApprovingOffice, mayApprove, PRODUCTION, STAGING } from '../support/approving.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { eventually } from '../support/world.js';

describe('an approval (invariant 5)', () => {
  let postgres: TestPostgres;
  let office: ApprovingOffice;

  beforeAll(async () => {
    postgres = await startPostgres();
    office = await ApprovingOffice.open(await postgres.database(), {
      data: '{approvals: 1}',
    });
  }, 120_000);

  afterAll(async () => {
    await office?.close();
    await Promise.all([postgres?.stop(), forgetPeople()]);
  }, 60_000);

  it('lets a change through that waits for it, and the decision names it', async () => {
    const waiting = await office.decided('pending', office.genesis);
    expect(waiting.required).toMatchObject([{ rule: 'approvals.required' }]);
    const approval = await office.recorded(() => office.approve(office.bo, waiting.change));
    expect(approval).toMatchObject({ status: 'accepted', reason: null, principal: 'bo@example.org' });
    const allowed = await office.decided('allow', office.genesis);
    expect(allowed.approvals).toMatchObject([{ id: approval.id, principal: 'bo@example.org' }]);
    // Recorded in this order: it waits, somebody approves, it is allowed.
    expect(waiting.index).toBeLessThan(approval.index!);
    expect(approval.index).toBeLessThan(allowed.index!);
  });

  it('does not count for another environment of the same commit', async () => {
    const [staging, production] = [
      await office.decided('pending', office.genesis, STAGING),
      (await office.decided('allow', office.genesis)).change,
    ];
    const replayed = await office.recorded(() =>
      office.approve(office.bo, { ...production, environment: STAGING, renderedDigest: 'f'.repeat(64) }),
    );
    expect(replayed).toMatchObject({ status: 'rejected', reason: expect.stringContaining('renderedDigest') as string });
    expect((await office.decisions(STAGING, office.genesis))[0].outcome).toBe('pending');
    await office.recorded(() => office.approve(office.bo, staging.change));
    await office.decided('allow', office.genesis, STAGING);
  });

  it('is void after a new push, which needs its own', async () => {
    const first = await office.change(2);
    const waiting = await office.decided('pending', first);
    const second = await office.change(3);
    await office.decided('pending', second);
    const late = await office.recorded(() => office.approve(office.bo, waiting.change));
    expect(late).toMatchObject({ status: 'rejected', reason: expect.stringContaining('new push') as string });
    expect((await office.decisions(PRODUCTION, second))[0].outcome).toBe('pending');
  });

  it.each([
    ['base', 'a'.repeat(40)],
    ['tree', 'b'.repeat(40)],
    ['renderedDigest', 'c'.repeat(64)],
    ['ref', 'refs/heads/other'],
    ['repository', 'other'],
  ])('does not count when it names another %s', async (field, value) => {
    const head = await office.repository.head();
    const { change } = await office.decided('pending', head);
    const approval = await office.recorded(() => office.approve(office.bo, { ...change, [field]: value }));
    expect(approval).toMatchObject({ status: 'rejected', reason: expect.stringContaining(field) as string });
    expect((await office.decisions(PRODUCTION, head))[0].outcome).toBe('pending');
  });

  it('does not count when it was changed after it was signed, or signed for another purpose', async () => {
    const head = await office.repository.head();
    const { change } = await office.decided('pending', head);
    const tampered = await office.recorded(() =>
      office.approve(office.bo, { ...change, head: office.genesis }, { tamper: (one) => ({ ...one, head }) }),
    );
    expect(tampered).toMatchObject({ status: 'rejected', reason: 'the signature is not of this statement' });
    const forGit = await office.recorded(() => office.approve(office.bo, change, { namespace: 'git' }));
    expect(forGit).toMatchObject({ status: 'rejected', reason: expect.stringContaining('"git"') as string });
    expect((await office.decisions(PRODUCTION, head))[0].outcome).toBe('pending');
  });

  it('does not count from a key that nobody knows, nor from who made the change', async () => {
    const head = await office.repository.head();
    const { change } = await office.decided('pending', head);
    const mallory = await person('Mallory', 'mallory@example.org');
    const unknown = await office.recorded(() => office.approve(mallory, change));
    expect(unknown).toMatchObject({
      status: 'rejected',
      principal: null,
      reason: expect.stringContaining('none of') as string,
    });
    const own = await office.recorded(() => office.approve(office.ann, change));
    expect(own).toMatchObject({ status: 'rejected', reason: expect.stringContaining('their own change') as string });
    expect((await office.decisions(PRODUCTION, head))[0].outcome).toBe('pending');
  });

  it('does not count when the change was not yet judged that it names', async () => {
    const head = await office.repository.head();
    const { change } = await office.decided('pending', head);
    const early = await office.recorded(() => office.approve(office.cy, { ...change, head: 'd'.repeat(40) }));
    expect(early).toMatchObject({
      status: 'rejected',
      reason: expect.stringContaining('was judged when it came') as string,
    });
  });

  it('is found again by a service that was away when it came, and counts once', async () => {
    const head = await office.repository.head();
    const { change } = await office.decided('pending', head);
    await office.stop();
    await office.approve(office.bo, change);
    await office.start();
    await office.decided('allow', head);
    const counted = (await office.approvals()).filter((one) => one.head === head && one.status === 'accepted');
    expect(counted).toHaveLength(1);
    const decisions = await office.decisions(PRODUCTION, head);
    await office.stop();
    await office.start();
    expect(await office.decisions(PRODUCTION, head)).toHaveLength(decisions.length);
  });
});

describe('two approvals', () => {
  let postgres: TestPostgres;
  let office: ApprovingOffice;

  beforeAll(async () => {
    postgres = await startPostgres();
    office = await ApprovingOffice.open(await postgres.database(), { data: '{approvals: 2}' });
  }, 120_000);

  afterAll(async () => {
    await office?.close();
    await Promise.all([postgres?.stop(), forgetPeople()]);
  }, 60_000);

  it('are two people: one who approves twice counts once, and what is missing is told', async () => {
    const waiting = await office.decided('pending', office.genesis);
    await office.recorded(() => office.approve(office.bo, waiting.change));
    await office.recorded(() => office.approve(office.bo, waiting.change));
    const [half] = await office.decisions(PRODUCTION, office.genesis);
    expect(half).toMatchObject({ outcome: 'pending', required: [{ message: '1 of 2 approvals are there' }] });
    await office.recorded(() => office.approve(office.cy, waiting.change));
    const { approvals } = await office.decided('allow', office.genesis);
    expect([...new Set(approvals.map(({ principal }) => principal))].toSorted()).toEqual([
      'bo@example.org',
      'cy@example.org',
    ]);
  });
});

const to = (target: string): string => `apiVersion: countersign.dev/v1
environments:
  - {name: ${PRODUCTION}, path: environments/production, namespace: shop, ref: refs/heads/live, target: ${target}}
policies: {starter: {profile: baseline, data: {approvals: 1}}}
`;

describe('an approval and where the objects go', () => {
  let postgres: TestPostgres;
  let office: ApprovingOffice;
  let governed: string;

  beforeAll(async () => {
    postgres = await startPostgres();
    // Nobody answers there: nothing is applied, and what is decided does not depend on it.
    const kubeconfig = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:9' } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'c',
    });
    const grants = '[{repository: shop, namespaces: [shop], kinds: ["*"]}]';
    office = await ApprovingOffice.open(await postgres.database(), {
      data: '{approvals: 1}',
      files: { 'countersign.yaml': to('east') },
      branches: ['live'],
      settings: 'refs: [refs/heads/main, refs/heads/live]',
      beside: { 'cluster.json': kubeconfig },
      service: `targets:\n${['east', 'west'].map((name) => `  - {name: ${name}, kind: kubernetes, kubeconfig: cluster.json, grants: ${grants}}\n`).join('')}`,
    });
    governed = office.genesis;
  }, 120_000);

  afterAll(async () => {
    await office?.close();
    await Promise.all([postgres?.stop(), forgetPeople()]);
  }, 60_000);

  /** What governs from here on sends the environment somewhere else, and Bo agrees to that. */
  async function move(target: string): Promise<void> {
    governed = await office.repository.commit({
      author: office.ann,
      message: `go ${target}`,
      files: { 'countersign.yaml': to(target) },
    });
    const { change } = await office.decided('pending', governed, 'governance');
    await office.recorded(() => office.approve(office.bo, change));
    await office.decided('allow', governed, 'governance');
  }

  it('lets a change through to one target, once', async () => {
    const head = office.genesis;
    const first = await office.decided('pending', head);
    expect(first.change.target).toBe('east');
    const east = await office.recorded(() => office.approve(office.bo, first.change));
    await office.decided('allow', head);

    await move('west');
    const moved = await office.decided('pending', head);
    const { target, ...same } = first.change;
    expect(moved.change).toEqual({ ...same, target: 'west' });
    expect(moved.uncountedApprovals).toEqual([
      { approval: { id: east.id }, reason: `it names target ${target}, the change has west` },
    ]);
    // Neither the same statement again, nor one that an earlier release made before the move and that names no target …
    const again = await office.recorded(() => office.approve(office.cy, first.change));
    expect(again).toMatchObject({ status: 'rejected', reason: expect.stringContaining('the target east') as string });
    expect((await office.decisions(PRODUCTION, head))[0].outcome).toBe('pending');
    // … which is for what waits when it comes, and for that alone.
    const old = await office.recorded(() => office.approve(office.cy, same));
    expect(old).toMatchObject({ status: 'accepted', target: 'west' });
    await office.decided('allow', head);

    await move('east');
    const back = await office.decided('pending', head);
    expect(back.approvals).toEqual([]);
    const ofEast = (await office.approvals()).find(({ id }) => id === east.id);
    expect(ofEast).toMatchObject({ status: 'lapsed', reason: expect.stringContaining('has moved to west') as string });
  });
});

const missing = (there: number) => ({
  outcome: 'pending',
  required: [{ message: `${there} of 2 approvals are there` }],
});

describe('who approves is a person, not a name (invariant 6)', () => {
  let postgres: TestPostgres;
  let office: ApprovingOffice;

  beforeAll(async () => {
    postgres = await startPostgres();
    const [home, any, mobile] = await Promise.all([
      person('Ann at home', 'ann@home.example.org'),
      person('Somebody', 'any@example.org'),
      person('Bo on the road', 'bo@road.example.org'),
    ]);
    office = await ApprovingOffice.open(await postgres.database(), {
      data: '{approvals: 2}',
      signers: ({ ann, bo, cy }) =>
        [ann, bo, cy, home, mobile].map((one) => mayApprove(one)).join('') +
        mayApprove(any, '*@example.org') +
        `bo@home.example.org namespaces="git" ${home.publicKey}\n`,
      files: {
        '.countersign/identities.yaml': `apiVersion: countersign.dev/v1
people:
  - {person: ann, principals: [ann@example.org, ann@home.example.org]}
  - {person: bo, principals: [bo@example.org, bo@road.example.org]}
  - {person: cy, principals: [cy@example.org]}
`,
      },
    });
  }, 120_000);

  afterAll(async () => {
    await office?.close();
    await Promise.all([postgres?.stop(), forgetPeople()]);
  }, 60_000);

  it('refuses who made the change under another key and address', async () => {
    const { change } = await office.decided('pending', office.genesis);
    const home = await person('Ann at home', 'ann@home.example.org');
    const own = await office.recorded(() => office.approve(home, change));
    expect(own).toMatchObject({ status: 'rejected', reason: expect.stringContaining('their own change') as string });
  });

  it('refuses a key that belongs to nobody in particular', async () => {
    const { change } = await office.decided('pending', office.genesis);
    const any = await person('Somebody', 'any@example.org');
    const approval = await office.recorded(() => office.approve(any, change));
    expect(approval).toMatchObject({ status: 'rejected', reason: expect.stringContaining('nobody') as string });
  });

  it('lets whoever gave an approval take it back, under another key of theirs too, and nobody else', async () => {
    const until = (there: number) =>
      eventually(`${there} of 2`, async () => {
        const [newest] = await office.decisions(PRODUCTION, office.genesis);
        return newest.required[0].message === missing(there).required[0].message;
      });
    const statusOf = async (id: string) => (await office.approvals()).find((one) => one.id === id);
    const { change } = await office.decided('pending', office.genesis);
    const given = await office.recorded(() => office.approve(office.bo, change));
    await until(1);

    const stranger = await office.recorded(() => office.withdraw(office.cy, change, given.id));
    expect(stranger).toMatchObject({
      status: 'rejected',
      reason: expect.stringContaining('cy@example.org did not give that approval') as string,
    });
    expect(await statusOf(given.id)).toMatchObject({ status: 'accepted' });

    const mobile = await person('Bo on the road', 'bo@road.example.org');
    await office.withdraw(mobile, change, given.id);
    await until(0);
    expect(await statusOf(given.id)).toMatchObject({ status: 'withdrawn', reason: 'whoever gave it took it back' });

    // Once more says nothing new; nor does what is found again after a start.
    const known = await office.approvals();
    await office.withdraw(office.bo, change, given.id);
    await office.stop();
    // Both come while nobody looks: the approval counts for nothing from its first moment on.
    await office.approve(office.bo, change);
    const text = await office.repository.git('show', `${APPROVALS_REF}:${approvalPath(change, office.bo.email)}`);
    const path = `${approvalPath(change, office.bo.email)}.sig`;
    const signature = `${await office.repository.git('show', `${APPROVALS_REF}:${path}`)}\n`;
    await office.withdraw(office.bo, change, approvalId('shop', text, signature));
    await office.start();
    await eventually(
      'the second to be withdrawn',
      async () => {
        const added = (await office.approvals()).slice(0, -known.length);
        return added.length === 1 && added[0].index !== null && added[0].status === 'withdrawn';
      },
      async () => JSON.stringify(await office.approvals()),
    );
    expect((await office.decisions(PRODUCTION, office.genesis))[0]).toMatchObject(missing(0));

    const third = await office.recorded(() => office.approve(office.bo, change));
    await until(1);
    const env = {
      HOME: office.root,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    };
    const options = ['--url', office.url, '--repository', office.repository.path, '--key', office.bo.keyFile];
    const withdraw = (id: string) =>
      runCli(['approve', ...options, '--withdraw', id, '--comment', 'a mistake'], { env });
    expect(await withdraw(third.id.slice(0, 12))).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^withdrawn {2}shop\/production [0-9a-f]{12}, given by bo@example\.org/) as string,
      stderr: '',
    });
    await until(0);
    expect((await statusOf(third.id))?.reason).toBe('whoever gave it took it back: a mistake');
    expect(await withdraw(third.id)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no approval') as string,
    });
    expect(await withdraw('main')).toMatchObject({ code: 2, stderr: expect.stringContaining('is no id') as string });
  });

  it('counts no approval whose key was revoked while the change waited', async () => {
    // Governance is on the same branch, so revoking is itself a new push; it is approved by the two who are left.
    const { change } = await office.decided('pending', office.genesis);
    expect(await office.recorded(() => office.approve(office.bo, change))).toMatchObject({ status: 'accepted' });
    const head = await office.repository.commit({
      author: office.ann,
      message: 'revoke Bo',
      files: { '.countersign/revoked_signers': `${office.bo.publicKey}\n` },
    });
    const governance = await office.decided('pending', head, 'governance');
    // Not in force yet: Bo approves the loss of his own key.
    expect(await office.recorded(() => office.approve(office.bo, governance.change))).toMatchObject({
      status: 'accepted',
    });
    const waiting = await office.decided('pending', head);
    const bos = await office.recorded(() => office.approve(office.bo, waiting.change));
    expect(bos).toMatchObject({ status: 'accepted' });
    await office.recorded(() => office.approve(office.cy, governance.change));
    await office.decided('allow', head, 'governance');
    await office.recorded(() => office.approve(office.cy, waiting.change));
    const lapsed = await eventually('the lapse', async () =>
      (await office.approvals()).find(({ id, status }) => id === bos.id && status === 'lapsed'),
    );
    expect(lapsed.reason).toBe('the key is revoked');
    const still = await eventually('the judgement after it', async () =>
      (await office.decisions(PRODUCTION, head)).find(({ approvals }) =>
        approvals.some(({ principal }) => principal === 'cy@example.org'),
      ),
    );
    expect(still).toMatchObject({ outcome: 'pending', required: [{ message: '1 of 2 approvals are there' }] });
  });
});
