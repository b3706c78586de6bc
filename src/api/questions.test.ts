import { readFileSync, writeFileSync } from 'node:fs';
import { startApi, type TestApi } from '../../test/support/api.js';
import { decision, change, commit } from '../../test/support/shop.js';
import type { ChangeRecord, DecisionRecord, ExceptionRecord, RunRecord } from '../review/records.js';

const page = new URL('../../docs/questions.md', import.meta.url);
let api: TestApi;

beforeAll(async () => {
  api = await startApi();
  await seed();
}, 120_000);
afterAll(() => api.close());

const at = (day: number, hour = 0, minute = 0): string => new Date(Date.UTC(2026, 6, day, hour, minute)).toISOString();
const hex = (n: number): string => n.toString(16).padStart(40, '0');

/** A change a day: an ordinary one, one that nobody approved, a denied one, an emergency that mends the second, and a self-approved one. */
async function seed(): Promise<void> {
  const { records, ledger } = api;
  const days: readonly (Partial<DecisionRecord> & { readonly operation?: ChangeRecord['operation'] })[] = [
    { signers: ['ann@example.org'], approvers: ['bo@example.org'] },
    { signers: ['ann@example.org'], approvers: [] },
    { signers: ['eve@example.org'], approvers: [], teams: ['@shop/cart', '@shop/ops'] },
    { signers: ['bo@example.org'], approvers: [], operation: 'break_glass' },
    { signers: ['bo@example.org'], approvers: ['bo@example.org'], selfApproved: true },
  ];
  const decided = days.map((row, i) => ({ ...decision(i + 1), selfApproved: false, teams: ['@shop/cart'], ...row, time: at(i + 1, 9) })); // prettier-ignore
  const { entries } = await ledger.record(async (transaction) => {
    await records.save(transaction, 'commit', days.map((_, i) => ({ ...commit(i + 1), firstSeen: at(i + 1, 8, 59) }))); // prettier-ignore
    await records.save(transaction, 'change', days.map(({ operation = 'push' }, i) => ({ ...change(i + 1), operation, time: at(i + 1, 9) }))); // prettier-ignore
    await records.save(transaction, 'objectChange', days.map((_, i) => ({ ...object, change: `change-${i + 1}`, position: 0, op: 'update' as const, before: null, after: null, patch: [], path: 'a.yaml', line: 1 }))); // prettier-ignore
    await records.save(transaction, 'decision', decided);
    for (const { id } of decided) {
      const bytes = Buffer.from(JSON.stringify([{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'shop', name: 'cart' }, spec: { replicas: Number(id.slice(9)) } }])); // prettier-ignore
      transaction.append({ type: 'decision', subjects: [], predicate: { id }, contents: { rendered: { mediaType: 'application/json', bytes, salted: false } } }); // prettier-ignore
    }
    await records.save(transaction, 'run', [run(1, 'succeeded', 2), run(2, 'succeeded', 4), run(4, 'succeeded', 6), run(5, 'failed', 8)]); // prettier-ignore
    await records.save(transaction, 'drift', ['kubectl-edit', 'kubectl-edit', null].map((manager, i) => ({ ...object, id: `drift-${i}`, repository: 'shop', environment: 'shop/production', type: 'modified', fields: [], attribution: { strength: manager ? 'hint' : 'none', manager }, supplements: i === 1 ? [{ strength: 'strong', source: 'audit', user: { name: 'eve@example.org' }, manager: null }] : [], detectedAt: at(2, i), index: null, correctedAt: null, run: null }))); // prettier-ignore
    await records.save(transaction, 'exception', [exception('E-1', at(31)), exception('E-2', at(9))]);
    await records.save(transaction, 'reviewDuty', [{ id: 'decision-4', change: 'change-4', repository: 'shop', environment: 'shop/production', head: hex(4), principal: 'bo@example.org', reason: 'the shop is down', ticket: 'OPS-7', openedAt: at(4, 9), dueAt: at(7, 9), closedAt: null, approval: null }]); // prettier-ignore
  });
  for (const [i, { index }] of entries.entries()) await records.update('decision', { id: `decision-${i + 1}` }, { index }); // prettier-ignore
}

const object = { group: 'apps', version: 'v1', kind: 'Deployment', namespace: 'shop', name: 'cart' } as const;

