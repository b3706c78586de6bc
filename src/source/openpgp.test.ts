import { createMessage, readKeys, readSignature, verify as verifyByLibrary } from 'openpgp';
import { createRepository, temporaryFolder, type ScratchRepository } from '../../test/support/git-fixture.js';
import { Keyring, type NewKey } from '../../test/support/keyring.js';
import { openRepository } from '../adapters/git/open.js';
import { parseCommit } from './commit.js';
import { parseIdentities } from './identities.js';
import { readOpenPgpKeys } from './openpgp-key.js';
import type { Commit, Repository } from './repository.js';
import { splitSignedPayload } from './signed-payload.js';
import { checkSignature, checkStatement, NO_SIGNERS, parseSigners, VerifiedSigner, type Signers } from './signers.js';

const folder = temporaryFolder();
// Later than everything that is made here.
const NOW = new Date(Date.now() + 3_600_000);
const OF_ANOTHER = 'the signature is not of this commit';

let keyring: Keyring;
let scratch: ScratchRepository;
let repository: Repository;
let ann: string;

beforeAll(async () => {
  keyring = await Keyring.create();
  scratch = await createRepository(folder.path('signed'));
  repository = await openRepository(scratch.path);
  ann = await keyring.key('Ann <ann@example.org>');
}, 60_000);
afterAll(async () => {
  await repository.close();
  await keyring.close();
});

async function signersOf(...fingerprints: string[]): Promise<Signers> {
  const files = await Promise.all(fingerprints.map((one) => keyring.export(one)));
  return {
    ...NO_SIGNERS,
    openpgp: (await Promise.all(files.map((file) => readOpenPgpKeys(file, 'k.asc', false)))).flat(),
  };
}

async function signedBy(key: string, at = '', options = ''): Promise<Commit> {
  return repository.commit(await keyring.commit(scratch, key, at, options));
}

function altered(commit: Commit, change: (text: string) => string): Commit {
  return parseCommit(commit.id, Buffer.from(change(commit.raw.toString('latin1')), 'latin1'));
}

/** The same commit with another armoured signature. */
function resigned(commit: Commit, armour: string): Commit {
  const lines = armour.trimEnd().split('\n').join('\n ');
  return altered(commit, (text) =>
    text.replace(/gpgsig [^]*?-----END PGP SIGNATURE-----\n/, () => `gpgsig ${lines}\n`),
  );
}

function packetOf(commit: Commit): Buffer {
  const armour = splitSignedPayload(commit.raw, 'sha1').signatures[0].toString('latin1');
  return Buffer.from(armour.split('\n\n')[1].split('\n=')[0], 'base64');
}

/** Without a checksum, which is optional. */
function armoured(packet: Buffer): string {
  return `-----BEGIN PGP SIGNATURE-----\n\n${packet.toString('base64')}\n-----END PGP SIGNATURE-----\n`;
}

describe('a commit signed with gpg', () => {
  it.each<[string, NewKey]>([
    ['ed25519', {}],
    ['rsa2048', { algorithm: 'rsa2048' }],
    ['nistp256', { algorithm: 'nistp256' }],
    ['nistp521', { algorithm: 'nistp521' }],
    ['a subkey', { subkey: 'ed25519' }],
    ['a key that expires later', { expires: '2y' }],
  ])('is verified with %s, as git says too', async (name, options) => {
    const key = await keyring.key(`Bo <bo-${name.replaceAll(' ', '-')}@example.org>`, options);
    const commit = await signedBy(key);
    expect(checkSignature(commit, await signersOf(ann, key), NOW)).toEqual({
      kind: 'openpgp',
      status: 'verified',
      principal: `bo-${name.replaceAll(' ', '-')}@example.org`,
      key,
    });
    expect(await keyring.verdict(scratch, commit.id)).toBe('G');
  });

  it('is of an unknown key where nobody listed it', async () => {
    const commit = await signedBy(ann);
    expect(checkSignature(commit, NO_SIGNERS, NOW)).toMatchObject({ kind: 'openpgp', status: 'unknown_key', key: ann });
  });

  it('is not verified when message, tree or author was changed afterwards', async () => {
    const commit = await signedBy(ann);
    for (const change of [
      (text: string) => text.replace('\n\nchange', '\n\nother'),
      (text: string) => text.replace(commit.tree, '7'.repeat(40)),
      (text: string) => text.replace('author Nobody', 'author Somebody'),
    ]) {
      expect(checkSignature(altered(commit, change), await signersOf(ann), NOW)).toMatchObject({
        status: 'unverified',
        reason: OF_ANOTHER,
      });
    }
  });

  it('does not lend its signature to another commit', async () => {
    const [one, other] = [await signedBy(ann), await signedBy(ann)];
    expect(checkSignature(resigned(one, armoured(packetOf(other))), await signersOf(ann), NOW).reason).toBe(OF_ANOTHER);
    expect(checkSignature(resigned(one, armoured(packetOf(one))), await signersOf(ann), NOW).status).toBe('verified');
  });

  it('names the person whom the identity map joins the key to', async () => {
    const text = `apiVersion: countersign.dev/v1\npeople:\n  - person: ann\n    keys: ["${ann}"]\n`;
    const signers = { ...(await signersOf(ann)), identities: parseIdentities(text) };
    expect(checkSignature(await signedBy(ann), signers, NOW).person).toBe('ann');
  });
});

