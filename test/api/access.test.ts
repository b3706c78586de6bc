import fastify from 'fastify';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openZip } from '../../src/adapters/evidence/zip.js';
import type { EntryDraft } from '../../src/audit/entry.js';
import { parseTrust } from '../../src/audit/policy-file.js';
import { verifyEvidence } from '../../src/audit/verify.js';
import { buildSchema, type GraphQLObjectType } from 'graphql';
import { Access } from '../../src/api/access.js';
import { registerDoor } from '../../src/api/door.js';
import { fields, routes } from '../../src/api/permissions.js';
import { schemaText } from '../../src/app.module.js';
import { serviceEntry } from '../../src/review/entries.js';
import { mayDo, type Role, roles } from '../../src/review/authority.js';
import { type KnownToken, tokenDigest } from '../../src/review/token.js';
import { startApi, type TestApi } from '../support/api.js';
import { seedShop } from '../support/shop.js';
import { queryForAll } from '../support/whole-schema.js';

const schema = buildSchema(schemaText());
const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].filter(
  (type): type is GraphQLObjectType => Boolean(type),
);
const rootFields = roots.flatMap((type) =>
  Object.values(type.getFields()).map(({ name }) => ({ key: `${type.name}.${name}`, type, name })),
);
/** Those that are asked over HTTP; test/api/subscriptions.test.ts asks for the others. */
const asked = rootFields.filter(({ type }) => type !== schema.getSubscriptionType());
const said = {
  id: 'decision-1',
  name: 'shop/production',
  repository: 'shop',
  index: 1,
  commit: '1',
  since: '2026-07-01',
};

const token = (name: string, role: Role, repositories = ['*'], environments = ['*']): KnownToken => {
  const sha256 = tokenDigest(`cs_${name}`);
  return { name, login: name, role, sha256, repositories, environments, expires: '2099-01-01T00:00:00Z' };
};
const everyone = roles.map((role) => token(role, role));
const bounded = roles.map((role) => token(`payroll-${role}`, role, ['payroll']));

let api: TestApi;

beforeAll(async () => {
  api = await startApi({
    anonymous: false,
    tokens: [
      ...everyone,
      ...bounded,
      token('staging', 'viewer', ['shop'], ['shop/staging']),
      token('old', 'viewer'),
      token('shop-auditor', 'auditor', ['shop']),
    ].map((each) => (each.name === 'old' ? { ...each, expires: '2026-01-01T00:00:00Z' } : each)),
  });
  const configuration = { access: { configured: true, loopback: 'token', tokens: [] } };
  await api.ledger.record(async (transaction) => {
    transaction.append(serviceEntry({ id: 'start', version: '1', configuration, time: '2026-07-01T00:00:00.000Z' }));
  });
  await seedShop(api, 6);
  const [environment] = await api.records.find('environment', {});
  const [repository] = await api.records.find('repository', {});
  await api.ledger.record(async (transaction) => {
    await api.records.save(transaction, 'environment', [{ ...environment, name: 'shop/staging' }]);
    await api.records.save(transaction, 'environment', [
      { ...environment, repository: 'payroll', name: 'payroll/production', namespace: 'payroll' },
    ]);
    await api.records.save(transaction, 'repository', [
      { ...repository, name: 'payroll', url: 'file:///srv/git/payroll.git' },
    ]);
  });
}, 120_000);
afterAll(() => api.close());

const special = (field: string): boolean => fields[field] !== undefined && !field.startsWith('Query.');
const queryOf = ({ type, name }: (typeof rootFields)[number], depth?: number): string =>
  queryForAll(schema, type, name, said, special, depth ?? 2);
const get = (path: string, name?: string): Promise<Response> =>
  fetch(api.url + path, { headers: name === undefined ? {} : { authorization: `Bearer cs_${name}` } });

describe('too many requests', () => {
  it('are refused: of a caller, and of strangers before they are told why', async () => {
    const bounded = fastify();
    const log = { refused: () => Promise.resolve() };
    const access = new Access({ tokens: [token('viewer', 'viewer')], anonymous: true, log });
    registerDoor(bounded, { access, publicLog: false, requestsPerSecond: 2 });
    bounded.get('/graphql', () => 'here');
    const ask = async (authorization?: string, remoteAddress = '10.0.0.9') => {
      const headers = authorization === undefined ? {} : { authorization };
      const times = Array.from({ length: 40 }, () => bounded.inject({ path: '/graphql', remoteAddress, headers }));
      return Map.groupBy(
        (await Promise.all(times)).map(({ statusCode }) => statusCode),
        (status) => status,
      );
    };
    const known = await ask('Bearer cs_viewer');
    expect([known.get(200)!.length >= 4, known.get(429)!.length > 20]).toEqual([true, true]);
    const strange = await ask('Bearer cs_guessed');
    expect([strange.get(401)!.length >= 20, strange.get(429)!.length > 5]).toEqual([true, true]);
    // Whoever shares the address of strangers and has a token is not refused with them.
    expect((await bounded.inject({ path: '/graphql', remoteAddress: '127.0.0.1' })).statusCode).toBe(200);
    expect((await ask(undefined, '127.0.0.1')).get(200)).toHaveLength(40);
  });
});

