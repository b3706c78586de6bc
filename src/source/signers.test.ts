import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import {
  allowedSigners,
  createRepository,
  person,
  temporaryFolder,
  type Person,
  type ScratchRepository,
} from '../../test/support/git-fixture.js';
import { openRepository } from '../adapters/git/open.js';
import { parseCommit } from './commit.js';
import type { Commit, Repository } from './repository.js';
import { checkSignature, namesOfKey, NO_SIGNERS, parseSigners, VerifiedSigner, type Signers } from './signers.js';

const folder = temporaryFolder();
const NOW = new Date();

let scratch: ScratchRepository;
let repository: Repository;
let ann: Person;
let bo: Person;
let eve: Person;

beforeAll(async () => {
  [ann, bo, eve] = await Promise.all([
    person('Ann', 'ann@example.org'),
    person('Bo', 'bo@example.org', 'ecdsa'),
    person('Eve', 'eve@example.org', 'rsa'),
  ]);
  scratch = await createRepository(folder.path('signed'));
  repository = await openRepository(scratch.path);
});
afterAll(() => repository.close());

function signersOf(text: string, revoked?: string): Signers {
  return parseSigners(
    { text, file: 'signers' },
    revoked === undefined ? undefined : { text: revoked, file: 'revoked' },
  );
}

async function signedBy(who: Person | false, message = 'change', date?: string): Promise<Commit> {
  const id = await scratch.commit({
    author: ann,
    sign: who,
    message,
    files: { 'a.txt': `${Math.random()}` },
    ...(date ? { date } : {}),
  });
  return repository.commit(id);
}

/** The same commit with other bytes, as somebody who can write objects could store it. */
function altered(commit: Commit, change: (text: string) => string): Commit {
  return parseCommit(commit.id, Buffer.from(change(commit.raw.toString('latin1')), 'latin1'));
}

function armour(commit: Commit): string {
  return /gpgsig [^]*?-----END SSH SIGNATURE-----\n/.exec(commit.raw.toString('latin1'))![0];
}

/** What git itself says: G good, U good by somebody unknown, B bad, N none. */
async function gitVerdict(commit: Commit, allowed: string): Promise<string> {
  writeFileSync(folder.path('allowed'), allowed);
  return scratch.git(
    '-c',
    `gpg.ssh.allowedSignersFile=${folder.path('allowed')}`,
    'log',
    '-1',
    '--format=%G?',
    commit.id,
  );
}

