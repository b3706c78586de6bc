import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import {
  allowedSigners,
  createRepository,
  person,
  temporaryFolder,
  type Person,
  type ScratchRepository,
} from '../../test/support/git-fixture.js';
import { Keyring } from '../../test/support/keyring.js';
import { openRepository } from '../adapters/git/open.js';
import { readOpenPgpKeys } from './openpgp-key.js';
import type { Repository } from './repository.js';
import type { SignatureStatus } from './signature.js';
import { checkNamedTag, checkSignature, parseSigners, type Signers } from './signers.js';

// The scenarios of git's own tests of signatures (t7510, t7528 on commits, t7030, t7031 on tags), built with git, gpg and
// ssh-keygen and judged by git and by us. Where the two differ the difference stands in docs/signatures.md.
const folder = temporaryFolder();
// Later than everything that is made here.
const NOW = new Date(Date.now() + 3_600_000);
const IN_THE_BOX = '2005-04-08T00:00:00Z';

interface Verdicts {
  /** `%G?`; for a tag whether verify-tag accepts it. */
  readonly git: string;
  readonly accepted: boolean;
  readonly ours: SignatureStatus;
}

let keyring: Keyring;
let scratch: ScratchRepository;
let repository: Repository;
let signers: Signers;
let people: Record<'ann' | 'timeboxed' | 'expired' | 'early' | 'since' | 'stranger', Person>;
let keys: { good: string; other: string; expired: string; stranger: string; revoked: string };
const commits = new Map<string, string>();
const found = new Map<string, Verdicts>();

beforeAll(async () => {
  [keyring, scratch] = [await Keyring.create(), await createRepository(folder.path('signed'))];
  await makeKeys();
  await makeOpenPgpCommits();
  await makeSshCommits();
  await makeTags();
  // As git's test does: the key is gone when signatures are checked.
  await keyring.gpg(['--yes', '--delete-secret-and-public-key', keys.stranger]);
  await keyring.revoke(keys.revoked);
  repository = await openRepository(scratch.path);
  const listed = await Promise.all(
    [keys.good, keys.other, keys.expired, keys.revoked].map((key) => keyring.export(key)),
  );
  const openpgp = (await Promise.all(listed.map((key) => readOpenPgpKeys(key, 'k.asc', false)))).flat();
  signers = { ...parseSigners({ text: readFileSync(folder.path('allowed'), 'utf8'), file: 'allowed' }), openpgp };
  await judge();
}, 120_000);
afterAll(async () => {
  await repository.close();
  await keyring.close();
});

async function makeKeys(): Promise<void> {
  const names = ['ann', 'timeboxed', 'expired', 'early', 'since', 'stranger'] as const;
  const made = await Promise.all(names.map((name) => person(name, `${name}@example.org`)));
  people = Object.fromEntries(names.map((name, i) => [name, made[i]])) as typeof people;
  writeFileSync(
    folder.path('allowed'),
    allowedSigners([
      people.ann,
      { person: people.timeboxed, options: 'valid-after="20050407000000Z",valid-before="20050410000000Z"' },
      { person: people.expired, options: 'valid-before="20000101000000Z"' },
      { person: people.early, options: 'valid-after="29990101000000Z"' },
      { person: people.since, options: 'valid-after="20200101000000Z"' },
    ]),
  );
  keys = {
    good: await keyring.key('C O Mitter <committer@example.com>'),
    other: await keyring.key('Eris Discordia <discord@example.net>'),
    expired: await keyring.key('Expired <expired@example.com>', {
      created: '20200101T000000',
      expires: '20200201T000000',
    }),
    stranger: await keyring.key('Stranger <stranger@example.com>'),
    revoked: await keyring.key('Revoked <revoked@example.com>'),
  };
}

