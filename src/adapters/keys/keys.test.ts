import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { openCheckpoint, signCheckpoint } from '../../audit/checkpoint.js';
import { sha256, utf8 } from '../../audit/crypto.js';
import { parseVkey } from '../../audit/note.js';
import { openKeys, readKeys, refuseKeysOfEnvironment } from './file.js';
import { kmsSigner, parseKmsReference } from './kms.js';
import { beginRotation, finishRotation } from './rotation.js';

const origin = 'log.example.org/test';
let data: string;

beforeEach(() => (data = mkdtempSync(join(tmpdir(), 'countersign-keys-'))));
afterEach(() => rmSync(data, { recursive: true }));

const keysIn = (folder = data) => openKeys({ data: folder, origin, environment: {} });
const checkpoint = { origin, size: 3, root: sha256(utf8('root')) };

describe('keys in files', () => {
  it('are made once, for their owner alone, and are the same afterwards', async () => {
    const first = await keysIn();
    for (const file of ['log.key', 'entries.key', 'redaction.key']) {
      expect(statSync(join(data, 'keys', file)).mode & 0o777).toBe(0o600);
    }
    expect((await keysIn()).log.vkey).toBe(first.log.vkey);
    await expect(openKeys({ data, origin: 'another.example.org', environment: {} })).rejects.toThrow('origin is');
  });

  it('are refused when others may read them', async () => {
    await keysIn();
    chmodSync(join(data, 'keys', 'log.key'), 0o640);
    await expect(keysIn()).rejects.toMatchObject({
      code: 'keys-invalid',
      remedy: expect.stringContaining('chmod') as string,
    });
  });

  it('are not looked for in a folder without any', async () => {
    await expect(readKeys(data)).rejects.toMatchObject({ code: 'keys-invalid' });
    expect(readdirSync(data)).toEqual([]);
  });
});

const seed = (n: number): string => Buffer.alloc(32, n).toString('base64');

describe('keys in the environment', () => {
  it('take the place of files, which are not made', async () => {
    const environment = {
      COUNTERSIGN_LOG_KEY: seed(1),
      COUNTERSIGN_ENTRIES_KEY: seed(2),
      COUNTERSIGN_REDACTION_KEY: seed(3),
    };
    const [one, two] = [await openKeys({ data, origin, environment }), await openKeys({ data, origin, environment })];
    expect(one.log.vkey).toBe(two.log.vkey);
    expect(readdirSync(join(data, 'keys'))).toEqual(['origin']);
    expect(() => refuseKeysOfEnvironment(environment)).toThrow('COUNTERSIGN_LOG_KEY is set');
  });

  it.each(['', 'AAAA', `${seed(1)} x`, seed(1).slice(0, -1)])('are refused when they are none: %j', async (value) => {
    const opening = openKeys({ data, origin, environment: { COUNTERSIGN_ENTRIES_KEY: value } });
    await expect(opening).rejects.toMatchObject({
      code: 'keys-invalid',
      message: expect.not.stringContaining(seed(1)) as string,
    });
  });
});

describe('a rotation', () => {
  it('signs with both keys until it is finished, then with the next alone', async () => {
    const before = await keysIn();
    const next = await beginRotation(join(data, 'keys'), origin);
    await expect(beginRotation(join(data, 'keys'), origin)).rejects.toThrow('under way');
    await expect(finishRotation(join(data, 'keys'), origin)).rejects.toThrow('no rotation that the log has named');
    const during = await keysIn();
    expect([during.log.vkey, during.next?.vkey]).toEqual([before.log.vkey, next]);
    const note = await signCheckpoint(checkpoint, during.log);
    for (const vkey of [before.log.vkey, next]) expect(openCheckpoint(note, parseVkey(vkey)).size).toBe(3);
    await during.next!.named(note);
    expect((await keysIn()).handovers).toEqual([note]);
    expect(await finishRotation(join(data, 'keys'), origin)).toBe(next);
    const after = await keysIn();
    expect([after.log.vkey, after.next, after.handovers]).toEqual([next, undefined, [note]]);
    expect(after.entries.publicKey).toEqual(during.next!.entries);
    expect(after.retired).toEqual([{ vkey: before.log.vkey, entries: before.entries.publicKey }]);
    const alone = await signCheckpoint(checkpoint, after.log);
    expect(() => openCheckpoint(alone, parseVkey(before.log.vkey))).toThrow('trusted key');
    await expect(finishRotation(join(data, 'keys'), origin)).rejects.toThrow('no rotation');
  });

  it('ends in the same place when finishing was cut off after any of its steps', async () => {
    await keysIn();
    await beginRotation(join(data, 'keys'), origin);
    const during = await keysIn();
    await during.next!.named(await signCheckpoint(checkpoint, during.log));
    const whole = join(data, 'whole');
    cpSync(join(data, 'keys'), join(whole, 'keys'), { recursive: true });
    await finishRotation(join(whole, 'keys'), origin);
    const done = await keysIn(whole);
    // The steps as finishRotation takes them, one more each time.
    const steps: ((folder: string) => void)[] = [
      (folder) => copyFileSync(join(whole, 'keys', 'retired'), join(folder, 'retired')),
      (folder) => renameSync(join(folder, 'entries.next.key'), join(folder, 'entries.key')),
      (folder) => renameSync(join(folder, 'log.next.key'), join(folder, 'log.key')),
    ];
    for (let cut = 0; cut <= steps.length; cut += 1) {
      const torn = join(data, `cut-${cut}`);
      cpSync(join(data, 'keys'), join(torn, 'keys'), { recursive: true });
      for (const step of steps.slice(0, cut)) step(join(torn, 'keys'));
      const opened = await keysIn(torn).catch((error: Error) => error.message);
      expect(typeof opened === 'string' && opened.includes('interrupted')).toBe(cut === 2);
      await finishRotation(join(torn, 'keys'), origin);
      const keys = await keysIn(torn);
      expect([keys.log.vkey, keys.handovers, keys.retired]).toEqual([done.log.vkey, done.handovers, done.retired]);
      expect(keys.entries.publicKey).toEqual(done.entries.publicKey);
      expect(existsSync(join(torn, 'keys', 'entries.next.key'))).toBe(false);
    }
  });
});

