import { startApi, type Answer, type TestApi } from '../../test/support/api.js';
import { seedShop } from '../../test/support/shop.js';

const DECISIONS = 130;
let api: TestApi;

beforeAll(async () => {
  api = await startApi();
  await seedShop(api, DECISIONS);
}, 120_000);
afterAll(() => api.close());

interface ListPage {
  readonly list: {
    readonly totalCount: number;
    readonly nodes: readonly { readonly id: string }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

async function walk(
  list: string,
  first: number,
  filter = '',
): Promise<{ ids: string[]; pages: number; total: number }> {
  const ids: string[] = [];
  let [after, pages, total]: [string | null, number, number] = [null, 0, 0];
  do {
    const { data, errors }: Answer<ListPage> = await api.query<ListPage>(
      `query ($after: String, $first: Int) { list: ${list}(first: $first, after: $after ${filter}) {
         totalCount nodes { id } pageInfo { hasNextPage endCursor } } }`,
      { after, first },
    );
    expect(errors).toEqual([]);
    const page: ListPage['list'] = data!.list;
    ids.push(...page.nodes.map((node) => node.id));
    after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    total = page.totalCount;
    pages++;
  } while (after !== null);
  return { ids, pages, total };
}

describe('GraphQL', () => {
  it('says who changed an object, who signed it, why it was allowed, and where that is in the log', async () => {
    const { data, errors } = await api.query<Record<string, any>>(`{
      objects(filter: {kind: "Deployment", namespace: "shop"}) { nodes {
        object { apiVersion kind namespace name } source { path line } health decisionIndex
        commit { id author { name email } subject signature { status principal } }
        decision { id outcome index entry { type leafHash predicateType inclusion { treeSize proof checkpoint } } } } } }`);
    expect(errors).toEqual([]);
    const [object] = data!['objects'].nodes;
    expect(object).toMatchObject({
      object: { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'cart-1' },
      source: { path: 'production/cart.yaml', line: 1 },
      health: 'healthy',
      commit: {
        author: { name: 'Ann', email: 'ann@example.org' },
        subject: 'tune cart 1',
        signature: { status: 'verified', principal: 'ann@example.org' },
      },
      decision: { id: 'decision-1', outcome: 'allow', entry: { type: 'decision' } },
    });
    expect(object.decision.index).toBe(object.decisionIndex);
    expect(object.decision.entry.inclusion.checkpoint).toContain('log.example.org/test');
  });

  it('shows a denied change with rule, message, places and fix', async () => {
    const { data, errors } = await api.query<Record<string, any>>(`{
      decisions(first: 1, filter: {outcome: [deny], rule: "images.pinned"}) { totalCount nodes {
        outcome violations { rule message severity controls place { file line } source { path line } object { apiVersion kind name } fix commit details }
        change { head base commits { id } objectChangeCount push { kind entry { index } }
          objectChanges(first: 5) { totalCount nodes { op patch object { apiVersion name } source { path line } } } } } } }`);
    expect(errors).toEqual([]);
    expect(data!['decisions']).toMatchObject({
      totalCount: Math.floor(DECISIONS / 3),
      nodes: [
        {
          violations: [
            {
              rule: 'images.pinned',
              severity: 'high',
              controls: ['SOC2:CC8.1'],
              place: { file: 'policies/supply-chain/images.rego', line: 14 },
              object: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart-1' },
              commit: null,
            },
          ],
          change: {
            objectChangeCount: 1,
            push: { kind: 'created' },
            objectChanges: {
              totalCount: 1,
              nodes: [{ op: 'update', object: { name: 'cart-9' }, source: { line: 12 } }],
            },
          },
        },
      ],
    });
  });

  it('shows repositories, environments, runs, drift with its evidence, faults, commits and the service', async () => {
    const { data, errors } = await api.query<Record<string, any>>(`{
      service { version ready reasons startedAt }
      repositories { name state tips { ref commit push { id } } environments { name status openDrift { id strength correctedAt } } }
      repository(name: "shop") { governanceCommit }
      unknown: repository(name: "nothing") { name }
      environment(repository: "shop", name: "shop/production") {
        status head headOutcome headCommit { id } headDecision { id } approved approvedCommit { id } approvedDecision { id } labels noLongerCompliant trouble { code } }
      environments(filter: {status: [synced]}) { totalCount nodes { name } }
      runs { nodes { id outcome decision { id } startedEntry { index type } finishedEntry { index } planned } }
      run(id: "run-1") { reason }
      drift(filter: {corrected: true}) { nodes { id strength attribution fields correctedAt run { id } entry { index } object { kind } } }
      faults(filter: {code: "repository-missing"}) { nodes { trouble { code message place { file } remedy } entry { index } index } }
      commits(first: 2, filter: {repository: "shop", signer: "ann@example.org", signature: [verified]}) { totalCount nodes { id files { path op } } }
      commit(repository: "shop", id: "${'1'.padStart(40, '0')}") { message parents }
      changes(filter: {object: {kind: "Deployment", namespace: "shop", name: "cart-3"}, from: "2026-07-01", to: "2026-07-01T01:00:00+00:00"}) { totalCount nodes { id decision { id } decisions { id } } }
      pushes { nodes { kind entry { type } } }
    }`);
    expect(errors).toEqual([]);
    expect(data).toMatchObject({
      service: { version: '0.0.0-test', ready: true, reasons: [] },
      repositories: [
        { name: 'shop', state: 'ok', environments: [{ openDrift: [{ id: 'drift-1', strength: 'hint' }] }] },
      ],
      unknown: null,
      environment: { status: 'synced', approvedDecision: { id: 'decision-1' }, labels: { tier: 'production' } },
      drift: {
        nodes: [{ id: 'drift-2', run: { id: 'run-1' }, fields: [{ path: 'spec.replicas', desired: 3, live: 5 }] }],
      },
      faults: {
        nodes: [{ trouble: { code: 'repository-missing', remedy: 'Bring it back' }, entry: null, index: null }],
      },
      commits: { totalCount: DECISIONS / 2 },
      commit: { parents: [] },
      changes: { totalCount: 6 },
    });
  });

  it('shows what was said of requests: what holds, why, and what the forge was told', async () => {
    const { data, errors } = await api.query<Record<string, any>>(`{
      advice(filter: {open: true, repository: "shop"}) { totalCount nodes {
        repository number request target environment base head headCommit { subject } outcome violations { rule source { path line } }
        required { rule } bundleDigest time context description reportedAt endedAt } }
      over: advice(filter: {open: false, number: 8, outcome: [deny]}) { nodes { id endedAt } }
      none: advice(filter: {environment: "elsewhere", head: "x"}) { totalCount }
      first: advice(first: 1) { nodes { number } pageInfo { hasNextPage endCursor } } }`);
    expect(errors).toEqual([]);
    expect(data).toMatchObject({
      advice: {
        totalCount: 1,
        nodes: [
          {
            repository: 'shop',
            number: 7,
            target: 'refs/heads/main',
            environment: 'shop/production',
            headCommit: { subject: 'tune cart 7' },
            outcome: 'deny',
            violations: [{ rule: 'images.pinned', source: { path: 'production/cart.yaml', line: 12 } }],
            required: [],
            context: 'countersign/shop/production',
            reportedAt: expect.stringMatching(/^2026-07-01T/) as string,
            endedAt: null,
          },
        ],
      },
      over: { nodes: [{ id: 'advice-8', endedAt: expect.any(String) as string }] },
      none: { totalCount: 0 },
      first: { nodes: [{ number: 8 }], pageInfo: { hasNextPage: true } },
    });
    const next = await api.query<ListPage>('query ($after: String) { list: advice(after: $after) { nodes { id } } }', {
      after: data!['first'].pageInfo.endCursor,
    });
    expect(next.data!.list.nodes.map(({ id }) => id)).toEqual(['advice-7']);
  });

  it('shows the log: its key, its state, entries in both directions, and proofs between sizes', async () => {
    const { data, errors } = await api.query<Record<string, any>>(`{
      log { origin vkey size rootHash checkpoint consistency(from: 3, to: 100) }
      entry(index: 0) { type subjects { name digest } predicate envelope }
      beyond: entry(index: 100000) { type }
      entries(first: 2) { totalCount nodes { index } pageInfo { hasNextPage endCursor } }
      last: entries(first: 2, newestFirst: true, filter: {type: [decision]}) { totalCount nodes { index type } }
      part: entries(filter: {fromIndex: 5, toIndex: 7}) { totalCount nodes { index } pageInfo { hasNextPage } }
    }`);
    expect(errors).toEqual([]);
    expect(data).toMatchObject({
      log: { origin: 'log.example.org/test', vkey: api.keys.log.vkey, size: DECISIONS + 2 },
      entry: { type: 'key', subjects: [{ name: 'entry-signing' }] },
      beyond: null,
      entries: { totalCount: DECISIONS + 2, nodes: [{ index: 0 }, { index: 1 }], pageInfo: { hasNextPage: true } },
      last: { totalCount: DECISIONS, nodes: [{ index: DECISIONS + 1, type: 'decision' }, { index: DECISIONS }] },
      part: { totalCount: 2, nodes: [{ index: 5 }, { index: 6 }], pageInfo: { hasNextPage: false } },
    });
    expect(data!['log'].consistency.length).toBeGreaterThan(0);
    expect(JSON.parse(Buffer.from(data!['entry'].envelope, 'base64').toString())).toHaveProperty('payload');
    const next = await api.query<Record<string, any>>(
      `query ($after: String) { entries(first: 2, after: $after) { nodes { index } } }`,
      { after: data!['entries'].pageInfo.endCursor },
    );
    expect(next.data!['entries'].nodes).toEqual([{ index: 2 }, { index: 3 }]);
  });

  it.each([1, 7, 50, 130, 500])('pages through every decision once and in order, %i at a time', async (first) => {
    const { ids, total, pages } = await walk('decisions', first);
    expect(ids).toEqual(Array.from({ length: DECISIONS }, (_, i) => `decision-${DECISIONS - i}`));
    expect(total).toBe(DECISIONS);
    expect(pages).toBe(Math.ceil(DECISIONS / first));
  });

  it('keeps its place in a list while rows arrive before and after it', async () => {
    const first = await api.query<ListPage>('{ list: faults(first: 1) { nodes { id } pageInfo { endCursor } } }');
    const save = (id: string, time: string): Promise<unknown> =>
      api.ledger.record((transaction) =>
        api.records.save(transaction, 'fault', [
          { id, repository: null, environment: null, trouble: { code: 'disk-full', message: 'm' }, time, index: null },
        ]),
      );
    await save('fault-newer', '2026-08-01T00:00:00.000Z');
    await save('fault-older', '2026-06-01T00:00:00.000Z');
    const next = await api.query<ListPage>('query ($after: String) { list: faults(after: $after) { nodes { id } } }', {
      after: first.data!.list.pageInfo.endCursor,
    });
    expect(next.data!.list.nodes.map((node) => node.id)).toEqual(['fault-older']);
  });

  it('answers a page of 100 with nested fields in a handful of statements, never one a row', async () => {
    const query = `{ decisions(first: 100) { nodes { id entry { leafHash }
      change { push { id } commits { id author { name } } objectChanges { nodes { op } } decisions { id } } } } }`;
    api.statements();
    const { errors } = await api.query(query);
    expect(errors).toEqual([]);
    const statements = api.statements();
    expect(statements.length).toBeGreaterThan(4);
    expect(statements.length).toBeLessThanOrEqual(12);
    await api.query(query);
    expect(api.statements().length).toBeLessThanOrEqual(12);
  });

  it.each([
    ['decisions', 'repository: "shpo"', 'repository "shpo" (did you mean "shop"?)'],
    ['decisions', 'environment: "shop/prodction"', 'environment "shop/prodction" (did you mean "shop/production"?)'],
    ['decisions', 'rule: "images.pined"', 'rule "images.pined" (did you mean "images.pinned"?)'],
    ['decisions', 'control: "SOC2:CC81"', 'control "SOC2:CC81" (did you mean "SOC2:CC8.1"?)'],
    ['decisions', 'object: {kind: "Deploymnet"}', 'kind "Deploymnet" (did you mean "Deployment"?)'],
    ['objects', 'kind: "Deploymnet"', 'kind "Deploymnet" (did you mean "Deployment"?)'],
    ['pushes', 'repository: "shpo", kind: [forced]', 'repository "shpo"'],
    ['runs', 'repository: "shop", environment: "shop/prodction"', 'environment "shop/prodction"'],
    ['decisionCounts', 'rule: "images.pined"', 'rule "images.pined"'],
    ['driftCounts', 'kind: "Deploymnet"', 'kind "Deploymnet"'],
    ['delivery', 'environment: "shop/prodction"', 'environment "shop/prodction"'],
  ])('refuses an empty answer of %s to a name that was misspelt: {%s}', async (field, filter, words) => {
    const grouped = field.endsWith('Counts') ? `by: month, ` : '';
    const { data, errors } = await api.query(`{ ${field}(${grouped}filter: {${filter}}) { __typename } }`);
    expect(data).toBeNull();
    expect(errors).toMatchObject([{ extensions: { code: 'not-found', status: 404, remedy: expect.any(String) as string } }]); // prettier-ignore
    expect(errors[0].message).toContain(`there is no ${words}`);
  });

  it('answers with nothing where a name is known, or is near to none', async () => {
    const { data, errors } = await api.query(`{
      known: decisions(filter: {repository: "shop", environment: "shop/production", rule: "images.pinned", control: "SOC2:CC8.1", from: "2030-01-01"}) { totalCount }
      judged: decisions(filter: {object: {kind: "Deployment", name: "nothing"}}) { totalCount }
      unheard: decisions(filter: {environment: "elsewhere", rule: "x", object: {kind: "Gateway"}}) { totalCount }
    }`);
    expect(errors).toEqual([]);
    expect(data).toEqual({ known: { totalCount: 0 }, judged: { totalCount: 0 }, unheard: { totalCount: 0 } });
  });

  it('gives the same answer compiled and not, with fragments, aliases, variables and skipped fields', async () => {
    const query = `query ($id: ID!, $more: Boolean!) { a: decision(id: $id) { ...d } b: decision(id: "decision-2") { ...d } }
      fragment d on Decision { id outcome change @include(if: $more) { head } time @skip(if: $more) }`;
    const answers = [];
    for (const more of [true, true, true, false])
      answers.push((await api.query(query, { id: 'decision-3', more })).data);
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
    expect(answers[3]).toMatchObject({ a: { time: expect.any(String) } });
  });
});