describe('a commit signed with ssh-keygen', () => {
  it.each([['ed25519'], ['ecdsa'], ['rsa']] as const)('is verified with an %s key, as git says too', async (type) => {
    const signer = await person('Ann', `ann-${type}@example.org`, type);
    const commit = await signedBy(signer);
    const allowed = allowedSigners([signer]);
    const printed = execFileSync('ssh-keygen', ['-l', '-f', `${signer.keyFile}.pub`], { encoding: 'utf8' }).split(
      ' ',
    )[1];
    expect(checkSignature(commit, signersOf(allowed), NOW)).toEqual({
      kind: 'ssh',
      status: 'verified',
      principal: signer.email,
      key: printed,
    });
    expect(await gitVerdict(commit, allowed)).toBe('G');
  });

  it('is of an unknown key where nobody listed it', async () => {
    const commit = await signedBy(eve);
    expect(checkSignature(commit, signersOf(allowedSigners([ann, bo])), NOW)).toMatchObject({
      kind: 'ssh',
      status: 'unknown_key',
    });
    expect(checkSignature(commit, NO_SIGNERS, NOW).principal).toBeUndefined();
    expect(await gitVerdict(commit, allowedSigners([ann, bo]))).toBe('U');
  });

  it('names the signer, whatever the author line claims (invariant 6)', async () => {
    const commit = await signedBy(bo);
    expect(commit.author.email).toBe('ann@example.org');
    expect(checkSignature(commit, signersOf(allowedSigners([ann, bo])), NOW).principal).toBe('bo@example.org');
  });

  it('is not verified when the message, the tree or a parent was changed afterwards', async () => {
    const commit = await signedBy(ann, 'raise the limit');
    for (const change of [
      (text: string) => text.replace('raise', 'lower'),
      (text: string) => text.replace(commit.tree, '7'.repeat(40)),
      (text: string) => text.replace(commit.parents[0], '8'.repeat(40)),
    ]) {
      const signature = checkSignature(altered(commit, change), signersOf(allowedSigners([ann])), NOW);
      expect(signature).toMatchObject({ status: 'unverified', reason: 'the signature is not of this commit' });
    }
  });

  it('is not verified by a good signature taken from another commit', async () => {
    const [one, other] = [await signedBy(ann, 'one'), await signedBy(ann, 'other')];
    const swapped = altered(one, (text) => text.replace(armour(one), () => armour(other)));
    expect(checkSignature(swapped, signersOf(allowedSigners([ann])), NOW)).toMatchObject({ status: 'unverified' });
  });

  it('is not verified when a second signature is beside the first, which git would join', async () => {
    const commit = await signedBy(ann);
    const signature = armour(commit);
    const twice = altered(commit, (text) => text.replace(signature, () => signature + signature));
    expect(checkSignature(twice, signersOf(allowedSigners([ann])), NOW)).toMatchObject({
      status: 'unverified',
      reason: 'the commit has more than one signature',
    });
  });

  it.each([
    ['truncated in its body', (text: string) => text.replace(/\n [^\n]+\n -----END SSH/, '\n -----END SSH')],
    ['without its end line', (text: string) => text.replace(' -----END SSH SIGNATURE-----\n', '')],
    ['with letters that are no base64', (text: string) => text.replace(/\n U1NI/, '\n U1!I')],
    ['of another version', (text: string) => text.replace('U1NIU0lHAAAAA', 'U1NIU0lHAAAAB')],
  ])('is unverified, and never an exception, when it is %s', async (_name, damage) => {
    const commit = await signedBy(ann);
    const damaged = altered(commit, damage);
    expect(damaged.raw.equals(commit.raw)).toBe(false);
    expect(checkSignature(damaged, signersOf(allowedSigners([ann])), NOW)).toMatchObject({
      kind: 'ssh',
      status: 'unverified',
    });
  });

  it('when its signature is written in another way, is the same or is unverified: never somebody else’s', async () => {
    const commit = await signedBy(ann);
    const signers = signersOf(allowedSigners([ann]));
    const whole = checkSignature(commit, signers, NOW);
    const body = armour(commit).replaceAll(/gpgsig |-----[^-]+-----|\s/g, '');
    const written = (text: string): Commit =>
      altered(commit, (raw) =>
        raw.replace(
          /gpgsig [^]*?-----END SSH SIGNATURE-----\n/,
          () => `gpgsig -----BEGIN SSH SIGNATURE-----\n${text}\n -----END SSH SIGNATURE-----\n`,
        ),
      );
    const lines = (width: number): string => ` ${body.match(new RegExp(`.{1,${width}}`, 'g'))!.join('\n ')}`;
    expect(checkSignature(written(lines(70)), signers, NOW)).toEqual(whole);
    const blob = Buffer.from(body, 'base64');
    const others = [
      lines(20),
      lines(1000),
      lines(70).replaceAll('\n', '\r\n'),
      ` ${body.replaceAll('=', '')}`,
      ` ${blob.toString('base64url')}`,
      ` ${Buffer.concat([blob, Buffer.alloc(1)]).toString('base64')}`,
      ` ${body}=`,
    ];
    for (const again of others) {
      const verdict = checkSignature(written(again), signers, NOW);
      expect(verdict.status === 'verified' ? verdict : { status: verdict.status }).toEqual(
        verdict.status === 'verified' ? whole : { status: 'unverified' },
      );
    }
    expect(checkSignature(written(others[5]), signers, NOW).status).toBe('unverified');
  });

  it('of a key that stands under two names is the first’s, and says who else may be meant', async () => {
    const text = allowedSigners([ann]) + allowedSigners([{ ...ann, email: 'other@example.org' }]);
    const { principal, key } = checkSignature(await signedBy(ann), signersOf(text), NOW);
    expect(principal).toBe('ann@example.org');
    expect(namesOfKey(key!, signersOf(text))).toEqual(['ann@example.org', 'other@example.org']);
  });

  it('survives any single damaged byte of its signature without an exception', async () => {
    const commit = await signedBy(ann);
    const start = commit.raw.indexOf('gpgsig') + 40;
    for (let i = start; i < commit.raw.length; i += 7) {
      const raw = Buffer.from(commit.raw);
      raw[i] ^= 1;
      const { status } = checkSignature({ ...commit, raw }, signersOf(allowedSigners([ann])), NOW);
      const byte = JSON.stringify(commit.raw.toString('latin1', i - 8, i + 8));
      expect([byte, status]).not.toEqual([byte, 'verified']);
    }
  });

  it('does not count when it was made for something else than git', async () => {
    const commit = await signedBy(false);
    writeFileSync(folder.path('payload'), commit.raw);
    const armour = execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'file', '-f', ann.keyFile], {
      input: commit.raw,
      encoding: 'utf8',
    });
    const forged = altered(commit, (text) =>
      text.replace('\n\n', () => `\ngpgsig ${armour.trimEnd().replaceAll('\n', '\n ')}\n\n`),
    );
    expect(checkSignature(forged, signersOf(`ann@example.org ${ann.publicKey}\n`), NOW)).toMatchObject({
      status: 'unverified',
      reason: 'the signature is for "file", not for git',
    });
  });
});

