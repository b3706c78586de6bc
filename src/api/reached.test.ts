import fastify from 'fastify';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownCertificate } from '../../test/support/certificate.js';
import { readTls, type Reached, registerNames } from './reached.js';

function serving(reached: Reached) {
  const server = fastify();
  registerNames(server, reached);
  server.get('/', () => 'here');
  return async (remoteAddress: string, headers: Record<string, string>) =>
    (await server.inject({ path: '/', remoteAddress, headers })).statusCode;
}

describe('the names of a service', () => {
  it('are those of this machine, and the one that it is told', async () => {
    const open = serving({ url: 'https://countersign.example.org', proxy: [] });
    for (const host of ['countersign.example.org', 'COUNTERSIGN.example.org', 'localhost:4100', '127.0.0.1', '[::1]:1'])
      expect([host, await open('10.0.0.9', { host })]).toEqual([host, 200]);
    for (const host of ['countersign.example.org:444', 'evil.example.org', 'countersign.example.org.evil.org'])
      expect([host, await open('10.0.0.9', { host })]).toEqual([host, 421]);
  });
});

describe('a service behind a proxy', () => {
  const ask = serving({ url: 'https://countersign.example.org', proxy: ['10.0.0.5', '10.1.0.0/16', 'fd00::/8'] });
  const host = 'countersign.example.org';

  it('answers it, and this machine', async () => {
    for (const peer of ['10.0.0.5', '::ffff:10.1.2.3', 'fd12::1', '127.0.0.1', '::1'])
      expect([peer, await ask(peer, { host })]).toEqual([peer, 200]);
  });

  it('answers nobody who goes round it, or who came to it without TLS', async () => {
    for (const peer of ['10.0.0.6', '::ffff:10.2.0.1', 'fe80::1', '192.0.2.1'])
      expect([peer, await ask(peer, { host, 'x-forwarded-for': '10.0.0.5' })]).toEqual([peer, 403]);
    expect(await ask('10.0.0.5', { host, 'x-forwarded-proto': 'http' })).toBe(403);
    expect(await ask('10.0.0.5', { host, 'x-forwarded-proto': 'https' })).toBe(200);
  });
});

describe('TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-tls-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('takes a certificate and its key, and says when they are none', async () => {
    const files = ownCertificate(folder);
    const options = await readTls(files);
    expect(options.minVersion).toBe('TLSv1.2');
    const server = createServer(options);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    server.setSecureContext(await readTls(files));
    server.close();
    writeFileSync(files.key, readFileSync(files.certificate));
    await expect(readTls(files)).rejects.toMatchObject({ code: 'config-invalid', place: { file: files.certificate } });
  });
});