describe('the table of who may what', () => {
  it('names every field that can be asked for first, and none that is not there', () => {
    const all = new Set(
      Object.values(schema.getTypeMap()).flatMap((type) =>
        'getFields' in type ? Object.keys(type.getFields()).map((name) => `${type.name}.${name}`) : [],
      ),
    );
    expect(rootFields.map(({ key }) => key).filter((key) => !fields[key])).toEqual([]);
    expect(Object.keys(fields).filter((key) => !all.has(key))).toEqual([]);
  });

  it('names every address, and a service with another does not start', async () => {
    for (const route of Object.keys(routes)) {
      const [method, url] = route.split(' ');
      expect([route, api.hasRoute(method, url)]).toEqual([route, true]);
    }
    const server = fastify();
    const log = { refused: () => Promise.resolve() };
    registerDoor(server, { access: new Access({ tokens: [], anonymous: true, log }), publicLog: false });
    await server.ready();
    expect(() => server.get('/secrets', () => 'all of them')).toThrow('nothing says who may ask for GET /secrets');
  });
});

describe('a stranger', () => {
  it.each(rootFields.map((field) => [field.key, field] as const))('gets nothing of %s', async (_, field) => {
    const answer = await api.query(queryOf(field, 1));
    expect(answer).toMatchObject({ status: 401, data: null, errors: [{ extensions: { code: 'unauthenticated' } }] });
  });

  it.each(Object.entries(routes).filter(([, permission]) => permission !== 'own'))(
    'gets nothing of %s',
    async (route) => {
      const [method, url] = route.split(' ');
      for (const headers of [
        {},
        { authorization: 'Bearer cs_unknown' },
        { authorization: 'Basic YTpi' },
        { authorization: 'Bearer cs_old' },
      ]) {
        const response = await fetch(api.url + url.replace(':format', 'csv').replace('*', '0/000'), {
          method,
          headers,
        });
        expect([route, response.status, response.headers.get('www-authenticate')]).toEqual([route, 401, 'Bearer']);
        expect(await response.text()).not.toMatch(/shop/);
      }
    },
  );

  it.each(Object.entries(routes).filter(([, permission]) => permission === 'own'))(
    'is answered by %s without a word of what is here',
    async (route) => {
      const [method, url] = route.split(' ');
      const path = url.replace(':forge', 'github').replace(':repository', 'shop').replace(':target', 'prod');
      for (const headers of [
        {},
        { authorization: 'Bearer cs_old' },
        { cookie: `countersign-session=${'a'.repeat(43)}` },
      ]) {
        const response = await fetch(api.url + path, { method, headers, redirect: 'manual' });
        const text = await response.text();
        expect([route, response.status < 500, text.replaceAll(path, '').match(/shop|ann@|payroll/g)]).toEqual([route, true, null]); // prettier-ignore
        expect(response.headers.get('set-cookie') ?? '').not.toMatch(/session=[^;]/);
        expect(response.headers.get('access-control-allow-origin')).toBeNull();
      }
    },
  );

  it('learns that the service is alive and ready, and not why not', async () => {
    api.reasons.push('repository shop: it is away');
    expect(await (await get('/readyz')).json()).toEqual({ status: 'degraded' });
    expect(await (await get('/readyz', 'payroll-viewer')).json()).toEqual({ status: 'degraded' });
    expect(await (await get('/readyz', 'viewer')).json()).toMatchObject({ reasons: ['repository shop: it is away'] });
    api.reasons.splice(0);
    expect((await get('/healthz')).status).toBe(200);
  });

  it('is answered before the body is read', async () => {
    const body = JSON.stringify({ query: `# ${'x'.repeat(200_000)}` });
    const headers = { 'content-type': 'application/json' };
    expect((await fetch(`${api.url}/graphql`, { method: 'POST', headers, body })).status).toBe(401);
  });
});

