import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { person, temporaryFolder } from '../../test/support/git-fixture.js';
import { wireString } from './ssh-wire.js';
import { parseSshSignature, signerWasPresent, verifySshSignature } from './sshsig.js';

const folder = temporaryFolder();
const MESSAGE = Buffer.from('what was signed\n');

function armour(blob: Buffer): Buffer {
  const lines = blob.toString('base64').replaceAll(/(.{70})/g, '$1\n');
  return Buffer.from(`-----BEGIN SSH SIGNATURE-----\n${lines}\n-----END SSH SIGNATURE-----\n`);
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** A multiple-precision integer, kept positive by a leading zero. */
function positive(bytes: Buffer): Buffer {
  const trimmed = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
  return wireString(trimmed[0] >= 0x80 ? Buffer.concat([Buffer.from([0]), trimmed]) : trimmed);
}

/** A FIDO key in software: signs what PROTOCOL.u2f says, with flags of our choosing. */
function securityKey(type: 'ed25519' | 'ecdsa'): { publicKey: Buffer; signature: (flags: number) => Buffer } {
  const application = Buffer.from('ssh:');
  const pair = type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = pair.publicKey.export({ format: 'jwk' });
  const x = Buffer.from(jwk.x!, 'base64url');
  const algorithm = type === 'ed25519' ? 'sk-ssh-ed25519@openssh.com' : 'sk-ecdsa-sha2-nistp256@openssh.com';
  const numbers =
    type === 'ed25519'
      ? wireString(x)
      : Buffer.concat([
          wireString('nistp256'),
          wireString(Buffer.concat([Buffer.from([4]), x, Buffer.from(jwk.y!, 'base64url')])),
        ]);
  const publicKey = Buffer.concat([wireString(algorithm), numbers, wireString(application)]);
  const signature = (flags: number): Buffer => {
    const digest = createHash('sha512').update(MESSAGE).digest();
    const signed = Buffer.concat([
      Buffer.from('SSHSIG'),
      ...['git', '', 'sha512', digest].map((part) => wireString(part)),
    ]);
    const tail = Buffer.concat([Buffer.from([flags]), uint32(7)]);
    const value = rawSign(type, pair.privateKey, Buffer.concat([sha256(application), tail, sha256(signed)]));
    const inner = Buffer.concat([wireString(algorithm), wireString(value), tail]);
    return armour(
      Buffer.concat([
        Buffer.from('SSHSIG'),
        uint32(1),
        ...[publicKey, 'git', '', 'sha512', inner].map((part) => wireString(part)),
      ]),
    );
  };
  return { publicKey, signature };
}

function rawSign(type: 'ed25519' | 'ecdsa', key: KeyObject, data: Buffer): Buffer {
  if (type === 'ed25519') return sign(null, data, key);
  const value = sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
  return Buffer.concat([positive(value.subarray(0, 32)), positive(value.subarray(32))]);
}

function opensshAccepts(signature: Buffer, message = MESSAGE): boolean {
  writeFileSync(folder.path('signature'), signature);
  try {
    execFileSync('ssh-keygen', ['-Y', 'check-novalidate', '-n', 'git', '-s', folder.path('signature')], {
      input: message,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    return true;
  } catch {
    return false;
  }
}

describe('an SSH signature', () => {
  it.each([['ed25519'], ['ecdsa'], ['rsa']] as const)(
    'by an %s key is judged as ssh-keygen judges it',
    async (type) => {
      const { keyFile } = await person('Ann', `sig-${type}@example.org`, type);
      for (const hash of ['sha256', 'sha512']) {
        const made = execFileSync(
          'ssh-keygen',
          ['-q', '-Y', 'sign', '-O', `hashalg=${hash}`, '-n', 'git', '-f', keyFile],
          { input: MESSAGE },
        );
        const signature = parseSshSignature(made);
        expect(signature).toMatchObject({ namespace: 'git', hash });
        expect([verifySshSignature(signature, MESSAGE), opensshAccepts(made)]).toEqual([true, true]);
        const other = Buffer.from('something else\n');
        expect([verifySshSignature(signature, other), opensshAccepts(made, other)]).toEqual([false, false]);
      }
    },
  );

  it.each([['ed25519'], ['ecdsa']] as const)(
    'by a %s security key is verified, and says whether it was touched',
    (type) => {
      const key = securityKey(type);
      for (const [flags, touched] of [
        [1, true],
        [5, true],
        [0, false],
        [4, false],
      ] as const) {
        const made = key.signature(flags);
        const signature = parseSshSignature(made);
        expect([verifySshSignature(signature, MESSAGE), opensshAccepts(made)]).toEqual([true, true]);
        expect(signerWasPresent(signature)).toBe(touched);
      }
    },
  );

  it('refuses RSA keys under 2048 bits, which ssh-keygen accepts', () => {
    const file = folder.path('short');
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '1024', '-N', '', '-f', file]);
    const made = execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'git', '-f', file], { input: MESSAGE });
    expect(() => parseSshSignature(made)).toThrow(
      expect.objectContaining({ code: 'signature-malformed', message: expect.stringContaining('2048') }),
    );
  });

  it('refuses bytes after its end, and a hash that nobody should use', () => {
    const { publicKey } = securityKey('ed25519');
    const blob = (hash: string): Buffer =>
      Buffer.concat([
        Buffer.from('SSHSIG'),
        uint32(1),
        ...[publicKey, 'git', '', hash, 'x'].map((part) => wireString(part)),
      ]);
    expect(() => parseSshSignature(armour(blob('md5')))).toThrow(/hashes with "md5"/);
    expect(() => parseSshSignature(armour(Buffer.concat([blob('sha512'), Buffer.from([0])])))).toThrow(
      /bytes after its end/,
    );
  });
});
