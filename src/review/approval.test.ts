import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createRepository, person, temporaryFolder } from '../../test/support/git-fixture.js';
import { Keyring } from '../../test/support/keyring.js';
import { openRepository } from '../adapters/git/open.js';
import { GOVERNANCE, type Environment } from '../change/environment.js';
import { noSettings } from '../change/environments.js';
import { ManifestCache } from '../change/manifest-cache.js';
import { render } from '../change/render.js';
import { renderedDigest } from '../cluster/rendered.js';
import { Redactor } from '../cluster/secret.js';
import { parseIdentities } from '../source/identities.js';
import { readOpenPgpKeys } from '../source/openpgp-key.js';
import type { Repository } from '../source/repository.js';
import { NO_SIGNERS, parseSigners, type Signers } from '../source/signers.js';
import {
  approvalText,
  type ApprovedBytes,
  checkAccount,
  checkApprover,
  otherBytes,
  ownWork,
  parseApproval,
  vouchedText,
} from './approval.js';
import { whyNotCarried } from './carrying.js';

const folder = temporaryFolder();
const bytes: ApprovedBytes = {
  repository: 'shop',
  ref: 'refs/heads/main',
  environment: 'shop/production',
  base: 'a'.repeat(40),
  head: 'b'.repeat(40),
  tree: 'c'.repeat(40),
  renderedDigest: 'd'.repeat(64),
  target: 'prod',
};
const statement = { ...bytes, time: '2026-11-21T08:00:00.000Z' };
const signers: Signers = {
  ...NO_SIGNERS,
  identities: parseIdentities(`apiVersion: countersign.dev/v1
people:
  - {person: ann, principals: [ann@example.org, ann@home.example.org], logins: [ann], accounts: {github: [ann-codes]}}
  - {person: bo, principals: [bo@example.org], logins: [bo], accounts: {github: [bo-codes], gitlab: [ann-codes]}}
`),
};

describe('a statement', () => {
  it('is read from the bytes that it was written as, and from no others', () => {
    const text = approvalText({ ...statement, comment: 'fine' });
    expect(parseApproval(text)).toMatchObject({ ...statement, comment: 'fine' });
    expect(otherBytes(parseApproval(text), bytes)).toBeNull();
    for (const wrong of [
      `${text} `,
      text.replace('"kind":"Approval"', '"kind":"Exception"'),
      text.replace('"comment":"fine"', '"comment":7'),
      text.replace('"comment":"fine"', '"note":"fine"'),
      text.replace('"repository":"shop",', ''),
      text.replace('{', '{"repository":"other",'),
      vouchedText(statement, { login: 'bo' }),
      'no JSON',
      '7',
    ]) {
      expect(() => parseApproval(wrong)).toThrow(expect.objectContaining({ code: 'approval-invalid' }));
    }
  });

  it.each(Object.keys(bytes) as (keyof ApprovedBytes)[])('says so when it names another %s', (field) => {
    expect(otherBytes({ ...bytes, [field]: 'other' }, bytes)).toContain(`it names ${field} other`);
  });

  it('of an earlier release names no target, and is for any; whoever names none names one', () => {
    const { target: _target, ...old } = statement;
    expect(parseApproval(approvalText(old))).toEqual({ apiVersion: 'countersign.dev/v1', kind: 'Approval', ...old });
    expect(otherBytes(old, bytes)).toBeNull();
    expect(otherBytes({ ...old, target: null }, bytes)).toBe('it names target nothing, the change has prod');
    expect(() => parseApproval(approvalText(statement).replace('"target":"prod"', '"target":7'))).toThrow(
      expect.objectContaining({ code: 'approval-invalid' }),
    );
  });

  it('under an OpenPGP key counts as one under an SSH key does', async () => {
    const keyring = await Keyring.create();
    try {
      const bo = await keyring.key('Bo <bo@example.org>');
      const openpgp = await readOpenPgpKeys(await keyring.export(bo), 'k.asc', false);
      const text = approvalText(statement);
      const signature = (await keyring.gpg(['-u', bo, '--armor', '--detach-sign'], '', text)).toString();
      const later = new Date(Date.now() + 3_600_000);
      expect(checkApprover(text, signature, { ...signers, openpgp }, later)).toMatchObject({
        person: 'bo',
        reason: null,
      });
      expect(checkApprover(`${text} `, signature, { ...signers, openpgp }, later).reason).toContain(
        'not of this statement',
      );
      expect(checkApprover(text, signature, signers, later).reason).toContain('none of');
    } finally {
      await keyring.close();
    }
  }, 60_000);
});

