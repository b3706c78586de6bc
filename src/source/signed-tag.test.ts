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
import { Keyring } from '../../test/support/keyring.js';
import { openRepository } from '../adapters/git/open.js';
import { readOpenPgpKeys } from './openpgp-key.js';
import { checkNamedTag, checkSignature, checkTag, parseSigners, type Signers } from './signers.js';

const folder = temporaryFolder();
// Later than everything that is made here.
const NOW = new Date(Date.now() + 3_600_000);

let keyring: Keyring;
let key: string;
let ann: Person;
let scratch: ScratchRepository;
let signers: Signers;

beforeAll(async () => {
  [keyring, ann] = [await Keyring.create(), await person('Ann', 'ann@example.org')];
  key = await keyring.key('Bo <bo@example.org>');
  scratch = await createRepository(folder.path('tagged'));
  writeFileSync(folder.path('allowed'), allowedSigners([ann]));
  signers = {
    ...parseSigners({ text: allowedSigners([ann]), file: 'signers' }),
    openpgp: await readOpenPgpKeys(await keyring.export(key), 'bo.asc', false),
  };
  await scratch.commit({ author: ann, message: 'first' });
}, 60_000);
afterAll(() => keyring.close());

/** The tag object's exact bytes. */
function tag(name: string): Buffer {
  return execFileSync('git', ['-c', 'safe.directory=*', 'cat-file', 'tag', name], { cwd: scratch.path });
}

async function sshTag(name: string, message: string): Promise<void> {
  await scratch.git('-c', 'gpg.format=ssh', '-c', `user.signingKey=${ann.keyFile}`, 'tag', '-s', '-m', message, name);
}

async function gitAccepts(name: string): Promise<boolean> {
  const allowed = `gpg.ssh.allowedSignersFile=${folder.path('allowed')}`;
  return keyring.git(scratch, ['-c', allowed, 'verify-tag', name]).then(
    () => true,
    () => false,
  );
}

describe('a signed tag', () => {
  it('is verified with an SSH key, as git says too', async () => {
    await sshTag('ssh', 'release');
    expect(checkTag(tag('ssh'), signers, NOW)).toMatchObject({ status: 'verified', principal: ann.email });
    expect(await gitAccepts('ssh')).toBe(true);
  });

  it('is verified with an OpenPGP key, as git says too', async () => {
    await keyring.git(scratch, ['-c', `user.signingKey=${key}`, 'tag', '-s', '-m', 'release', 'pgp']);
    expect(checkTag(tag('pgp'), signers, NOW)).toMatchObject({ status: 'verified', principal: 'bo@example.org' });
    expect(await gitAccepts('pgp')).toBe(true);
  });

  it('whose message quotes the start of a signature is verified all the same', async () => {
    await sshTag('quoting', 'see\n-----BEGIN PGP SIGNATURE-----\nno\n');
    expect(checkTag(tag('quoting'), signers, NOW).status).toBe('verified');
    expect(await gitAccepts('quoting')).toBe(true);
  });

  it('is not verified after its object, name or message was changed, and one without a signature is none', async () => {
    await sshTag('changed', 'release');
    await scratch.git('tag', '-a', '-m', 'plain', 'plain');
    const text = tag('changed').toString('latin1');
    for (const other of [text.replace('tag changed', 'tag another'), text.replace('release', 'relapse')])
      expect(checkTag(Buffer.from(other, 'latin1'), signers, NOW).reason).toBe('the signature is not of this tag');
    expect(checkTag(tag('plain'), signers, NOW)).toMatchObject({ kind: 'none', status: 'none' });
    expect(await gitAccepts('plain')).toBe(false);
  });
});

describe('a tag in a repository', () => {
  it('is checked under the name it has there: one that was signed under another says nothing', async () => {
    await sshTag('v1', 'release');
    await scratch.git('update-ref', 'refs/tags/v2', 'refs/tags/v1');
    const repository = await openRepository(scratch.path);
    const tags = await repository.tags();
    await repository.close();
    const checked = new Map(tags.map((one) => [one.ref, checkNamedTag(one, signers, NOW)]));
    expect(checked.get('refs/tags/v1')).toMatchObject({
      tag: 'v1',
      object: await scratch.head(),
      signature: { status: 'verified', principal: ann.email },
    });
    expect(checked.get('refs/tags/v2')).toMatchObject({
      tag: 'v2',
      signature: { status: 'unverified', reason: 'it was signed as the tag "v1"' },
    });
  });
});

describe('a merge of signed tags', () => {
  it('says whose each tag is, apart from whose the merge is', async () => {
    const base = await scratch.head();
    await scratch.checkout('side', base);
    const side = await scratch.commit({ author: ann, message: 'side', files: { 'side.txt': 'x' } });
    await sshTag('merged', 'merge this');
    await scratch.checkout('main');
    await scratch.commit({ author: ann, message: 'main', files: { 'main.txt': 'x' } });
    const id = await scratch.merge('merged', { author: ann, sign: false, message: 'merge' });
    const repository = await openRepository(scratch.path);
    const commit = await repository.commit(id);
    await repository.close();
    const signature = checkSignature(commit, signers, NOW);
    expect(signature).toMatchObject({
      status: 'none',
      mergetags: [{ tag: 'merged', object: side, signature: { status: 'verified', principal: ann.email } }],
    });
    const forged = {
      ...commit,
      raw: Buffer.from(commit.raw.toString('latin1').replace(' merge this', ' merge that'), 'latin1'),
    };
    expect(checkSignature(forged, signers, NOW).mergetags?.[0].signature.status).toBe('unverified');
  });
});