describe('the time at which a key counts', () => {
  it('is when the log first saw the commit, so back-dating does not revive an expired key (invariant 6)', async () => {
    const commit = await signedBy(ann, 'back-dated', '2024-06-01T00:00:00Z');
    const allowed = allowedSigners([{ person: ann, options: 'valid-before="20250101Z"' }]);
    expect(await gitVerdict(commit, allowed)).toBe('G');
    const signature = checkSignature(commit, signersOf(allowed), NOW);
    expect(signature).toMatchObject({
      status: 'expired',
      reason: 'the key was valid only before 2025-01-01T00:00:00Z',
    });
    expect(VerifiedSigner.of(commit, signersOf(allowed), NOW)).toBeUndefined();
    expect(checkSignature(commit, signersOf(allowed), new Date('2024-06-01T00:00:00Z')).status).toBe('verified');
  });

  it('is not before its first day, and on another line of the same key it may be', async () => {
    const commit = await signedBy(ann);
    const early = { person: ann, options: 'valid-after="29990101Z"' };
    expect(checkSignature(commit, signersOf(allowedSigners([early])), NOW)).toMatchObject({ status: 'unverified' });
    expect(checkSignature(commit, signersOf(allowedSigners([early, ann])), NOW)).toMatchObject({ status: 'verified' });
  });

  it('ends with a revocation, whenever the commit was made', async () => {
    const commit = await signedBy(ann);
    for (const revoked of [`${ann.publicKey} lost\n`, `# lost\n${checkSignature(commit, NO_SIGNERS, NOW).key}\n`]) {
      expect(checkSignature(commit, signersOf(allowedSigners([ann]), revoked), new Date(0))).toMatchObject({
        status: 'revoked',
      });
    }
    expect(() => signersOf('', 'nonsense\n')).toThrow(
      expect.objectContaining({ code: 'signers-malformed', place: { file: 'revoked', line: 1 } }),
    );
  });
});

async function certified(
  name: string,
  principal: string,
  ...options: readonly string[]
): Promise<{ commit: Commit; authority: Person }> {
  const [authority, holder] = await Promise.all([
    person('CA', `ca-${name}@example.org`),
    person('Holder', `holder-${name}@example.org`),
  ]);
  execFileSync(
    'ssh-keygen',
    ['-q', '-s', authority.keyFile, '-I', name, '-n', principal, ...options, `${holder.keyFile}.pub`],
    { stdio: 'ignore' },
  );
  const commit = await signedBy({ ...holder, keyFile: `${holder.keyFile}-cert.pub` });
  return { commit, authority };
}
function listed(authority: Person, pattern = '*@example.org'): string {
  return `${pattern} cert-authority,namespaces="git" ${authority.publicKey}\n`;
}

