import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { temporaryFolder } from '../../test/support/git-fixture.js';
import { CountersignError } from '../errors.js';
import { parseCommit } from './commit.js';
import type { Commit } from './repository.js';
import type { Signature } from './signature.js';
import { checkSignature, NO_SIGNERS, type Signers } from './signers.js';
import { readRoots } from './x509-certificate.js';

const folder = temporaryFolder();
// Later than everything that is made here.
const NOW = new Date(Date.now() + 3_600_000);
const DAY = 86_400_000;

function openssl(...args: string[]): Buffer {
  return execFileSync('openssl', args, { cwd: folder.path(''), stdio: ['ignore', 'pipe', 'pipe'] });
}

/** An authority that signs itself, or that another signed. */
function authority(name: string, by?: string, extensions = 'basicConstraints=critical,CA:TRUE'): void {
  certificate(name, by ?? name, { extensions: `${extensions}\nkeyUsage=critical,keyCertSign`, key: 'EC' });
}

interface Wanted {
  readonly extensions?: string;
  readonly key?: 'EC' | 'RSA1024' | 'RSA2048' | 'ED25519';
  readonly days?: number;
  readonly hash?: string;
}

const PERSON =
  'subjectAltName=email:ann@example.org\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection';
const KEYS = {
  EC: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  RSA1024: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'],
  RSA2048: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  ED25519: ['-algorithm', 'ED25519'],
};

function certificate(name: string, by: string, wanted: Wanted = {}): void {
  const { extensions = PERSON, key = 'EC', days = 365, hash = 'sha256' } = wanted;
  openssl('genpkey', ...KEYS[key], '-out', `${name}.key`);
  openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
  writeFileSync(folder.path(`${name}.ext`), `${extensions}\n`);
  const signer =
    by === name ? ['-signkey', `${name}.key`] : ['-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial'];
  const dates = ['-days', String(days), `-${hash}`, '-extfile', `${name}.ext`];
  openssl('x509', '-req', '-in', `${name}.csr`, ...signer, ...dates, '-out', `${name}.pem`);
}

const BODY = `tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904
author Ann <ann@example.org> 1700000000 +0000
committer Ann <ann@example.org> 1700000000 +0000

change
`;

/** A commit as git stores it after gpgsm, here openssl, signed it. */
function signed(by: string, options: readonly string[] = [], body = BODY): Commit {
  writeFileSync(folder.path('payload'), body);
  const files = ['-in', 'payload', '-signer', `${by}.pem`, '-inkey', `${by}.key`];
  const der = openssl('cms', '-sign', '-binary', '-md', 'sha256', '-outform', 'DER', ...files, ...options);
  return withSignature(der);
}

function withSignature(der: Buffer, body = BODY): Commit {
  const lines = [
    '-----BEGIN SIGNED MESSAGE-----',
    ...der.toString('base64').match(/.{1,64}/g)!,
    '-----END SIGNED MESSAGE-----',
  ];
  const [headers, message] = body.split('\n\n');
  return parseCommit('1'.repeat(40), Buffer.from(`${headers}\ngpgsig ${lines.join('\n ')}\n\n${message}`));
}

function trusting(...names: string[]): Signers {
  return { ...NO_SIGNERS, x509: names.flatMap((name) => readRoots(readFileSync(folder.path(`${name}.pem`)), name)) };
}

function check(commit: Commit, signers = trusting('root'), at = NOW): Signature {
  return checkSignature(commit, signers, at);
}

beforeAll(() => {
  authority('root');
  authority('other');
  authority('middle', 'root');
  certificate('ann', 'root');
}, 60_000);