/** As much of KMS as signs: its JSON protocol over HTTP, with real keys. */
class FakeKms {
  readonly #key = createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, 9)]),
    format: 'der',
    type: 'pkcs8',
  });
  keySpec = 'ECC_NIST_EDWARDS25519';
  answer: 'well' | 'denied' | 'wrongly' | 'with an outage' = 'well';
  readonly asked: Record<string, unknown>[] = [];
  #server: Server | undefined;

  async start(): Promise<string> {
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(([status, body]) =>
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body)),
      );
    });
    await new Promise<void>((resolve) => this.#server!.listen(0, '127.0.0.1', resolve));
    return `kms:alias/countersign?region=eu-central-1&endpoint=http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage): Promise<[number, object]> {
    const asked = JSON.parse(await text(request)) as { KeyId: string; Message?: string };
    const operation = String(request.headers['x-amz-target']).split('.')[1];
    this.asked.push({ operation, ...asked });
    if (this.answer === 'denied') return [400, { __type: 'AccessDeniedException', message: 'not authorized' }];
    if (this.answer === 'with an outage') return [503, { __type: 'KMSInternalException', message: 'try again' }];
    if (operation === 'GetPublicKey') {
      const der = createPublicKey(this.#key).export({ format: 'der', type: 'spki' });
      return [200, { KeyId: asked.KeyId, PublicKey: der.toString('base64'), KeySpec: this.keySpec }];
    }
    const message = Buffer.from(asked.Message!, 'base64');
    const signature = sign(null, this.answer === 'wrongly' ? Buffer.from('another') : message, this.#key);
    return [200, { KeyId: asked.KeyId, Signature: signature.toString('base64') }];
  }

  stop(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }
}

describe('a key in AWS KMS', () => {
  let kms: FakeKms;
  let reference: string;
  const credentials = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };
  beforeEach(async () => {
    Object.assign(process.env, credentials);
    kms = new FakeKms();
    reference = await kms.start();
  });
  afterEach(() => {
    kms.stop();
    for (const name of Object.keys(credentials)) delete process.env[name];
  });

  it('signs checkpoints that anybody can open, as RAW Ed25519', async () => {
    const keys = await openKeys({ data, origin, environment: { COUNTERSIGN_LOG_KEY: reference } });
    const note = await signCheckpoint(checkpoint, keys.log);
    expect(openCheckpoint(note, parseVkey(keys.log.vkey)).size).toBe(3);
    expect(existsSync(join(data, 'keys', 'log.key'))).toBe(false);
    expect(kms.asked.at(-1)).toMatchObject({
      operation: 'Sign',
      KeyId: 'alias/countersign',
      MessageType: 'RAW',
      SigningAlgorithm: 'ED25519_SHA_512',
    });
  });

  it('follows a key in a file, and is followed by one', async () => {
    const folder = join(data, 'keys');
    for (const target of [reference, undefined]) {
      await keysIn();
      const next = await beginRotation(folder, origin, target);
      const during = await keysIn();
      await during.next!.named(await signCheckpoint(checkpoint, during.log));
      expect(await finishRotation(folder, origin)).toBe(next);
      expect((await keysIn()).log.vkey).toBe(next);
      expect([existsSync(join(folder, 'log.kms')), existsSync(join(folder, 'log.key'))]).toEqual([
        target !== undefined,
        target === undefined,
      ]);
    }
  });

  it('is refused when it is of another kind, and too long a message before it is sent', async () => {
    const signer = await kmsSigner(reference);
    const asked = kms.asked.length;
    await expect(signer.sign(new Uint8Array(4097))).rejects.toMatchObject({ code: 'keys-invalid' });
    expect(kms.asked).toHaveLength(asked);
    kms.keySpec = 'ECC_NIST_P256';
    await expect(kmsSigner(reference)).rejects.toMatchObject({
      code: 'keys-invalid',
      remedy: expect.stringContaining('ECC_NIST_EDWARDS25519') as string,
    });
  });

  it.each([
    ['denied', 'kms:Sign'],
    ['with an outage', 'tried again'],
    ['wrongly', 'none'],
  ] as const)('signs nothing when KMS answers %s', async (answer, remedy) => {
    const signer = await kmsSigner(reference);
    kms.answer = answer;
    const fault = await signer.sign(utf8('text')).catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: 'keys-unavailable', retry: true });
    expect((fault as { remedy?: string }).remedy ?? 'none').toContain(remedy);
  });

  it.each(['kms:', 'kms:a b', 'kms:x?profile=y', 'kms:x?endpoint=nowhere', 's3:x'])('is not named by %j', (name) => {
    expect(() => parseKmsReference(name)).toThrow(expect.objectContaining({ code: 'keys-invalid' }) as Error);
  });
});