describe('a role', () => {
  it.each(everyone.map(({ role }) => [role] as const))('%s may what the table says, and no more', async (role) => {
    const refused: string[] = [];
    for (const { key, name, type } of asked) {
      const { status } = await api.query(queryForAll(schema, type, name, said, special, 0), {}, `cs_${role}`);
      if (status === 403) refused.push(key);
    }
    expect(refused).toEqual(asked.map(({ key }) => key).filter((key) => !mayDo[fields[key].action].includes(role)));
    const { errors } = await api.query(
      '{ decisions(first: 1) { nodes { explanations { title } } } }',
      {},
      `cs_${role}`,
    );
    expect(errors.map((error) => error.extensions['code'])).toEqual(role === 'viewer' ? ['forbidden'] : []);
  });

  it.each([
    ['/metrics', ['operator', 'administrator']],
    ['/log/checkpoint', ['operator', 'auditor', 'administrator']],
    ['/reports/changes.csv', ['auditor', 'administrator']],
  ])('gets %s if it is one of %s', async (path, allowed) => {
    const given = await Promise.all(roles.map(async (role) => ({ role, status: (await get(path, role)).status })));
    expect(given.filter(({ status }) => status === 200).map(({ role }) => role)).toEqual(allowed);
    expect(given.filter(({ status }) => status !== 200).every(({ status }) => status === 403)).toBe(true);
  });
});

const impact = (repository: string) =>
  api.query(
    `{ policyImpact(repository: "${repository}", commit: "x", since: "2026-07-01") { total } }`,
    {},
    'cs_payroll-developer',
  );

describe('whoever may see one repository only', () => {
  const reads = asked.filter(({ key }) => fields[key]?.of === 'rows');

  it.each(reads.map((field) => [field.key, field] as const))('finds nothing of another in %s', async (_, field) => {
    const query = queryOf(field);
    const { errors, data } = await api.query(query, {}, 'cs_payroll-auditor');
    expect(errors.filter((error) => error.extensions['code'] !== 'not-found')).toEqual([]);
    expect(JSON.stringify(data)).not.toMatch(/shop|decision-|push-|ann/i);
  });

  it('while whoever may see all of it finds it in most', async () => {
    const found = await Promise.all(
      reads.map(async (field) => JSON.stringify((await api.query(queryOf(field), {}, 'cs_viewer')).data)),
    );
    expect(found.filter((text) => text.includes('shop')).length).toBeGreaterThanOrEqual(12);
  });

  it('is told the same of what is not there and of what is not theirs', async () => {
    const [other, none] = [await impact('shop'), await impact('nothing')];
    expect(other.errors[0].extensions).toEqual(none.errors[0].extensions);
    expect(other.errors[0].message.replace('shop', 'nothing')).toBe(none.errors[0].message);
    const listing = async (words: string) => {
      const response = await get(`/reports/changes.csv?${words}`, 'payroll-auditor');
      return [response.status, ((await response.json()) as { detail: string }).detail.replace('shop', 'nothing')];
    };
    expect(await listing('repository=shop')).toEqual(await listing('repository=nothing'));
    expect((await listing(''))[0]).toBe(403);
    // Nobody takes the listing of a name that is none for a clean one.
    for (const [words, meant] of [
      ['repository=shpo', 'there is no repository "shpo" (did you mean "shop"?)'],
      ['environment=shop/prodction', 'there is no environment "shop/prodction" (did you mean "shop/production"?)'],
      ['repository=shop&environment=payroll/production', 'there is no environment "payroll/production"'],
    ]) {
      const response = await get(`/reports/changes.csv?${words}`, 'auditor');
      const { detail } = (await response.json()) as { detail: string };
      expect([response.status, detail]).toEqual([404, expect.stringContaining(meant)]);
    }
    expect((await get('/reports/changes.csv?repository=payroll', 'payroll-auditor')).status).toBe(200);
    expect((await get('/reports/changes.csv?repository=shop', 'shop-auditor')).status).toBe(200);
    expect((await get('/metrics', 'payroll-operator')).status).toBe(403);
  });
});

describe('whoever may see one environment only', () => {
  it('sees its repository and nothing of its other environments, counted or listed', async () => {
    const { data } = await api.query<any>(
      `{ repositories { name environments { name } } environments { totalCount nodes { name } } decisions { totalCount }
         change(id: "change-1") { id } environment(repository: "shop", name: "shop/production") { name }
         commits { totalCount } runs { totalCount } exceptions { nodes { uses } } }`,
      {},
      'cs_staging',
    );
    expect(data).toMatchObject({
      repositories: [{ name: 'shop', environments: [{ name: 'shop/staging' }] }],
      environments: { totalCount: 1, nodes: [{ name: 'shop/staging' }] },
      decisions: { totalCount: 0 },
      change: null,
      environment: null,
      commits: { totalCount: 6 },
      runs: { totalCount: 0 },
    });
  });
});

