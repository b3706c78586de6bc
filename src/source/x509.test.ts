import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { temporaryFolder } from '../../test/support/git-fixture.js';
import { CountersignError } from '../errors.js';
import { parseCommit } from './commit.js';
import type { Commit } from './repository.js';
import type { Signature } from './signature.js';
import { checkSignature, NO_SIGNERS, type Signers } from './signers.js';
import { readLogKeys } from './rekor.js';
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

  it('with a short-lived certificate, as gitsign’s are, needs somebody to vouch for its time', () => {
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
    for (let i = 1; i < der.length; i += 7) {
      const changed = Buffer.from(der);
      changed[i] ^= 1;
      const [one, cut] = [changed, der.subarray(0, i)].map((bytes) => check(withSignature(bytes), signers));
      // Lengths and lists that nothing depends on are not signed.
      expect(one.status === 'verified' ? one : whole).toEqual(whole);
      expect(cut.status).toBe('unverified');
    }
  }, 60_000);
});

/** The element that begins here, and the last one in it. */
function element(der: Buffer, at: number): { readonly content: number; readonly end: number; readonly last: number } {
  const header = (start: number): [content: number, end: number] => {
    const first = der[start + 1];
    const bytes = first < 0x80 ? 0 : first & 0x7f;
    const length = bytes === 0 ? first : der.readUIntBE(start + 2, bytes);
    return [start + 2 + bytes, start + 2 + bytes + length];
  };
  const [content, end] = header(at);
  let last = content;
  for (let next = content; next < end; [, next] = header(next)) last = next;
  return { content, end, last };
}

function tagged(tag: number, ...content: readonly Buffer[]): Buffer {
  const whole = Buffer.concat(content);
  const { length } = whole;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), whole]);
}

/** From the message down to its signer everything is the last in what holds it: this many levels. */
const SIGNER = 4;

function signatureBytes(der: Buffer): Buffer {
  let at = 0;
  for (let level = 0; level < SIGNER; level++) at = element(der, at).last;
  const { last } = element(der, at);
  const { content, end } = element(der, last);
  return der.subarray(content, end);
}

/** The message with one more attribute that nobody signed. */
function withUnsigned(der: Buffer, id: string, value: Buffer, level = 0): Buffer {
  const { content, end, last } = element(der, 0);
  const more =
    level === SIGNER
      ? [der.subarray(content, end), tagged(0xa1, tagged(0x30, Buffer.from(id, 'hex'), tagged(0x31, value)))]
      : [der.subarray(content, last), withUnsigned(der.subarray(last, end), id, value, level + 1)];
  return tagged(der[0], ...more);
}

const messageOf = (commit: Commit): Buffer => {
  const text = /gpgsig [^]*?-----END SIGNED MESSAGE-----\n/.exec(commit.raw.toString('latin1'))![0];
  return Buffer.from(text.replaceAll(/gpgsig |-----[^-]+-----|\s/g, ''), 'base64');
};

const stamp = (bytes: Buffer, by: string): Buffer => {
  writeFileSync(folder.path('bytes'), bytes);
  writeFileSync(
    folder.path('tsa.cnf'),
    '[tsa]\nserial = serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\ndigests = sha256\ness_cert_id_alg = sha256\n',
  );
  openssl('ts', '-query', '-data', 'bytes', '-sha256', '-cert', '-out', 'query');
  const signer = ['-signer', `${by}.pem`, '-inkey', `${by}.key`, '-config', 'tsa.cnf', '-section', 'tsa'];
  openssl('ts', '-reply', '-queryfile', 'query', ...signer, '-token_out', '-out', 'token');
  return readFileSync(folder.path('token'));
};

const vouching = (...names: string[]): Signers => ({ ...trusting('root'), timestamps: trusting(...names).x509 });

const vector = (name: string): Buffer => readFileSync(new URL(`../../test/vectors/gitsign/${name}`, import.meta.url));

