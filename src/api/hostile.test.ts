import { request as rawRequest } from 'node:http';
import { connect } from 'node:net';
import { encodeCursor } from '../report/cursor.js';
import { startApi, type Answer, type TestApi } from '../../test/support/api.js';
import { seedShop } from '../../test/support/shop.js';
import { limits } from './limits.js';

let api: TestApi;

beforeAll(async () => {
  api = await startApi();
  await seedShop(api, 6);
}, 120_000);
afterAll(() => api.close());

async function refusal(
  query: string,
  variables?: Record<string, unknown>,
): Promise<{ status: number; code: unknown; message: string }> {
  const { status, data, errors } = await api.query(query, variables);
  expect(data ?? null).toBeNull();
  expect(errors.length).toBeGreaterThan(0);
  expect(JSON.stringify(errors)).not.toMatch(/ {4}at |node_modules|SELECT|stack/);
  return { status, code: errors[0].extensions['code'], message: errors[0].message };
}

async function post(body: string, type = 'application/json'): Promise<Answer & { text: string }> {
  const response = await fetch(`${api.url}/graphql`, { method: 'POST', headers: { 'content-type': type }, body });
  const text = await response.text();
  return { ...(JSON.parse(text) as Answer), status: response.status, text };
}

const deep = (n: number): string => (n === 0 ? 'id' : `change { decisions { ${deep(n - 1)} } }`);

