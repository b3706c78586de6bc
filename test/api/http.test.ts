import { createHash } from 'node:crypto';
import { leafHash } from '../../src/audit/merkle.js';
import { decodeEntries, splitTile, tilesOf, tilePath } from '../../src/audit/tiles.js';
import { openCheckpoint } from '../../src/audit/checkpoint.js';
import { parseVkey } from '../../src/audit/note.js';
import { toHex } from '../../src/audit/crypto.js';
import { tokenDigest } from '../../src/review/token.js';
import { startApi, type TestApi } from '../support/api.js';
import { seedShop } from '../support/shop.js';

let api: TestApi;

beforeAll(async () => {
  const all = { repositories: ['*'], environments: ['*'], expires: '2099-01-01T00:00:00Z' };
  const token = { name: 'bo', login: 'bo', role: 'viewer', sha256: tokenDigest('cs_bo'), ...all } as const;
  api = await startApi({ introspection: 'known', tokens: [token], ownServer: true });
  await seedShop(api, 300);
}, 120_000);
afterAll(() => api.close());

const get = (path: string): Promise<Response> => fetch(api.url + path);

describe('beside GraphQL the service serves', () => {
  it('its health, its readiness with reasons, and safe headers', async () => {
    const alive = await get('/healthz');
    expect([alive.status, await alive.json()]).toEqual([200, { status: 'ok' }]);
    expect(alive.headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
    expect(alive.headers.get('x-content-type-options')).toBe('nosniff');
    expect(alive.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(alive.headers.get('x-powered-by')).toBeNull();
    expect(await (await get('/readyz')).json()).toEqual({ status: 'ready', reasons: [] });
    api.reasons.push('repository shop: it is away');
    const degraded = await get('/readyz');
    expect([degraded.status, await degraded.json()]).toEqual([
      200,
      { status: 'degraded', reasons: ['repository shop: it is away'] },
    ]);
    expect((await api.query('{ service { ready reasons } }')).data).toEqual({
      service: { ready: false, reasons: ['repository shop: it is away'] },
    });
    api.reasons.splice(0);
  });

  it('metrics that count what the records hold', async () => {
    const text = await (await get('/metrics')).text();
    const at = '{repository="shop",environment="shop/production"';
    expect(text).toContain(`countersign_decisions${at},outcome="allow"} 200`);
    expect(text).toContain(`countersign_decisions${at},outcome="deny"} 100`);
    expect(text).toContain(`countersign_runs${at},outcome="succeeded"} 1`);
    expect(text).toContain(`countersign_drift${at},corrected="false"} 1`);
    expect(text).toContain('countersign_faults{code="repository-missing"} 1');
    expect(text).toMatch(new RegExp(`countersign_environment_status${at},target="prod",status="[a-z]+"} 1`));
    expect(text).toContain('countersign_log_size 302');
    expect(text).toContain('countersign_http_request_seconds_count{route="/healthz",status="200"}');
    expect(text).toContain('process_resident_memory_bytes');
    expect(text).not.toContain('countersign_tip_lag_seconds{');
  });

  it('how long a tip has been waiting to be judged', async () => {
    await api.dataSource.query(`UPDATE tip SET commit_id = 'newer'`);
    await api.dataSource.query(`UPDATE push SET time = now() - interval '90 seconds'`);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    const text = await (await get('/metrics')).text();
    expect(text).toContain('countersign_environments_waiting{repository="shop"} 1');
    expect(Number(/tip_lag_seconds\{repository="shop"\} ([\d.]+)/.exec(text)?.[1])).toBeGreaterThanOrEqual(90);
  });

  it('the log as tiles, from which anybody can rebuild it', async () => {
    const response = await get('/log/checkpoint');
    expect(response.headers.get('cache-control')).toBe('private, no-cache');
    const { size, root } = openCheckpoint(await response.text(), parseVkey(api.keys.log.vkey));
    expect(size).toBe(302);
    const leaves: string[] = [];
    const hashes: string[] = [];
    for (const tile of tilesOf(size)) {
      const served = await get(`/log/${tilePath(tile)}`);
      expect([tilePath(tile), served.status]).toEqual([tilePath(tile), 200]);
      expect(served.headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
      expect(served.headers.get('vary')).toBe('authorization');
      const bytes = new Uint8Array(await served.arrayBuffer());
      if (tile.level === 'entries')
        leaves.push(...decodeEntries(bytes, tile.width).map((leaf) => toHex(leafHash(leaf))));
      if (tile.level === 0) hashes.push(...splitTile(bytes, tile.width).map(toHex));
    }
    expect(leaves).toEqual(hashes);
    expect(leaves.length).toBe(302);
    const { data } = await api.query<any>('{ log { rootHash size } entry(index: 301) { leafHash } }');
    expect(data).toEqual({ log: { rootHash: toHex(root), size }, entry: { leafHash: leaves[301] } });
  });

  it('the page that checks evidence, which may load and send nothing', async () => {
    const page = await get('/verify');
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; .*frame-ancestors 'none'$/,
    );
    const script = /<script>(.*)<\/script>/s.exec(await page.text())![1];
    expect(policy).toContain(createHash('sha256').update(script).digest('base64'));
  });

  it('its schema to whoever says who they are, and not even a hint of it to others, if so configured', async () => {
    const schema = '{ __schema { queryType { name } } }';
    const type =
      'query a { repositories { __typename } ...b } fragment b on Query { t: __type(name: "Query") { name } }';
    for (const query of [schema, type]) {
      const { status, errors } = await api.query(query);
      expect([status, errors[0].message]).toEqual([401, 'the schema is for whoever says who they are']);
      expect(await api.query(query, {}, 'cs_bo')).toMatchObject({ status: 200, errors: [] });
    }
    expect(await api.query('{ repositories { __typename } }')).toMatchObject({ status: 200 });
    const misspelt = '{ repositoires { name } }';
    expect((await api.query(misspelt)).errors[0].message).toBe('Cannot query field "repositoires" on type "Query".');
    expect((await api.query(misspelt, {}, 'cs_bo')).errors[0].message).toContain('Did you mean "repositories"');
  });

  it('queries by hash to nobody, unless it has a list of them, and says so in the words that clients know', async () => {
    const persistedQuery = { version: 1, sha256Hash: 'a'.repeat(64) };
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ extensions: { persistedQuery } });
    const answer = await fetch(`${api.url}/graphql`, { method: 'POST', headers, body });
    const { errors } = (await answer.json()) as { errors: { message: string; extensions: object }[] };
    expect(errors).toMatchObject([{ message: 'PersistedQueryNotSupported', extensions: { code: 'query-invalid' } }]);
  });

  it('503 with the reason while the database is down, and itself goes on', async () => {
    await api.stopDatabase();
    const ready = await get('/readyz');
    expect(ready.status).toBe(503);
    const { status, reasons } = (await ready.json()) as { status: string; reasons: string[] };
    expect(status).toBe('not ready');
    expect(reasons.join('\n')).toMatch(/^database: /);
    expect((await get('/healthz')).status).toBe(200);
    expect((await get('/metrics')).status).toBe(200);
    const answer = await api.query('{ repositories { name } }');
    expect(answer.status).toBe(503);
    expect(answer.errors[0].extensions).toMatchObject({ code: 'database-unavailable', retry: true });
    const checkpoint = await get('/log/checkpoint');
    expect(checkpoint.status).toBe(503);
    expect(await checkpoint.json()).toMatchObject({ code: 'database-unavailable', status: 503 });
  });
});