async function makeOpenPgpCommits(): Promise<void> {
  const signed = async (name: string, key: string, at = ''): Promise<string> => {
    const id = await keyring.commit(scratch, key, at);
    commits.set(name, id);
    return id;
  };
  await signed('openpgp: signed', keys.good);
  await scratch.git('commit', '--allow-empty', '-q', '-m', 'unsigned');
  commits.set('openpgp: unsigned', await scratch.head());
  await keyring.git(scratch, [
    '-c',
    `user.signingKey=${keys.good}`,
    'commit',
    '--amend',
    '--allow-empty',
    '-S',
    '-q',
    '-m',
    'amended',
  ]);
  commits.set('openpgp: an unsigned one amended and signed', await scratch.head());
  await scratch.git('checkout', '-q', '-b', 'side', 'HEAD~1');
  const side = await signed('openpgp: on a side branch', keys.good);
  await scratch.git('checkout', '-q', 'main');
  await keyring.git(scratch, [
    '-c',
    `user.signingKey=${keys.good}`,
    'merge',
    '-q',
    '--no-ff',
    '-S',
    '-m',
    'merge',
    side,
  ]);
  commits.set('openpgp: a signed merge', await scratch.head());
  await scratch.git('checkout', '-q', '-b', 'other', 'HEAD~1');
  await scratch.git('merge', '-q', '--no-ff', '-m', 'unsigned merge', side);
  commits.set('openpgp: an unsigned merge of signed parents', await scratch.head());
  await scratch.git('checkout', '-q', 'main');
  const good = await signed('openpgp: by another key', keys.other);
  await signed('openpgp: by a key that has expired since', keys.expired, '20200115T000000');
  await signed('openpgp: by a key that is not known', keys.stranger);
  await signed('openpgp: by a key that was revoked since', keys.revoked);
  rewritten('openpgp: with its message changed', good, (raw) => raw.replace('change', 'forged'));
  rewritten('openpgp: with a NUL and more at its end', good, (raw) => `${raw}\0Qwik`);
  const [signature] = /gpgsig [^]*?-----END PGP SIGNATURE-----\n/.exec(rawOf(good))!;
  rewritten('openpgp: signed twice', good, (raw) => raw.replace(signature, signature + signature));
  rewritten('openpgp: a valid signature of another commit', commits.get('openpgp: unsigned')!, (raw) =>
    raw.replace(/(committer .*\n)/, (line) => line + signature),
  );
}

async function sshCommit(name: string, author: Person, date?: string): Promise<string> {
  const id = await scratch.commit({ author, message: name, ...(date && { date }) });
  commits.set(`ssh: ${name}`, id);
  return id;
}

async function makeSshCommits(): Promise<void> {
  const good = await sshCommit('signed', people.ann);
  await sshCommit('by a key that nobody lists', people.stranger);
  await sshCommit('by a key past its valid-before', people.expired);
  await sshCommit('by a key before its valid-after', people.early);
  await sshCommit('dated within the key’s time, seen after it', people.timeboxed, IN_THE_BOX);
  await sshCommit('dated after the key’s time', people.timeboxed);
  await sshCommit('dated before the key’s time, seen within it', people.since, IN_THE_BOX);
  await sshCommit('dated and seen within the key’s time', people.since);
  rewritten('ssh: with its message changed', good, (raw) => raw.replace('\n\nsigned', '\n\nforged'));
  rewritten('ssh: with a NUL and more at its end', good, (raw) => `${raw}\0Qwik`);
}

async function makeTags(): Promise<void> {
  const openpgp = (key: string, name: string, message = 'release'): Promise<string> =>
    keyring.git(scratch, ['-c', `user.signingKey=${key}`, 'tag', '-s', '-m', message, name]);
  const ssh = (
    { keyFile }: Person,
    name: string,
    date = new Date().toISOString(),
    message = 'release',
  ): Promise<string> =>
    scratch.run(['-c', 'gpg.format=ssh', '-c', `user.signingKey=${keyFile}`, 'tag', '-s', '-m', message, name], {
      GIT_COMMITTER_DATE: date,
    });
  await scratch.git('tag', '-a', '-m', 'plain', 'unsigned');
  await openpgp(keys.good, 'openpgp-signed');
  await openpgp(keys.good, 'openpgp-signed-empty', '');
  await openpgp(keys.other, 'openpgp-by-another-key');
  await openpgp(keys.stranger, 'openpgp-by-an-unknown-key');
  await ssh(people.ann, 'ssh-signed');
  await ssh(people.ann, 'ssh-signed-empty', undefined, '');
  await ssh(people.stranger, 'ssh-by-an-unknown-key');
  await ssh(people.expired, 'ssh-by-an-expired-key');
  await ssh(people.early, 'ssh-by-a-key-not-valid-yet');
  await ssh(people.timeboxed, 'ssh-dated-within-seen-after', IN_THE_BOX);
  await ssh(people.timeboxed, 'ssh-dated-after');
  await ssh(people.since, 'ssh-dated-before-seen-within', IN_THE_BOX);
  for (const name of ['openpgp-signed', 'ssh-signed']) {
    const raw = rawOf(name, 'tag').replace('release', 'forged1');
    await scratch.git(
      'update-ref',
      `refs/tags/${name}-changed`,
      store(raw.replace(`tag ${name}`, `tag ${name}-changed`), 'tag'),
    );
  }
}

function rawOf(id: string, type = 'commit'): string {
  return execFileSync('git', ['cat-file', type, id], { cwd: scratch.path }).toString('latin1');
}

function store(raw: string, type: string): string {
  const input = Buffer.from(raw, 'latin1');
  const args = ['hash-object', '-w', '--literally', '-t', type, '--stdin'];
  return execFileSync('git', args, { cwd: scratch.path, input }).toString().trim();
}

function rewritten(name: string, id: string, change: (raw: string) => string): void {
  commits.set(name, store(change(rawOf(id)), 'commit'));
}