describe('a certificate that is past its time', () => {
  const GITSIGN = PERSON.replace('emailProtection', 'codeSigning');
  const STAMPS = 'extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature';
  const LATER = new Date(NOW.getTime() + 2 * DAY);
  const TOKEN = '060b2a864886f70d010910020e';

  const stampedBy = (by: string, bytes?: Buffer): Commit => {
    const der = messageOf(signed('brief'));
    return withSignature(withUnsigned(der, TOKEN, stamp(bytes ?? signatureBytes(der), by)));
  };
  beforeAll(() => {
    authority('clock');
    certificate('brief', 'root', { days: 1, extensions: GITSIGN });
    certificate('stamps', 'clock', { extensions: STAMPS });
  }, 60_000);

  it('counts by a time-stamp of its time from a governed authority (RFC 3161)', () => {
    const commit = stampedBy('stamps');
    expect(check(commit, vouching('clock'), LATER)).toMatchObject({ status: 'verified', principal: 'ann@example.org' });
    expect(check(commit, trusting('root'), LATER)).toMatchObject({
      status: 'unverified',
      reason: expect.stringContaining('by none of the authorities in .countersign/timestamps'),
    });
    const printed = openssl('x509', '-in', 'stamps.pem', '-noout', '-fingerprint', '-sha256').toString();
    const revoked = new Set([printed.trim().split('=')[1].replaceAll(':', '')]);
    expect(check(commit, { ...vouching('clock'), revoked }, LATER).status).toBe('unverified');
    // An authority for time-stamps is none for people.
    expect(check(commit, { ...vouching('clock'), x509: trusting('clock').x509 }, LATER).status).toBe('unknown_key');
  });

  it('counts no time-stamp of other bytes, by a certificate for other things, or that was changed', () => {
    const elsewhere = check(stampedBy('stamps', Buffer.from('another')), vouching('clock'), LATER);
    expect(elsewhere.reason).toMatch(/its time-stamp is of another signature$/);
    const der = messageOf(signed('brief'));
    const token = stamp(signatureBytes(der), 'stamps');
    const changed = Buffer.from(token);
    const year = token.indexOf(`${new Date().getUTCFullYear()}`, 0, 'latin1');
    changed.write('2020', year, 'latin1');
    const later = check(withSignature(withUnsigned(der, TOKEN, changed)), vouching('clock'), LATER);
    expect(later).toMatchObject({ status: 'unverified', reason: expect.stringContaining('time-stamp') });
    for (let i = 0; i < token.length; i += 40) {
      const cut = withSignature(withUnsigned(der, TOKEN, token.subarray(0, i)));
      expect(check(cut, vouching('clock'), LATER).status).toBe('unverified');
    }
  });
});

describe('a commit that gitsign signed, with Rekor’s entry in it', () => {
  const raw = vector('commit.txt');
  const commit = (bytes = raw): Commit => parseCommit('1'.repeat(40), bytes);
  const signers: Signers = {
    ...NO_SIGNERS,
    x509: readRoots(vector('fulcio.pem'), 'fulcio.pem'),
    logs: readLogKeys(vector('rekor.pub'), 'rekor.pub'),
  };
  /** The commit with one part of its signature in other bytes. */
  const changed = (from: string, to: string): Commit => {
    const [head, body, rest] = raw
      .toString('latin1')
      .split(/gpgsig -----BEGIN SIGNED MESSAGE-----\n|(?<=\n) -----END/) as [string, string, string];
    const der = Buffer.from(body.replaceAll(/\s/g, ''), 'base64').toString('hex');
    if (!der.includes(from)) throw new Error(`${from} is not in it`);
    const lines = Buffer.from(der.replace(from, to), 'hex')
      .toString('base64')
      .match(/.{1,64}/g)!;
    return commit(
      Buffer.from(`${head}gpgsig -----BEGIN SIGNED MESSAGE-----\n ${lines.join('\n ')}\n -----END${rest}`, 'latin1'),
    );
  };

  it('is verified years later: the log took it up while the certificate was valid', () => {
    expect(check(commit(), signers)).toMatchObject({ status: 'verified', principal: 'billy@chainguard.dev' });
  });

  it('is not where no log is governed, nor before it was made', () => {
    expect(check(commit(), { ...signers, logs: [] })).toMatchObject({
      status: 'unverified',
      reason: expect.stringContaining('by none of the logs in .countersign/logs'),
    });
    expect(check(commit(), signers, new Date('2023-04-14T18:00:00Z')).status).toBe('unverified');
    expect(check(commit(), { ...signers, logs: [] }, new Date('2023-04-14T18:30:00Z')).status).toBe('verified');
  });

  it.each([
    ['another time', '208cb6e6a106', '208db6e6a106', 'is of another signature'],
    ['another place in the log', '088c8cc908', '088d8cc908', 'is of another signature'],
    ['another log', '0a20c0d2', '0a20c0d3', 'by none of the logs'],
    ['no promise', '2a480a46', '2a481246', 'no promise'],
    ['a field of a kind that is not known', '208cb6e6a106', '238cb6e6a106', 'damaged'],
  ])('is not with %s', (_name, from, to, reason) => {
    expect(check(changed(from, to), signers)).toMatchObject({
      status: 'unverified',
      reason: expect.stringContaining(reason),
    });
  });

  it('takes keys of logs only', () => {
    expect(() => readLogKeys(Buffer.from('nothing'), '.countersign/logs/a.pub')).toThrow('no public key');
    expect(() => readLogKeys(readFileSync(folder.path('ann.pem')), '.countersign/logs/a.pub')).toThrow('no public key');
  });
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
