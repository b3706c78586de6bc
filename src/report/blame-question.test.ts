import type { KubernetesObject } from '../cluster/object.js';
import type { LiveObject } from '../reconcile/cluster.js';
import { answerBlame, type BlameParts } from './blame-question.js';
import type { Queries } from './queries.js';

const settings = (data: Record<string, string>): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', namespace: 'shop' },
  data,
});

const place = { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'shop', name: 'settings' };
const environment = { repository: 'shop', environment: 'shop/production' };
const row = {
  ...environment,
  ...place,
  target: 'prod',
  path: 'a.yaml',
  line: 1,
  commit: 'c4',
  decision: 9,
  hook: null,
};

/** One change of the four commits c1…c4, of which c3 touches another file. */
const tables: Record<string, readonly object[]> = {
  liveObject: [row, { ...row, environment: 'shop/staging', namespace: 'staging' }],
  objectChange: [{ ...place, change: 'one', after: settings({ a: '1', b: '2', c: '3' }) }],
  change: [{ id: 'one', ...environment, head: 'c4', commits: ['c1', 'c2', 'c3', 'c4'], operation: 'push' }],
  decision: [
    { id: 'd', change: 'one', outcome: 'allow', index: 9 },
    { id: 'e', change: 'one', outcome: 'allow', index: null },
  ],
  run: [
    { decision: 'd', outcome: 'succeeded', finishedAt: '2026-11-21T12:00:02.000Z' },
    { decision: 'd', outcome: 'succeeded', finishedAt: '2026-11-21T12:00:01.000Z' },
  ],
  commit: ['c1', 'c2', 'c3', 'c4'].map((id) => ({ id, files: [{ path: id === 'c3' ? 'b.yaml' : 'a.yaml' }] })),
};

/** As the database would answer. */
const queries = {
  anyOf: async (table: string, columns: Record<string, readonly unknown[]>) =>
    (tables[table] ?? []).filter(
      (one) =>
      Object.entries(columns).every(([column, values]) => !(column in one) || values.includes((one as Record<string, unknown>)[column])), // prettier-ignore
    ),
  list: async () => ({ rows: [], hasNext: false }),
} as unknown as Queries;

const at: Record<string, KubernetesObject> = {
  c1: settings({ a: '1', b: '0' }),
  c2: settings({ a: '1', b: '2' }),
};

const live = {
  ...settings({ a: '1', b: '2', c: '3' }),
  metadata: { name: 'settings', namespace: 'shop', uid: 'u', resourceVersion: '1', managedFields: [] },
} as unknown as LiveObject;

const parts = (looked: string[] = []): BlameParts => ({
  queries,
  redact: (object) => object,
  look: async () => ({ live, sent: settings({ a: '1', b: '2', c: '3' }), expected: live }),
  objectAt: async (_, commit) => {
    looked.push(commit);
    return at[commit] ?? null;
  },
});

describe('a question of blame', () => {
  it('finds of a change with several commits the one that gave each field its value', async () => {
    const looked: string[] = [];
    const { fields, isThere } = await answerBlame({ kind: 'cm', name: 'settings', namespace: 'shop' }, parts(looked));
    expect(isThere).toBe(true);
    expect(fields.map(({ path, git }) => `${path} ${git?.commit} ${git?.isExact}`)).toEqual([
      'data.a c1 true',
      'data.b c2 true',
      'data.c c4 true',
    ]);
    expect(fields[0].git).toMatchObject({ decision: 9, operation: 'push', appliedAt: '2026-11-21T12:00:01.000Z' });
    // A commit that does not touch the file is not read.
    expect(looked).toEqual(['c2', 'c1']);
  });

  it('names the candidates where several are meant, and says so where none is', async () => {
    await expect(answerBlame({ kind: 'configmap', name: 'settings' }, parts())).rejects.toMatchObject({
      code: 'query-invalid',
      message: expect.stringContaining('ConfigMap staging/settings of shop shop/staging') as string,
    });
    await expect(answerBlame({ kind: 'secret', name: 'settings' }, parts())).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('tells of what is not in its cluster', async () => {
    const gone = { ...parts(), look: async () => ({ live: null, sent: null, expected: undefined }) };
    const answer = await answerBlame({ kind: 'cm', name: 'settings', namespace: 'shop' }, gone);
    expect(answer).toMatchObject({ isThere: false, fields: [] });
  });
});
