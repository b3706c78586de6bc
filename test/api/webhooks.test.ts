import { createHmac } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type AddressInfo } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import pino from 'pino';
import { Histogram, Registry } from 'prom-client';
import { Access } from '../../src/api/access.js';
import { createHttp } from '../../src/api/http.js';
import { SeenDeliveries } from '../../src/api/webhook-delivery.js';
import type { PusherClaim } from '../../src/review/pusher.js';

interface Sample {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const SECRET = 'correct horse battery staple';
const folder = new URL('../vectors/webhooks/', import.meta.url);
const sample = (name: string): Sample => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Sample;
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.replace('.json', ''));

let app: NestFastifyApplication;
let url: string;
let clock = Date.parse('2026-11-21T07:00:00Z');
const hints: string[] = [];
const claims: (PusherClaim | null)[] = [];
const logged: string[] = [];

beforeEach(async () => {
  class Empty {}
  const requests = new Histogram({
    name: 'requests',
    help: '-',
    labelNames: ['route', 'status'],
    registers: [new Registry()],
  });
  const logger = pino({ level: 'debug' }, { write: (line) => void logged.push(line) });
  const webhooks = {
    secrets: new Map([
      ['shop', SECRET],
      ['other', 'another secret of 16'],
    ]),
    hint: (repository: string, claim: PusherClaim | null) => void (hints.push(repository), claims.push(claim)),
    bodyLimit: 100_000,
    bodyTimeout: 300,
    seen: new SeenDeliveries(60_000, 100, () => clock),
  };
  const log = { refused: () => Promise.resolve() };
  const door = { access: new Access({ tokens: [], anonymous: false, log }), publicLog: false };
  app = await createHttp({ module: Empty }, { logger, requests, webhooks, door });
  await app.listen(0, '127.0.0.1');
  url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  hints.length = 0;
  claims.length = 0;
  logged.length = 0;
});
afterEach(() => app.close());

function signed({ body }: Sample, forge: string, secret = SECRET): Record<string, string> {
  const mac = createHmac('sha256', secret).update(body).digest('hex');
  if (forge === 'gitlab') return { 'x-gitlab-token': secret };
  return forge === 'github' ? { 'x-hub-signature-256': `sha256=${mac}` } : { 'x-gitea-signature': mac };
}

async function send(path: string, { headers, body }: Sample, more: Record<string, string> = {}) {
  const response = await fetch(`${url}/webhook/${path}`, { method: 'POST', body, headers: { ...headers, ...more } });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe('a webhook', () => {
  it.each(names)('of a forge that knows the secret makes the repository be looked at: %s', async (name) => {
    const forge = name.split('-')[0]!;
    const one = sample(name);
    expect(await send(`${forge}/shop`, one, signed(one, forge))).toEqual({ status: 202, body: { status: 'accepted' } });
    expect(hints).toEqual(['shop']);
    const [old, head] = ['1f3c9a2b4d5e6f708192a3b4c5d6e7f8091a2b3c', '8be0d4117c2f9a0b1c2d3e4f5061728394a5b6c7'];
    const pushed = { ref: 'refs/heads/main', old, new: head, by: { forge, name: 'ann' } };
    expect(claims).toEqual([name.endsWith('-push') ? pushed : null]);
  });

  it.each(names)('with a wrong signature, none, or one of another body is refused: %s', async (name) => {
    const forge = name.split('-')[0]!;
    const one = sample(name);
    const forged: Record<string, string>[] = [{}, signed(one, forge, 'another secret of 16')];
    if (forge !== 'gitlab') forged.push(signed({ ...one, body: `${one.body} ` }, forge));
    for (const headers of forged) {
      expect(await send(`${forge}/shop`, one, headers)).toMatchObject({ status: 401, body: { status: 401 } });
    }
    expect(hints).toEqual([]);
    expect(logged.join('')).toMatch(/wrong signature/);
    expect(logged.join('')).not.toContain(SECRET);
  });

  it('signed for one repository counts for no other', async () => {
    const one = sample('github-push');
    expect((await send('github/other', one, signed(one, 'github'))).status).toBe(401);
  });

  it('for a repository that nobody follows, or of a forge that nobody knows, finds nothing and is told nothing', async () => {
    const one = sample('github-push');
    const [foreign, unknown] = await Promise.all([
      send('github/payroll', one, signed(one, 'github')),
      send('sourceforge/shop', one, signed(one, 'github')),
    ]);
    expect(foreign).toMatchObject({ status: 404, body: { detail: 'there is nothing at this address' } });
    expect(unknown).toEqual(foreign);
    expect(JSON.stringify(foreign)).not.toMatch(/payroll|shop/);
    expect(hints).toEqual([]);
  });

  it('that is sent again is refused: under its own id, and under another that was never signed', async () => {
    const one = sample('github-push');
    const headers = signed(one, 'github');
    expect((await send('github/shop', one, headers)).status).toBe(202);
    expect(await send('github/shop', one, headers)).toMatchObject({
      status: 409,
      body: { detail: 'this delivery was received before' },
    });
    expect((await send('github/shop', one, { ...headers, 'x-github-delivery': 'made-up' })).status).toBe(409);
    const token = { 'x-gitlab-token': SECRET };
    expect((await send('gitlab/shop', sample('gitlab-push'), token)).status).toBe(202);
    expect((await send('gitlab/shop', sample('gitlab-push'), token)).status).toBe(409);
    expect(hints).toEqual(['shop', 'shop']);
    clock += 61_000;
    expect((await send('github/shop', one, headers)).status).toBe(202);
  });

  it('that was refused does not use its id up', async () => {
    const one = sample('gitea-push');
    expect((await send('gitea/shop', one, signed(one, 'gitea', 'wrong'))).status).toBe(401);
    expect((await send('gitea/shop', one, signed(one, 'gitea'))).status).toBe(202);
  });

  it('that is too large is refused while it comes in, and one whose body stays away is not waited for', async () => {
    const huge = { headers: sample('github-push').headers, body: 'x'.repeat(100_001) };
    expect(await send('github/shop', huge, signed(huge, 'github'))).toMatchObject({ status: 413 });
    const started = performance.now();
    const slow = await slowly(
      `POST /webhook/github/shop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"a`,
    );
    expect(slow).toMatch(/^HTTP\/1\.1 408 [^]*not here within 300 ms/);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(hints).toEqual([]);
  });

  it('without the headers of its forge is refused, and other methods find nothing', async () => {
    const one = sample('github-push');
    const bare = { headers: { 'content-type': 'text/plain' }, body: one.body };
    expect((await send('github/shop', bare, signed(one, 'github'))).status).toBe(400);
    expect((await fetch(`${url}/webhook/github/shop`)).status).toBe(404);
  });
});

const delivery = (id: number) => ({ forge: 'gitlab', id: String(id), event: 'Push Hook' }) as const;

describe('the memory of deliveries', () => {
  it('is bounded in number and time', () => {
    const seen = new SeenDeliveries(1_000, 10, () => clock);
    for (let id = 0; id < 50; id++) expect(seen.add('shop', delivery(id), Buffer.alloc(0))).toBe(true);
    expect(seen.add('shop', delivery(49), Buffer.alloc(0))).toBe(false);
    expect(seen.add('shop', delivery(0), Buffer.alloc(0))).toBe(true);
  });
});

/** Sends that much and waits for the answer. */
function slowly(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
    socket.once('close', () => resolve(answer));
    socket.once('error', reject);
  });
}
