import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import pino from 'pino';
import { Histogram, Registry } from 'prom-client';
import { httpFiles } from '../adapters/log-files/http.js';
import type { KnownToken } from '../review/token.js';
import { Access } from './access.js';
import { createHttp } from './http.js';
import { LogController } from './log.controller.js';
import { LOG_FILES, type LogFiles } from './state.js';

@Module({})
class LogAlone {}

const token = (role: KnownToken['role']): KnownToken => ({
  name: role,
  login: `${role}@example.org`,
  role,
  sha256: createHash('sha256').update(`cs_${role}`).digest('hex'),
  repositories: ['*'],
  environments: ['*'],
  expires: '2100-01-01T00:00:00Z',
});

let app: NestFastifyApplication;
let url: string;

const tile = (path: string): Promise<Uint8Array | undefined> =>
  Promise.resolve(path === 'tile/0/000' ? new Uint8Array(8192) : undefined);

async function serve(isPublic: boolean): Promise<void> {
  const files: LogFiles = { public: isPublic, checkpoint: () => Promise.resolve('a note\n'), tile };
  const module = {
    module: LogAlone,
    controllers: [LogController],
    providers: [{ provide: LOG_FILES, useValue: files }],
  };
  const requests = new Histogram({
    name: 'requests',
    help: 'x',
    labelNames: ['route', 'status'],
    registers: [new Registry()],
  });
  const log = { refused: () => Promise.resolve() };
  const access = new Access({ tokens: [token('auditor'), token('viewer')], anonymous: false, log });
  app = await createHttp(module, {
    logger: pino({ level: 'silent' }),
    requests,
    door: { access, publicLog: isPublic },
  });
  await app.listen(0, '127.0.0.1');
  url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}

afterEach(() => app.close());

const get = (path: string, by?: string): Promise<Response> =>
  fetch(url + path, by === undefined ? {} : { headers: { authorization: `Bearer ${by}` } });
const cached = async (asked: Promise<Response>): Promise<unknown> => {
  const { status, headers } = await asked;
  return [status, headers.get('cache-control'), headers.get('vary')];
};

it('lets everybody read and every cache keep a public log', async () => {
  await serve(true);
  expect(await cached(get('/log/checkpoint'))).toEqual([200, 'no-cache', null]);
  expect(await cached(get('/log/tile/0/000'))).toEqual([200, 'public, max-age=31536000, immutable', null]);
  expect((await get('/log/tile/0/001')).status).toBe(404);
});

it('lets readers read another one, and no cache keep it that several people share', async () => {
  await serve(false);
  for (const path of ['/log/checkpoint', '/log/tile/0/000', '/log/tile/0/001']) {
    expect(await cached(get(path))).toEqual([401, 'no-store', null]);
    expect(await cached(get(path, 'cs_other'))).toEqual([401, 'no-store', null]);
    expect((await get(path, 'cs_viewer')).status).toBe(403);
  }
  expect(await cached(get('/log/checkpoint', 'cs_auditor'))).toEqual([200, 'private, no-cache', 'authorization']);
  expect(await cached(get('/log/tile/0/000', 'cs_auditor'))).toEqual([200, 'private, max-age=31536000, immutable', 'authorization']); // prettier-ignore
  expect(await httpFiles(`${url}/log`, 'cs_auditor').read('tile/0/000', 8192)).toHaveLength(8192);
  await expect(httpFiles(`${url}/log`, undefined).read('checkpoint', 100)).rejects.toMatchObject({
    code: 'unauthenticated',
  });
  await expect(httpFiles(`${url}/log`, 'cs_viewer').read('checkpoint', 100)).rejects.toMatchObject({
    code: 'unauthenticated',
  });
});