describe('a key', () => {
  it('that expired is judged when the commit was first seen, never at a date in it (invariant 6)', async () => {
    const key = await keyring.key('Old <old@example.org>', { created: '20200101T000000', expires: '20210101T000000' });
    const commit = await signedBy(key, '20200601T000000');
    const signers = await signersOf(key);
    expect(checkSignature(commit, signers, NOW)).toMatchObject({
      status: 'expired',
      reason: 'the key was valid only before 2021-01-01T00:00:00Z',
    });
    expect(checkSignature(commit, signers, new Date('2020-07-01T00:00:00Z')).status).toBe('verified');
    // Stricter: git only notes it, and its verify-commit succeeds.
    expect(await keyring.verdict(scratch, commit.id)).toBe('Y');
  });

  it('that is not valid yet signs nothing', async () => {
    const key = await keyring.key('Early <early@example.org>', { created: '20400101T000000' });
    const commit = await signedBy(key, '20400601T000000');
    expect(checkSignature(commit, await signersOf(key), NOW)).toMatchObject({
      status: 'unverified',
      reason: 'the key is valid only after 2040-01-01T00:00:00Z',
    });
  });

  it('that was revoked counts for no commit, whenever that was seen', async () => {
    const key = await keyring.key('Gone <gone@example.org>');
    const commit = await signedBy(key);
    expect(checkSignature(commit, await signersOf(key), NOW).status).toBe('verified');
    await keyring.revoke(key);
    for (const at of [NOW, new Date(Date.now() + 1e10)])
      expect(checkSignature(commit, await signersOf(key), at)).toMatchObject({ status: 'revoked', key });
    expect(await keyring.verdict(scratch, commit.id)).toBe('R');
  });

  it('that revoked_signers lists by fingerprint counts no more, however it is spelled', async () => {
    const spelled = ann.replaceAll(/(.{4})/g, '$1 ').toLowerCase();
    const { revoked } = parseSigners({ text: '', file: 'a' }, { text: `${spelled}\n`, file: 'r' });
    expect(checkSignature(await signedBy(ann), { ...(await signersOf(ann)), revoked }, NOW).status).toBe('revoked');
  });

  it('of RSA with 1024 bits is too weak, although git accepts it', async () => {
    const key = await keyring.key('Weak <weak@example.org>', { algorithm: 'rsa1024' });
    const commit = await signedBy(key);
    const { status, reason } = checkSignature(commit, await signersOf(key), NOW);
    expect([status, reason]).toEqual(['unverified', expect.stringContaining('2048')]);
    expect(await keyring.verdict(scratch, commit.id)).toBe('G');
  });

  it('of a forge vouches for no person', async () => {
    const keys = await readOpenPgpKeys(await keyring.export(ann), 'forge-keys/forge.asc', true);
    const commit = await signedBy(ann);
    const signers = { ...NO_SIGNERS, openpgp: keys };
    expect(checkSignature(commit, signers, NOW)).toMatchObject({ status: 'verified', forge: true });
    expect(VerifiedSigner.of(commit, signers, NOW)).toBeUndefined();
  });

  it('is refused if it is private, or cannot be read, with its file', async () => {
    const secret = await keyring.gpg(['--armor', '--export-secret-keys', ann]);
    await expect(readOpenPgpKeys(secret, 'keys/ann.asc', false)).rejects.toMatchObject({
      code: 'signers-malformed',
      message: 'this is a private key',
      place: { file: 'keys/ann.asc' },
    });
    for (const content of [
      '',
      'no key',
      '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n',
    ])
      await expect(readOpenPgpKeys(Buffer.from(content), 'keys/x.asc', false)).rejects.toMatchObject({
        code: 'signers-malformed',
      });
  });

  it('is refused if its user id hides characters', async () => {
    const key = await keyring.key('Ann \u202egro.elpmaxe@nna <ann\u202e@example.org>');
    await expect(signersOf(key)).rejects.toMatchObject({ code: 'signers-malformed' });
  });
});