describe('a commit signed with a certificate', () => {
  it.each(['EC', 'RSA2048'] as const)('is verified with a key of type %s from a governed authority', (key) => {
    certificate(`ann-${key}`, 'root', { key });
    const fingerprint = openssl('x509', '-in', `ann-${key}.pem`, '-noout', '-fingerprint', '-sha256').toString();
    expect(check(signed(`ann-${key}`))).toEqual({
      kind: 'x509',
      status: 'verified',
      principal: 'ann@example.org',
      key: fingerprint.trim().split('=')[1].replaceAll(':', ''),
    });
  });

  it('is verified through an authority between, that it brings along', () => {
    certificate('below', 'middle');
    expect(check(signed('below', ['-certfile', 'middle.pem'])).status).toBe('verified');
    expect(check(signed('below'))).toMatchObject({ status: 'unknown_key' });
  });

  it('comes from nobody where its authority is not governed, even if it brings that along', () => {
    const commit = signed('ann', ['-certfile', 'root.pem']);
    expect(check(commit, trusting('other'))).toMatchObject({ status: 'unknown_key' });
    expect(check(commit, NO_SIGNERS)).toMatchObject({ status: 'unknown_key' });
  });

  it('is not verified when the commit was changed, or the signature is of another', () => {
    const commit = signed('ann');
    const changed = parseCommit(
      commit.id,
      Buffer.from(commit.raw.toString('latin1').replace('\n\nchange', '\n\nother')),
    );
    const { reason } = check(changed);
    expect(reason).toBe('the signature is not of this commit');
  });

  it('is refused where somebody who is no authority made the certificate', () => {
    certificate('forged', 'ann');
    expect(check(signed('forged', ['-certfile', 'ann.pem'])).status).toBe('unknown_key');
  });

  it('is refused where an authority is below one that allows none', () => {
    authority('leafy', 'root', 'basicConstraints=critical,CA:TRUE,pathlen:0');
    authority('deeper', 'leafy');
    certificate('deep', 'deeper');
    writeFileSync(
      folder.path('chain.pem'),
      ['leafy', 'deeper'].map((name) => readFileSync(folder.path(`${name}.pem`))).join(''),
    );
    expect(check(signed('deep', ['-certfile', 'chain.pem'])).reason).toBe('the chain of authorities is too long');
  });

  it.each<[string, Wanted, string]>([
    ['with RSA of 1024 bits', { key: 'RSA1024' }, '2048'],
    [
      'for servers',
      { extensions: 'subjectAltName=email:a@b.example\nextendedKeyUsage=serverAuth' },
      'for other purposes',
    ],
    ['for encryption', { extensions: 'subjectAltName=email:a@b.example\nkeyUsage=keyEncipherment' }, 'not for signing'],
    ['that names nobody', { extensions: 'basicConstraints=CA:FALSE' }, 'names no address'],
    ['that is signed with SHA-1', { hash: 'sha1' }, 'SHA-1'],
    ['with an unknown critical extension', { extensions: `${PERSON}\n1.2.3.4=critical,ASN1:NULL` }, '1.2.3.4'],
  ])('is refused for a certificate %s', (name, wanted, reason) => {
    const file = name.replaceAll(/\W/g, '-');
    certificate(file, 'root', wanted);
    expect(check(signed(file))).toMatchObject({ status: 'unverified', reason: expect.stringContaining(reason) });
  });

  it('is judged when it was first seen: expired later, not yet valid before (invariant 6)', () => {
    const commit = signed('ann');
    expect(check(commit, trusting('root'), new Date(NOW.getTime() + 400 * DAY)).status).toBe('expired');
    expect(check(commit, trusting('root'), new Date(NOW.getTime() - DAY)).reason).toContain('valid only after');
  });

  it('with a short-lived certificate, as gitsign’s are, needs a time that nobody vouches for here', () => {
    certificate('gitsign', 'root', { days: 1, extensions: PERSON.replace('emailProtection', 'codeSigning') });
    const commit = signed('gitsign');
    expect(check(commit).status).toBe('verified');
    expect(check(commit, trusting('root'), new Date(NOW.getTime() + 2 * DAY))).toMatchObject({
      status: 'unverified',
      reason: expect.stringContaining('time-stamp'),
    });
  });

  it('is revoked where revoked_signers names the certificate or its authority', () => {
    const commit = signed('ann');
    for (const name of ['ann', 'root']) {
      const printed = openssl('x509', '-in', `${name}.pem`, '-noout', '-fingerprint', '-sha256').toString();
      const revoked = new Set([printed.trim().split('=')[1].replaceAll(':', '')]);
      expect(check(commit, { ...trusting('root'), revoked }).status).toBe('revoked');
    }
  });

  it.each<[string, readonly string[]]>([
    ['that holds what it signs', ['-nodetach']],
    ['without signed attributes', ['-noattr']],
    ['without its certificate', ['-nocerts']],
    ['that names its key only', ['-keyid']],
    ['over SHA-1', ['-md', 'sha1']],
  ])('%s is unverified and stops nothing', (_name, options) => {
    expect(check(signed('ann', options))).toMatchObject({
      status: 'unverified',
      reason: expect.stringMatching(/^the X\.509 signature cannot be read: /),
    });
  });

  it('with two signers is unverified', () => {
    certificate('bo', 'root');
    expect(check(signed('ann', ['-signer', 'bo.pem', '-inkey', 'bo.key'])).reason).toContain('2 signers');
  });

  it('with any byte of it changed or cut off says the same or nothing, and stops nothing', () => {
    const commit = signed('ann');
    const text = /gpgsig [^]*?-----END SIGNED MESSAGE-----\n/.exec(commit.raw.toString('latin1'))![0];
    const der = Buffer.from(text.replaceAll(/gpgsig |-----[^-]+-----|\s/g, ''), 'base64');
    const signers = trusting('root');
    const whole = check(withSignature(der), signers);
    expect(whole.status).toBe('verified');
    for (let i = 1; i < der.length; i += 3) {
      const changed = Buffer.from(der);
      changed[i] ^= 1;
      const [one, cut] = [changed, der.subarray(0, i)].map((bytes) => check(withSignature(bytes), signers));
      // Lengths and lists that nothing depends on are not signed.
      expect(one.status === 'verified' ? one : whole).toEqual(whole);
      expect(cut.status).toBe('unverified');
    }
  }, 60_000);
});

describe('an authority', () => {
  it.each<[string, () => Buffer]>([
    ['a private key', () => readFileSync(folder.path('root.key'))],
    ['no certificate', () => Buffer.from('nothing')],
    ['a damaged one', () => Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')],
    ['a person’s', () => readFileSync(folder.path('ann.pem'))],
  ])('is refused for %s, with its file', (_name, content) => {
    let thrown: unknown;
    try {
      readRoots(content(), '.countersign/x509/root.pem');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(CountersignError);
    expect(thrown).toMatchObject({ code: 'signers-malformed', place: { file: '.countersign/x509/root.pem' } });
  });
});