const map = (people: string): string => `apiVersion: countersign.dev/v1\npeople:\n${people}`;

describe('a key that two people may hold', () => {
  it('approves for neither: by the signers’ file and the identity map, or by the map alone', async () => {
    const shared = await person('Shared', 'bo@example.org');
    const text = approvalText(statement);
    const file = folder.path('shared.json');
    await writeFile(file, text);
    execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'countersign-approval', '-f', shared.keyFile, file]);
    const signature = await readFile(`${file}.sig`, 'utf8');
    const line = `bo@example.org namespaces="countersign-approval" ${shared.publicKey}\n`;
    const check = (map: string) => {
      const { allowed } = parseSigners({ text: line, file: 'allowed_signers' });
      return checkApprover(text, signature, { ...signers, allowed, identities: parseIdentities(map) }, new Date());
    };
    const bo = '  - {person: bo, principals: [bo@example.org]}\n';
    expect(check(map(bo))).toMatchObject({ person: 'bo', reason: null });
    const { key } = check(map(bo)).signature;
    const theirs = `  - {person: cy, keys: ["${key}"]}\n`;
    expect(check(map(bo + theirs))).toMatchObject({
      reason: 'the identity map makes nobody, or more than one, of bo@example.org with this key',
    });
    expect(check(map(bo + theirs))).not.toHaveProperty('person');
  });
});

describe('an account or a login', () => {
  it.each([
    [{ forge: 'github', name: 'BO-codes' }, 'bo'],
    [{ forge: 'gitlab', name: 'ann-codes' }, 'bo'],
    [{ login: 'bo' }, 'bo'],
    [{ login: 'Bo' }, undefined],
    [{ forge: 'gitea', name: 'bo-codes' }, undefined],
    [{ forge: 'github', name: 'stranger' }, undefined],
  ])('is somebody’s only as the identity map says: %j', (account, whose) => {
    const { person: found, reason } = checkAccount(account, signers);
    expect(found).toBe(whose);
    expect(reason?.includes('to nobody')).toBe(whose === undefined ? true : undefined);
  });

  it('is nobody’s where there is no identity map', () => {
    expect(checkAccount({ login: 'bo' }, NO_SIGNERS).reason).toContain('to nobody');
  });
});

describe('nobody’s own work', () => {
  it('is approved under another name, by whatever way (invariant 5)', async () => {
    const ann = await person('Ann', 'ann@home.example.org');
    const scratch = await createRepository(folder.path('own'));
    const repository = await openRepository(scratch.path);
    try {
      const commit = await repository.commit(await scratch.commit({ author: ann, sign: false, message: 'x' }));
      const commits = [{ commit, signature: { kind: 'none', status: 'none' } as const }];
      const by = (account: Parameters<typeof checkAccount>[0]) =>
        ownWork(checkAccount(account, signers).signature, commits, signers);
      expect(by({ login: 'ann' })).toContain('wrote commit');
      expect(by({ forge: 'github', name: 'ann-codes' })).toContain('wrote commit');
      expect(by({ login: 'bo' })).toBeNull();
      expect(ownWork({ principal: 'ANN@example.org' }, commits, signers)).toContain('wrote commit');
    } finally {
      await repository.close();
    }
  });
});