describe('who has what', () => {
  it('is told to auditors, and that it was is in the log', async () => {
    const list = await api.query<any>('{ accessList { index grants { kind } entry { type } } }', {}, 'cs_auditor');
    expect(list).toMatchObject({ errors: [], data: { accessList: { grants: [], entry: { type: 'service' } } } });
    const { data } = await api.query<any>(
      '{ entries(first: 1, newestFirst: true, filter: {type: [access]}) { nodes { predicate } } }',
      {},
      'cs_auditor',
    );
    expect(data.entries.nodes[0].predicate).toMatchObject({
      action: 'accessList',
      outcome: 'granted',
      token: 'auditor',
    });
    const early = await api.query('{ accessList(at: "2020-01-01") { index } }', {}, 'cs_auditor');
    expect(early.errors[0].extensions['code']).toBe('not-found');
  });
});

describe('refusals', () => {
  it('are in the log, with what was asked for and never with a token; what came too fast is counted', async () => {
    const { data } = await api.query<any>(
      '{ entries(first: 500, filter: {type: [access]}) { nodes { predicate } } }',
      {},
      'cs_auditor',
    );
    const refused = data.entries.nodes.filter((node: any) => node.predicate.outcome === 'refused');
    expect(refused[0].predicate).toMatchObject({ action: expect.any(String), code: expect.any(String) });
    // Hundreds came within the minute.
    expect(refused.length).toBeLessThanOrEqual(121);
    const leaves = await api.dataSource.query(`SELECT encode(leaf, 'escape') FROM log_entry WHERE type = 'access'`);
    expect(JSON.stringify(leaves)).not.toContain('cs_');
  });
});

const salted = (text: string) => ({ note: { mediaType: 'text/plain', bytes: Buffer.from(text), salted: true } });

const push = (repository: string | null): EntryDraft => ({
  type: 'push',
  subjects: [],
  predicate: { id: `push-${repository}`, ...(repository && { repository }) },
  contents: salted(`body of ${repository}`),
});

describe('an evidence bundle', () => {
  it('holds every leaf, and of what they name only that which its reader may see', async () => {
    await api.ledger.append(push('shop'), push('payroll'), push(null));
    const take = async (name: string) => {
      const response = await get('/reports/evidence.zip', name);
      expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/zip']);
      const manifest = JSON.parse(response.headers.get('countersign-export')!) as { index: number; reach?: object };
      const file = join(api.folder, `${name}.zip`);
      await writeFile(file, Buffer.from(await response.arrayBuffer()));
      const evidence = await openZip(file);
      const { fault, proven, size } = await verifyEvidence(evidence, { trust: parseTrust(api.keys.log.vkey, 'ours') });
      const bodies = [...evidence.names].filter((one) => one.startsWith('content/')).map(async (one) => Buffer.from(await evidence.read(one, 1e6)).toString('latin1')); // prettier-ignore
      const texts = (await Promise.all(bodies)).flatMap((text) => /body of \w+/.exec(text)?.[0] ?? []);
      await evidence.close();
      expect(fault).toBeUndefined();
      return {
        manifest,
        size,
        bodies: texts.toSorted(),
        contents: proven.find(({ claim }) => claim.includes('content')),
      };
    };
    const all = await take('auditor');
    expect([all.bodies, all.manifest.reach]).toEqual([['body of null', 'body of payroll', 'body of shop'], undefined]);
    const some = await take('shop-auditor');
    expect([some.bodies, some.manifest.reach]).toEqual([['body of shop'], [{ repositories: ['shop'], environments: ['*'] }]]); // prettier-ignore
    expect(some.contents?.detail).toContain('of what is not for the reader of this bundle');
    expect(some.size).toBeGreaterThan(all.size);
    const logged = await api.ledger.entry(some.manifest.index);
    expect([logged.type, logged.predicate]).toMatchObject([
      'export',
      { report: 'evidence', reach: some.manifest.reach },
    ]);
    expect((await get('/reports/evidence.zip?repository=shop', 'auditor')).status).toBe(400);
    // Two answers to one question are none: neither of them widens the other.
    for (const path of [
      'changes.csv?repository=shop&repository=payroll',
      'changes.csv?sample=1&sample=2',
      'oscal.json?repository=shop&controls=A&controls=B',
      'vsa.jsonl?zone=UTC&zone=x',
    ])
      expect([path, (await get(`/reports/${path}`, 'shop-auditor')).status]).toEqual([path, 400]);
    expect((await get('/reports/evidence.zip', 'developer')).status).toBe(403);
  });
});
