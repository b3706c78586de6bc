import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRepository, person, temporaryFolder, type ScratchRepository } from '../../test/support/git-fixture.js';
import { Keyring } from '../../test/support/keyring.js';
import { openRepository } from '../adapters/git/open.js';
import { readSigners } from './governed-signers.js';
import type { Repository } from './repository.js';
import { checkSignature, NO_SIGNERS } from './signers.js';

const folder = temporaryFolder();
// Later than everything that is made here.
const NOW = new Date(Date.now() + 3_600_000);

let keyring: Keyring;
let scratch: ScratchRepository;
let repository: Repository;
let ann: string;

beforeAll(async () => {
  keyring = await Keyring.create();
  ann = await keyring.key('Ann <ann@example.org>');
  scratch = await createRepository(folder.path('governed'));
  repository = await openRepository(scratch.path);
}, 60_000);
afterAll(async () => {
  await repository.close();
  await keyring.close();
});

async function governed(files: Record<string, string | Buffer>): Promise<string> {
  return scratch.commit({ author: await person('Bo', 'bo@example.org'), sign: false, message: 'govern', files });
}

describe('the signers of a repository', () => {
  it('are nobody where it names nobody', async () => {
    expect(await readSigners(repository, await governed({ 'a.yaml': 'a: 1\n' }))).toEqual(NO_SIGNERS);
  });

  it('are those of the commit asked for, OpenPGP keys, authorities and identities among them (invariant 2)', async () => {
    const before = await scratch.head();
    const root = folder.path('root');
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${root}.key`, '-out', `${root}.pem`];
    execFileSync('openssl', [...request, '-subj', '/CN=Root', '-addext', 'keyUsage=keyCertSign'], { stdio: 'ignore' });
    const commit = await governed({
      '.countersign/keys/ann.asc': await keyring.export(ann),
      '.countersign/keys/README.md': 'no key',
      '.countersign/x509/root.pem': readFileSync(`${root}.pem`),
      '.countersign/identities.yaml': `apiVersion: countersign.dev/v1\npeople: [{person: ann, principals: [ann@example.org]}]\n`,
    });
    const signed = await repository.commit(await keyring.commit(scratch, ann));
    const signers = await readSigners(repository, commit);
    expect(signers.x509).toHaveLength(1);
    expect(checkSignature(signed, signers, NOW)).toMatchObject({ status: 'verified', person: 'ann', key: ann });
    expect(checkSignature(signed, await readSigners(repository, before), NOW).status).toBe('unknown_key');
  });

  it('name a forge’s key as the forge’s, even where somebody lists it as a person’s', async () => {
    const commit = await governed({ '.countersign/forge-keys/forge.asc': await keyring.export(ann) });
    const signed = await repository.commit(await keyring.commit(scratch, ann));
    expect(checkSignature(signed, await readSigners(repository, commit), NOW)).toMatchObject({ forge: true });
  });

  it.each<[string, string, Record<string, unknown>]>([
    ['.countersign/keys/bad.asc', 'no key', { code: 'signers-malformed' }],
    ['.countersign/x509/bad.pem', 'no certificate', { code: 'signers-malformed' }],
    ['.countersign/identities.yaml', 'apiVersion: countersign.dev/v1\npeople: 7\n', { code: 'config-invalid' }],
    ['.countersign/allowed_signers/folder', '', { code: 'signers-malformed' }],
  ])('are refused with the file where %s cannot be read', async (file, content, error) => {
    const commit = await governed({ [file]: content });
    const place = expect.objectContaining({ file: file.replace(/\/folder$/, '') });
    await expect(readSigners(repository, commit)).rejects.toMatchObject({ ...error, place });
    await scratch.commit({
      author: await person('Bo', 'bo@example.org'),
      sign: false,
      message: 'undo',
      delete: [file],
    });
  });
});