describe('the API under hostile input', () => {
  it.each([
    ['not GraphQL', 'this is not { graphql'],
    ['an unknown field', '{ repositories { password } }'],
    ['a missing argument', '{ decision { id } }'],
    ['a wrong enum value', '{ decisions(filter: {outcome: [maybe]}) { totalCount } }'],
    ['a mutation', 'mutation { deleteEverything }'],
    ['a time that is none', '{ decisions(filter: {from: "yesterday"}) { totalCount } }'],
    ['a day that does not exist', '{ decisions(filter: {from: "2026-02-30"}) { totalCount } }'],
    ['the year 0', '{ decisions(filter: {from: "0000-01-01"}) { totalCount } }'],
    ['a period upside down', '{ decisions(filter: {from: "2026-07-02", to: "2026-07-01"}) { totalCount } }'],
    ['a negative index', '{ entry(index: -1) { type } }'],
    ['an index beyond exact numbers', '{ entry(index: 99999999999999999999) { type } }'],
    ['sizes in the wrong order', '{ log { consistency(from: 2, to: 1) } }'],
    ['sizes beyond the log', '{ log { consistency(from: 1, to: 100000) } }'],
    ['a NUL character', '{ repository(name: "a\\u0000b") { name } }'],
    ['fragments in a circle', '{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }'],
    ['two operations', 'query a { repositories { name } } query b { repositories { url } }'],
    ['the JSON form of a document', '{"kind": "Document", "definitions": []}'],
    ['JSON null for a query', 'null'],
  ])('refuses %s', async (_, query) => {
    expect(await refusal(query)).toMatchObject({ status: 400, code: 'query-invalid' });
  });

  it.each([
    ['{ decisions(filter: {outcom: [deny]}) { totalCount } }', '"outcome"'],
    ['{ decisions(filter: {outcome: [deni]}) { totalCount } }', '"deny"'],
    ['{ decisions(fisrt: 1) { totalCount } }', '"first"'],
    ['{ decisions { nodes { outcme } } }', '"outcome"'],
    ['{ decisoins { totalCount } }', '"decisions"'],
  ])('says what was probably meant by %s', async (query, meant) => {
    const { code, message } = await refusal(query);
    expect([code, message]).toEqual(['query-invalid', expect.stringMatching(`Did you mean .*${meant}`)]);
  });

  it('refuses variables of the wrong type, and NUL in them', async () => {
    const query = 'query ($name: String!) { repository(name: $name) { name } }';
    expect(await refusal(query, { name: { $ne: '' } })).toMatchObject({ status: 400, code: 'query-invalid' });
    expect(await refusal(query, {})).toMatchObject({ status: 400, code: 'query-invalid' });
    expect(await refusal(query, { name: '\0' })).toMatchObject({ status: 400, code: 'query-invalid' });
    expect(await refusal(query, { name: '\ud800' })).toMatchObject({ status: 400, code: 'query-invalid' });
    // Once compiled, the same checks hold.
    for (let i = 0; i < 3; i++) expect((await api.query(query, { name: 'shop' })).errors).toEqual([]);
    expect(await refusal(query, { name: 7 })).toMatchObject({ status: 400, code: 'query-invalid' });
    expect(await refusal(query, { name: '\0' })).toMatchObject({ status: 400, code: 'query-invalid' });
  });

  it('takes any text for what it is: quotes, wildcards and SQL find nothing', async () => {
    for (const name of [`' OR 1=1 --`, '%', '_', `"; DROP TABLE decision; --`, '\\', '💥', 'a'.repeat(10_000)]) {
      const { data, errors } = await api.query(
        `query ($n: String) { decisions(filter: {repository: $n, rule: $n}) { totalCount } commits(filter: {signer: $n}) { totalCount }
          changes(filter: {object: {name: $n, kind: $n}}) { totalCount } faults(filter: {code: $n}) { totalCount } }`,
        { n: name },
      );
      expect(errors).toEqual([]);
      expect(data).toEqual({
        decisions: { totalCount: 0 },
        commits: { totalCount: 0 },
        changes: { totalCount: 0 },
        faults: { totalCount: 0 },
      });
    }
  });

  it.each([
    ['rubbish', 'hello'],
    ['no base64', '!!!'],
    ['nothing', '\u200b'],
    ['another list', encodeCursor('commit', ['2026-07-01T00:00:00.000Z', 'a', 'b'])],
    ['too few values', encodeCursor('decision', ['2026-07-01T00:00:00.000Z'])],
    ['a time that is none', encodeCursor('decision', ['now', 'x'])],
    ['an impossible time', encodeCursor('decision', ['2026-99-99T99:99:99.999Z', 'x'])],
    ['SQL', encodeCursor('decision', [`' OR 1=1 --`, 'x'])],
    ['numbers for text', Buffer.from('["decision",1,2]').toString('base64url')],
    ['NUL', encodeCursor('decision', ['2026-07-01T00:00:00.000Z', '\0'])],
    ['a very long one', 'A'.repeat(5_000)],
    ['deep JSON', Buffer.from(`${'['.repeat(2_000)}${']'.repeat(2_000)}`).toString('base64url')],
  ])('refuses a cursor forged of %s', async (_, after) => {
    const query = 'query ($after: String) { decisions(after: $after) { nodes { id } } }';
    const answer = await refusal(query, { after });
    expect(answer).toMatchObject({ status: 400, code: 'cursor-invalid' });
    expect(answer.message).toContain('this is no cursor of this list');
    expect(
      await refusal('query ($after: String) { entries(after: $after) { nodes { index } } }', { after }),
    ).toMatchObject({
      code: 'cursor-invalid',
    });
    const nested = 'query ($after: String) { change(id: "change-1") { objectChanges(after: $after) { totalCount } } }';
    expect((await api.query(nested, { after })).errors[0].extensions['code']).toBe('cursor-invalid');
  });

  it('lets a cursor that was forged well name nothing but another place in the list', async () => {
    const after = encodeCursor('decision', ['2026-07-01T00:03:30.000Z', 'zzz']);
    const { data } = await api.query<any>('query ($after: String) { decisions(after: $after) { nodes { id } } }', {
      after,
    });
    expect(data.decisions.nodes.map((n: { id: string }) => n.id)).toEqual(['decision-3', 'decision-2', 'decision-1']);
  });

  it.each([0, -1, 501, 2_000_000_000])('refuses a page of %i', async (first) => {
    expect(await refusal(`{ decisions(first: ${first}) { totalCount } }`)).toMatchObject({
      status: 400,
      code: 'query-limit',
    });
    expect(await refusal('query ($f: Int) { faults(first: $f) { totalCount } }', { f: first })).toMatchObject({
      code: 'query-limit',
    });
  });

  it('refuses a query that is too deep, before any of it runs', async () => {
    api.statements();
    expect(await refusal(`{ decisions(first: 1) { nodes { ${deep(10)} } } }`)).toMatchObject({
      status: 400,
      code: 'query-limit',
    });
    // The sequencer looks for work of its own all the time.
    expect(api.statements().filter((text) => !text.includes('log_'))).toEqual([]);
  });

  it('refuses a query whose answer could be too large: by pages, by aliases, by fragments within fragments', async () => {
    const byPages = '{ changes(first: 500) { nodes { objectChanges(first: 500) { nodes { op } } } } }';
    expect(await refusal(byPages)).toMatchObject({ status: 400, code: 'query-limit' });
    const variable =
      'query ($f: Int = 500) { changes(first: $f) { nodes { objectChanges(first: $f) { nodes { op } } } } }';
    expect(await refusal(variable)).toMatchObject({ code: 'query-limit' });
    const aliases = Array.from({ length: 120 }, (_, i) => `a${i}: decisions(first: 500) { nodes { id } }`).join(' ');
    expect(await refusal(`{ ${aliases} }`)).toMatchObject({ code: 'query-limit' });
    const proofs =
      '{ entries(first: 500) { nodes { a: inclusion { proof } b: inclusion { proof } c: inclusion { proof } d: inclusion { proof } e: inclusion { proof } f: inclusion { proof } g: inclusion { proof } h: inclusion { proof } i: inclusion { proof } } } }';
    expect(await refusal(proofs)).toMatchObject({ code: 'query-limit' });
    const fragments = Array.from(
      { length: 20 },
      (_, i) =>
        `fragment f${i} on Query { ...f${i + 1} ...g${i + 1} } fragment g${i} on Query { a${i}: repositories { name } ...f${i + 1} }`,
    );
    const started = Date.now();
    await refusal(
      `{ ...f0 } ${fragments.join(' ')} fragment f20 on Query { service { version } } fragment g20 on Query { service { version } }`,
    ).catch(() => undefined);
    expect(Date.now() - started).toBeLessThan(5_000);
  });

  it('refuses a query of too many words, and a request of too many bytes', async () => {
    expect(await refusal(`{ ${'service { version } '.repeat(limits.tokens)} }`)).toMatchObject({
      status: 400,
      code: 'query-limit',
    });
    const { status, errors } = await post(JSON.stringify({ query: `# ${'x'.repeat(limits.body)}` }));
    expect(status).toBe(413);
    expect(errors[0].extensions['code']).toBe('query-limit');
  });

  it.each([
    ['broken JSON', '{"query": "{', 'application/json', 400],
    ['no query', '{}', 'application/json', 400],
    ['a list of queries', '[{"query": "{ service { version } }"}]', 'application/json', 400],
    ['prototype pollution', '{"query": "{ service { version } }", "__proto__": {"x": 1}}', 'application/json', 400],
    ['another content type', 'query=x', 'application/x-www-form-urlencoded', 415],
    ['nothing', '', 'application/json', 400],
  ])('refuses %s', async (_, body, type, status) => {
    const answer = await post(body, type);
    expect(answer.status).toBe(status);
    expect(answer.errors[0].extensions['code']).toBe('query-invalid');
    expect(answer.text).not.toMatch(/ {4}at |node_modules/);
  });

  it('answers addresses that lead nowhere, and methods that do not fit, with problem details', async () => {
    for (const path of [
      '/nothing',
      '/log/',
      '/log/tile/',
      '/log/tile/0/1',
      '/log/tile/0/000.p/0',
      '/log/tile/0/000.p/256',
      '/log/tile/0/999',
      '/log/tile/..%2f..%2fetc%2fpasswd',
      '/%00',
      '/log/tile/64/000',
    ]) {
      const response = await fetch(api.url + path);
      expect([path, response.status, response.headers.get('content-type')]).toEqual([
        path,
        404,
        expect.stringContaining('application/problem+json'),
      ]);
      expect(await response.json()).toMatchObject({
        type: 'about:blank',
        title: 'Not Found',
        status: 404,
        code: 'not-found',
      });
    }
    expect((await fetch(`${api.url}/healthz`, { method: 'DELETE' })).status).toBe(404);
    const bad = await raw('/%zz', {});
    expect(bad.status).toBe(400);
    expect(JSON.parse(bad.body)).toMatchObject({ code: 'query-invalid', detail: 'the address is malformed' });
  });

  it('refuses names other than loopback ones, by which a page elsewhere could reach it through a browser', async () => {
    for (const host of ['evil.example.org', 'localhost.evil.example.org', '127.0.0.1.evil.example.org', '10.0.0.1']) {
      const { status, body } = await raw('/healthz', { host });
      expect([host, status]).toEqual([host, 421]);
      expect(JSON.parse(body)).toMatchObject({ status: 421 });
    }
    for (const host of ['localhost', 'localhost:4100', '127.0.0.1:1', '[::1]:4100']) {
      expect([host, (await raw('/healthz', { host })).status]).toEqual([host, 200]);
    }
  });

  it('survives what is no HTTP at all, and half a request', async () => {
    const port = Number(new URL(api.url).port);
    for (const bytes of [
      '\0\0\0\0\r\n\r\n',
      'GET\r\n\r\n',
      `GET / HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
      'POST /graphql HTTP/1.1\r\ncontent-length: 100\r\n\r\n{',
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
        socket.on('error', () => undefined);
        socket.once('close', () => resolve());
        socket.resume();
      });
    }
    expect((await fetch(`${api.url}/healthz`)).status).toBe(200);
  });

  it('goes on answering while hundreds of bad requests are under way', async () => {
    const kinds = [
      () => post('{"query": "{"'),
      () => post(JSON.stringify({ query: `{ ${'a '.repeat(limits.tokens)} }` })),
      () => post(JSON.stringify({ query: `{ decisions(first: 1) { nodes { ${deep(10)} } } }` })),
      () => post(JSON.stringify({ query: '{ decisions(after: "forged") { totalCount } }' })),
      () => fetch(`${api.url}/log/tile/0/999`).then((response) => response.text()),
      () => stranger('Bearer cs_guessed'),
      () => stranger(`Bearer ${'e30.'.repeat(2)}${'x'.repeat(5_000)}`),
    ];
    const bad = Promise.all(Array.from({ length: 500 }, (_, i) => kinds[i % kinds.length]()));
    for (let i = 0; i < 20; i++) {
      const { errors } = await api.query('{ decisions(first: 5) { nodes { id change { head } } } }');
      expect(errors).toEqual([]);
    }
    await bad;
    expect((await fetch(`${api.url}/healthz`)).status).toBe(200);
  });

  it('keeps a fault of its own inside: an id for the client, the cause in the log', async () => {
    await api.dataSource.query('ALTER TABLE fault RENAME TO fault_gone');
    try {
      const { status, errors } = await api.query('{ faults { totalCount } service { version } }');
      expect(status).toBe(500);
      expect(errors[0]).toMatchObject({
        message: 'something went wrong inside the service',
        extensions: { code: 'internal' },
      });
      expect(api.logged.some((line) => line.includes('fault') && line.includes('does not exist'))).toBe(true);
    } finally {
      await api.dataSource.query('ALTER TABLE fault_gone RENAME TO fault');
    }
  });
});

/** Whoever brings a token that is none is no reader of this machine, either. */
async function stranger(authorization: string): Promise<void> {
  const headers = { authorization, 'content-type': 'application/json' };
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers,
    body: '{"query": "{ service { version } }"}',
  });
  expect([response.status, await response.text()]).toEqual([401, expect.not.stringContaining('version')]);
}

function raw(path: string, headers: Record<string, string>): Promise<{ status: number; body: string }> {
  const { port } = new URL(api.url);
  return new Promise((resolve, reject) => {
    const request = rawRequest({ host: '127.0.0.1', port, path, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on('error', reject).end();
  });
}