describe('a signature', () => {
  it('over SHA-1 can be forged and does not count', async () => {
    const key = await keyring.key('Sha <sha@example.org>', { algorithm: 'rsa2048' });
    const commit = await signedBy(key, '', '--digest-algo SHA1');
    expect(checkSignature(commit, await signersOf(key), NOW)).toMatchObject({
      status: 'unverified',
      reason: expect.stringContaining('SHA-1'),
    });
  });

  it('that expired counts no more', async () => {
    const commit = await signedBy(ann, '', '--default-sig-expire 1d');
    const signers = await signersOf(ann);
    expect(checkSignature(commit, signers, NOW).status).toBe('verified');
    expect(checkSignature(commit, signers, new Date(Date.now() + 2 * 86_400_000)).status).toBe('expired');
  });

  it('whose two bytes of the hash are wrong counts, as GitHub wrote them for years and gpg accepts them', async () => {
    const commit = await signedBy(ann);
    const packet = packetOf(commit);
    const at = packet.length - 68 - 2;
    packet[at] ^= 0xff;
    expect(checkSignature(resigned(commit, armoured(packet)), await signersOf(ann), NOW).status).toBe('verified');
    const key = Buffer.from((await keyring.gpg(['--export', ann])).toString('latin1'), 'latin1');
    key[key.length - 68 - 2] ^= 0xff;
    const signers = { ...NO_SIGNERS, openpgp: await readOpenPgpKeys(key, 'k.gpg', false) };
    expect(checkSignature(commit, signers, NOW).status).toBe('verified');
    key[key.length - 10] ^= 1;
    const forged = { ...NO_SIGNERS, openpgp: await readOpenPgpKeys(key, 'k.gpg', false) };
    expect(checkSignature(commit, forged, NOW).status).toBe('unverified');
  });

  it.each<[string, (packet: Buffer) => string]>([
    ['cut off', (packet) => armoured(packet.subarray(0, -1))],
    ['with bytes after it', (packet) => armoured(Buffer.concat([packet, Buffer.from([0])]))],
    ['with another after it', (packet) => armoured(Buffer.concat([packet, packet]))],
    ['with a wrong checksum', (packet) => armoured(packet).replace('\n-----END', '\n=AAAA\n-----END')],
    ['in two blocks', (packet) => armoured(packet) + armoured(packet)],
    ['without its end', (packet) => armoured(packet).split('-----END')[0]],
    [
      'of another version',
      (packet) => armoured(Buffer.concat([packet.subarray(0, 2), Buffer.from([3]), packet.subarray(3)])),
    ],
    ['over text', (packet) => armoured(Buffer.concat([packet.subarray(0, 3), Buffer.from([1]), packet.subarray(4)]))],
    ['empty', () => '-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n'],
  ])('%s is unverified and stops nothing', async (_name, change) => {
    const commit = await signedBy(ann);
    const { status, reason } = checkSignature(resigned(commit, change(packetOf(commit))), await signersOf(ann), NOW);
    expect(status).toBe('unverified');
    expect(reason).toMatch(/^the OpenPGP signature cannot be read: /);
  });

  it('beside a second one is unverified, whatever git makes of the two', async () => {
    const commit = await signedBy(ann);
    const header = /gpgsig [^]*?-----END PGP SIGNATURE-----\n/.exec(commit.raw.toString('latin1'))![0];
    const twice = altered(commit, (text) => text.replace(header, () => header + header));
    expect(checkSignature(twice, await signersOf(ann), NOW).reason).toBe('the commit has more than one signature');
  });

  it('with any one bit changed is verified only where openpgp.js says so too, but where nothing is proven', async () => {
    const commit = await signedBy(ann);
    const packet = packetOf(commit);
    const { payload } = splitSignedPayload(commit.raw, 'sha1');
    const signers = await signersOf(ann);
    const verificationKeys = await readKeys({ armoredKeys: (await keyring.export(ann)).toString() });
    // Two bytes of the hash, and the kind of the part that repeats the key's id: without it, the library finds no key.
    const prefix = packet.length - 68 - 2;
    const nothing = [prefix, prefix + 1, prefix - 9];
    const differing: number[] = [];
    for (let i = 0; i < packet.length * 8; i++) {
      const changed = Buffer.from(packet);
      changed[i >> 3] ^= 1 << (i & 7);
      const ours = checkSignature(resigned(commit, armoured(changed)), signers, NOW).status === 'verified';
      const theirs = await libraryAccepts(changed, payload, verificationKeys);
      if (ours && !theirs && !nothing.includes(i >> 3)) differing.push(i);
    }
    expect(differing).toEqual([]);
  }, 60_000);

  it('over a statement is checked as one over a commit is', async () => {
    const message = Buffer.from('I approve\n');
    const signature = await keyring.gpg(['-u', ann, '--armor', '--detach-sign'], '', message.toString());
    const signers = await signersOf(ann);
    expect(checkStatement(message, signature, 'approval', signers, NOW)).toMatchObject({
      kind: 'openpgp',
      status: 'verified',
      principal: 'ann@example.org',
    });
    expect(checkStatement(Buffer.from('I approve all\n'), signature, 'approval', signers, NOW).reason).toBe(
      'the signature is not of this statement',
    );
  });
});

async function libraryAccepts(packet: Buffer, payload: Buffer, verificationKeys: Awaited<ReturnType<typeof readKeys>>) {
  try {
    const signature = await readSignature({ binarySignature: packet });
    const message = await createMessage({ binary: payload });
    const { signatures } = await verifyByLibrary({ message, signature, verificationKeys, format: 'binary', date: NOW });
    if (signatures.length !== 1) return false;
    return await signatures[0].verified;
  } catch {
    return false;
  }
}