function asGit(...args: string[]): Promise<string> {
  return keyring.git(scratch, ['-c', `gpg.ssh.allowedSignersFile=${folder.path('allowed')}`, ...args]);
}

function accepts(command: string, name: string): Promise<boolean> {
  return asGit(command, name).then(
    () => true,
    () => false,
  );
}

async function judge(): Promise<void> {
  const letters = (await asGit('log', '--no-walk=unsorted', '--format=%G?', ...commits.values())).split('\n');
  for (const [i, [name, id]] of [...commits].entries()) {
    const ours = checkSignature(await repository.commit(id), signers, NOW).status;
    found.set(name, { git: letters[i], accepted: await accepts('verify-commit', id), ours });
  }
  for (const tag of await repository.tags()) {
    const name = tag.ref.replace('refs/tags/', '');
    const accepted = await accepts('verify-tag', name);
    found.set(`tag ${name}`, { git: '', accepted, ours: checkNamedTag(tag, signers, NOW).signature.status });
  }
}

/** What git's verdict is with us, where both mean the same. */
const SAME: Readonly<Record<string, SignatureStatus>> = {
  G: 'verified',
  U: 'verified',
  B: 'unverified',
  E: 'unknown_key',
  N: 'none',
};

/** By scenario: git's letter, our status, and the row of the table in docs/signatures.md that says why. */
const DIFFERENT: Readonly<Record<string, readonly [git: string, ours: SignatureStatus, row: string]>> = {
  'openpgp: by a key that has expired since': [
    'Y',
    'expired',
    'commit made while its OpenPGP key was valid, first seen after the key expired',
  ],
  'openpgp: by a key that was revoked since': ['R', 'revoked', 'OpenPGP key revoked after the commit was made'],
  'ssh: by a key that nobody lists': ['U', 'unknown_key', 'SSH key that nobody lists'],
  'ssh: by a key past its valid-before': ['U', 'expired', 'SSH key that nobody lists'],
  'ssh: by a key before its valid-after': ['U', 'unverified', 'SSH key that nobody lists'],
  'ssh: dated within the key’s time, seen after it': [
    'G',
    'expired',
    'backdated commit or tag by an SSH key past `valid-before`',
  ],
  'ssh: dated after the key’s time': ['U', 'expired', 'SSH key that nobody lists'],
  'ssh: dated before the key’s time, seen within it': [
    'U',
    'verified',
    'dated before its SSH key’s `valid-after`, first seen within it',
  ],
  'openpgp: signed twice': ['E', 'unverified', 'more than one `gpgsig` header, or two signatures in one'],
};
const DIFFERENT_TAGS: Readonly<Record<string, readonly [accepted: boolean, ours: SignatureStatus, row: string]>> = {
  'tag ssh-dated-within-seen-after': [true, 'expired', 'backdated commit or tag by an SSH key past `valid-before`'],
  'tag ssh-dated-before-seen-within': [
    false,
    'verified',
    'dated before its SSH key’s `valid-after`, first seen within it',
  ],
};

describe('the verdicts of git’s own tests of signatures', () => {
  it('are ours on every commit, but for those that the documentation lists', () => {
    const ours = [...commits.keys()].map((name) => [name, found.get(name)!.git, found.get(name)!.ours]);
    const wanted = [...commits.keys()].map((name) => {
      const { git } = found.get(name)!;
      return [name, ...(DIFFERENT[name]?.slice(0, 2) ?? [git, SAME[git]])];
    });
    expect(ours).toEqual(wanted);
  });

  it('are ours on every tag, but for those that the documentation lists', () => {
    const tags = [...found].filter(([name]) => name.startsWith('tag '));
    expect(tags.length).toBe(15);
    const ours = tags.map(([name, { accepted, ours: status }]) => [name, accepted, status === 'verified']);
    const wanted = tags.map(([name, { accepted }]) => {
      const [git, status] = DIFFERENT_TAGS[name] ?? [accepted, accepted ? 'verified' : 'unverified'];
      return [name, git, status === 'verified'];
    });
    expect(ours).toEqual(wanted);
  });

  it('accept what git accepts and nothing that it refuses, but for those', () => {
    const listed = { ...DIFFERENT, ...DIFFERENT_TAGS };
    const others = [...found].filter(([name]) => !(name in listed));
    expect(others.filter(([, { accepted, ours }]) => accepted !== (ours === 'verified'))).toEqual([]);
    expect(others.filter(([, { accepted }]) => accepted).length).toBeGreaterThan(8);
  });

  it('differ by nothing that the documentation does not say', () => {
    const page = readFileSync(new URL('../../docs/signatures.md', import.meta.url), 'utf8');
    for (const [, , row] of [...Object.values(DIFFERENT), ...Object.values(DIFFERENT_TAGS)])
      expect(page).toContain(`| ${row} |`);
  });
});