const config = (value: number) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: "1"\n  b: "1"\n  c: "1"\n  d: "${value}"\n`;

describe('an approval is carried over a merge', () => {
  const environment: Environment = {
    name: 'shop/production',
    path: 'production',
    ref: 'refs/heads/main',
    target: null,
    namespace: 'shop',
    labels: {},
    ignore: [],
  };
  const redactor = new Redactor(Buffer.alloc(32, 7), 'test');
  const cache = new ManifestCache();
  let repository: Repository;

  const bytesAt = async (base: string, head: string, of = environment): Promise<ApprovedBytes> => {
    const { objects } = await render(repository, of, head, cache);
    const { tree } = await repository.commit(head);
    const digest = renderedDigest(objects, redactor);
    return { repository: 'shop', ref: of.ref, environment: of.name, base, head, tree, renderedDigest: digest };
  };
  const why = async (from: ApprovedBytes, to: ApprovedBytes, of = environment): Promise<string | null> =>
    whyNotCarried(from, to, { repository, environment: of, settings: noSettings, cache, redactor });

  it('that the service computes itself, with the same objects before and after, and over no other', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const scratch = await createRepository(folder.path('carried'));
    const commit = (files: Record<string, string>) => scratch.commit({ author: ann, sign: false, message: 'x', files });
    repository = await openRepository(scratch.path, { adapter: 'native' });
    try {
      const fork = await commit({ 'production/c.yaml': config(1), 'staging/c.yaml': config(1) });
      await scratch.checkout('work', 'main');
      const head = await commit({ 'production/c.yaml': config(2), '.countersign/owners': '* ann@example.org\n' });
      const approved = await bytesAt(fork, head);
      const merging = async (files: Record<string, string>): Promise<[string, string]> => {
        await scratch.checkout('target', fork);
        const base = await commit(files);
        return [base, await scratch.merge('work', { author: ann, sign: false, message: 'merge' })];
      };

      const [elsewhere, clean] = await merging({ 'staging/c.yaml': config(5) });
      expect(await why(approved, await bytesAt(elsewhere, clean))).toBeNull();
      const squash = async (files: Record<string, string>): Promise<string> => {
        await scratch.checkout('squashed', elsewhere);
        return commit({ 'production/c.yaml': config(2), '.countersign/owners': '* ann@example.org\n', ...files });
      };
      expect(await why(approved, await bytesAt(elsewhere, await squash({})))).toBeNull();
      const added = await squash({ 'notes.txt': 'by hand' });
      expect(await why(approved, await bytesAt(elsewhere, added))).toContain('other files than merging');
      const [other, both] = await merging({ 'production/more.yaml': config(1).replace('name: c', 'name: d') });
      expect(await why(approved, await bytesAt(other, both))).toContain('holds other objects');
      // The same objects in the end, of which the target had some before: not what the approver was shown.
      await scratch.checkout('half', fork);
      const half = await commit({ 'production/c.yaml': config(2) });
      const rest = await scratch.merge('work', { author: ann, sign: false, message: 'merge' });
      expect(await why(approved, await bytesAt(half, rest))).toContain('was another at');
      await scratch.checkout('conflict', fork);
      const conflict = await commit({ 'production/c.yaml': config(3) });
      expect(await why(approved, { ...(await bytesAt(conflict, head)), base: conflict })).toContain('cannot merge');
      expect(await why({ ...approved, base: null }, await bytesAt(elsewhere, clean))).toContain('nothing before it');
      expect(await why({ ...approved, head: 'e'.repeat(40) }, await bytesAt(elsewhere, clean))).toContain(
        'cannot be read',
      );

      // Governance renders to nothing: what it is made of are files.
      const governance: Environment = { ...environment, name: GOVERNANCE, path: '', ignore: ['**'] };
      const rules = await bytesAt(fork, head, governance);
      expect(await why(rules, await bytesAt(elsewhere, clean, governance), governance)).toBeNull();
      const [governed, merged] = await merging({ '.countersign/groups.yaml': 'x' });
      expect(await why(rules, await bytesAt(governed, merged, governance), governance)).toContain('was another at');
    } finally {
      await repository.close();
    }
  });
});