describe('a certificate', () => {
  it('counts for the principal it names, if its authority may name it; git agrees', async () => {
    const { commit, authority } = await certified('good', 'cleo@example.org', '-V', '-1d:+1d');
    expect(checkSignature(commit, signersOf(listed(authority)), NOW)).toMatchObject({
      status: 'verified',
      principal: 'cleo@example.org',
    });
    expect(await gitVerdict(commit, listed(authority))).toBe('G');
    expect(checkSignature(commit, signersOf(listed(authority, '*@elsewhere.org')), NOW).status).toBe('unverified');
    expect(await gitVerdict(commit, listed(authority, '*@elsewhere.org'))).toBe('U');
  });

  it('does not count when its authority is listed as an ordinary key', async () => {
    const { commit, authority } = await certified('plain', 'cleo@example.org');
    expect(checkSignature(commit, signersOf(allowedSigners([authority])), NOW).status).toBe('unknown_key');
  });

  it('does not count once it has expired', async () => {
    const { commit, authority } = await certified('old', 'cleo@example.org', '-V', '20200101:20210101');
    expect(checkSignature(commit, signersOf(listed(authority)), NOW).status).toBe('expired');
  });

  it('does not count for hosts, nor with options that restrict it in ways not known', async () => {
    const host = await certified('host', 'cleo@example.org', '-h');
    expect(checkSignature(host.commit, signersOf(listed(host.authority)), NOW).status).toBe('unverified');
    const forced = await certified('forced', 'cleo@example.org', '-O', 'force-command=true');
    expect(checkSignature(forced.commit, signersOf(listed(forced.authority)), NOW).status).toBe('unverified');
  });
});

describe('other signatures', () => {
  it.each([
    ['openpgp', 'PGP SIGNATURE'],
    ['x509', 'SIGNED MESSAGE'],
    ['none', 'SOMETHING ELSE'],
  ])('of kind %s are recognised and unverified', async (kind, armour) => {
    const commit = altered(await signedBy(false), (text) =>
      text.replace('\n\n', `\ngpgsig -----BEGIN ${armour}-----\n \n abc\n -----END ${armour}-----\n\n`),
    );
    expect(checkSignature(commit, NO_SIGNERS, NOW)).toMatchObject({ kind, status: 'unverified' });
  });

  it('are none on an unsigned commit', async () => {
    const commit = await signedBy(false);
    expect(checkSignature(commit, NO_SIGNERS, NOW)).toEqual({
      kind: 'none',
      status: 'none',
      reason: 'the commit is not signed',
    });
    expect(await gitVerdict(commit, '')).toBe('N');
  });
});

describe('a merge of a signed tag', () => {
  it('is verified over everything git signs, the tag’s own signature included', async () => {
    const base = await scratch.head();
    await scratch.checkout('side', base);
    await scratch.commit({ author: bo, message: 'on the side', files: { 'b.txt': 'b' } });
    await scratch.git(
      '-c',
      'gpg.format=ssh',
      '-c',
      `user.signingKey=${bo.keyFile}`,
      'tag',
      '-s',
      '-m',
      'release',
      'v1',
      'side',
    );
    await scratch.checkout('main');
    const commit = await repository.commit(await scratch.merge('v1', { author: ann, message: 'merge v1' }));
    expect(commit.raw.includes('mergetag')).toBe(true);
    const signers = signersOf(allowedSigners([ann, bo]));
    expect(checkSignature(commit, signers, NOW)).toMatchObject({ status: 'verified', principal: 'ann@example.org' });
    expect(await gitVerdict(commit, allowedSigners([ann, bo]))).toBe('G');
    const evil = altered(commit, (text) => text.replace('tag v1', 'tag v2'));
    expect(checkSignature(evil, signers, NOW).status).toBe('unverified');
  });
});

describe('a SHA-256 repository', () => {
  it('keeps its signature in another header; git agrees', async () => {
    const other = await createRepository(folder.path('sha256'), { objectFormat: 'sha256' });
    const id = await other.commit({ author: ann, message: 'x', files: { a: 'b' } });
    const opened = await openRepository(other.path);
    const commit = await opened.commit(id);
    await opened.close();
    expect(commit.raw.includes('gpgsig-sha256 ')).toBe(true);
    expect(checkSignature(commit, signersOf(allowedSigners([ann])), NOW).status).toBe('verified');
  });
});

describe('a verified signer', () => {
  it('is made only by checking a signature', async () => {
    const commit = await signedBy(ann);
    const signer = VerifiedSigner.of(commit, signersOf(allowedSigners([ann])), NOW);
    expect(signer).toMatchObject({ commit: commit.id, principal: 'ann@example.org', at: NOW });
    expect(VerifiedSigner.of(await signedBy(eve), signersOf(allowedSigners([ann])), NOW)).toBeUndefined();
    // @ts-expect-error -- the constructor is private
    expect(() => new VerifiedSigner(commit.id, 'ann@example.org', 'SHA256:x', NOW)).not.toThrow();
  });
});