const exception = (id: string, expires: string): ExceptionRecord => ({
  id,
  repository: 'shop',
  path: `.countersign/exceptions/${id}.yaml`,
  rule: 'images.pinned',
  scope: { environment: 'shop/production', kind: 'Deployment' },
  owner: 'payments',
  reason: 'the vendor gives no digest yet',
  ticket: `SHOP-${id}`,
  expires,
  principal: 'bo@example.org',
  key: 'SHA256:k',
  status: 'accepted',
  refusal: null,
  commit: hex(1),
  firstSeen: at(1),
  counted: [{ from: at(1), to: null }],
  index: 1,
});

function run(day: number, outcome: RunRecord['outcome'], minutes: number): RunRecord {
  const environment = { repository: 'shop', environment: 'shop/production' };
  const times = { startedAt: at(day, 9), startedIndex: 0, finishedAt: at(day, 9, minutes), finishedIndex: 0 };
  return { ...environment, ...times, id: `run-${day}`, decision: `decision-${day}`, reason: 'decision', outcome, planned: [], results: [], trouble: null }; // prettier-ignore
}

describe('docs/questions.md', () => {
  it('shows what each of its queries answers', async () => {
    const text = readFileSync(page, 'utf8');
    const bare = text.replaceAll(/\n```json\n[\s\S]*?\n```\n/g, '');
    let answered = bare;
    for (const [block, query] of bare.matchAll(/```graphql\n([\s\S]*?)```\n/g)) {
      const { data, errors } = await api.query(query);
      expect({ query, errors }).toEqual({ query, errors: [] });
      answered = answered.replace(block, `${block}\n\`\`\`json\n${JSON.stringify(data, null, 2)}\n\`\`\`\n`);
    }
    if (process.env['WRITE_DOCS']) writeFileSync(page, answered);
    expect(text).toBe(answered);
  });

  it('needs periods that end after they begin', async () => {
    for (const field of ['decisionCounts(by: rule, ', 'driftCounts(by: kind, ', 'delivery(']) {
      const { errors } = await api.query(`{ ${field}filter: {from: "2026-07-02", to: "2026-07-01"}) { __typename } }`);
      expect(errors[0]?.message).toContain('ends (2026-07-01');
    }
  });

  it('counts nothing where nothing is', async () => {
    const { data, errors } = await api.query(`{
      decisionCounts(by: signer, filter: {repository: "nobody"}) { total groups { key } more }
      delivery(filter: {repository: "nobody"}) { deployments failureRate leadTime { count median } }
      pastState(repository: "shop", environment: "shop/production", at: "2026-06-01") { commitId }
    }`);
    expect(errors).toEqual([]);
    expect(data).toEqual({
      decisionCounts: { total: 0, groups: [], more: 0 },
      delivery: { deployments: 0, failureRate: null, leadTime: { count: 0, median: null } },
      pastState: null,
    });
  });
});

const asked = async (query: string): Promise<Response> => fetch(`${api.url}/reports/management.${query}`);

describe('/reports/management', () => {
  it('gives the same figures as PDF and as JSON, each told by the log', async () => {
    const json = await asked('json?since=2026-07-01&until=2026-08-01&seed=audit&sample=2');
    const { manifest, report } = (await json.json()) as { manifest: { index: number; rows: number }; report: { decisions: object; sample: object[] } }; // prettier-ignore
    expect([manifest.rows, report.decisions, report.sample.length]).toEqual([5, { allow: 4, deny: 1, pending: 0, error: 0 }, 2]); // prettier-ignore
    const pdf = await asked('pdf?since=2026-07-01');
    expect([pdf.status, pdf.headers.get('content-type')]).toEqual([200, 'application/pdf']);
    expect(
      Buffer.from(await pdf.arrayBuffer())
        .subarray(0, 5)
        .toString(),
    ).toBe('%PDF-');
    const said = JSON.parse(pdf.headers.get('countersign-export')!) as { id: string; index: number };
    const { data } = await api.query<{ entry: object }>(`{ entry(index: ${said.index}) { type predicate } }`);
    expect(data).toMatchObject({ entry: { type: 'export', predicate: { id: said.id, report: 'management', format: 'pdf' } } }); // prettier-ignore
  });

  it.each([
    ['pdf?sample=0', 'from 1 to 200'],
    ['pdf?sample=many', 'from 1 to 200'],
    ['pdf?seed=two%20words', 'without a space'],
    ['pdf?repository=shpo', 'there is no repository'],
  ])('refuses %s with what to do', async (query, words) => {
    const answer = await asked(query);
    expect(answer.ok).toBe(false);
    expect(await answer.text()).toContain(words);
  });
});
