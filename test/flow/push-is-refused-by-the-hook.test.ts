import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cacheFolder } from '../../src/adapters/folder/cache-folder.js';
import { quarantineOf } from '../../src/adapters/git/quarantine.js';
import { OwnClone } from '../../src/adapters/git/approvals-ref.js';
import { signWithSsh } from '../../src/adapters/keys/ssh-keygen.js';
import {
  APPROVAL_NAMESPACE,
  APPROVALS_REF,
  approvalId,
  approvalPath,
  approvalText,
} from '../../src/review/approval.js';
import { withdrawalPath, withdrawalText } from '../../src/review/withdrawal.js';
import { mayApprove } from '../support/approving.js';
import { runCli } from '../support/cli.js';
import {
  allowedSigners,
  createRepository,
  person,
  type Person,
  ScratchRepository,
  temporaryFolder,
} from '../support/git-fixture.js';
import { type GitServer, startGitServer } from '../support/git-server.js';

const folder = temporaryFolder();
const pinned = `nginx@sha256:${'0'.repeat(64)}`;
const deployment = (image: string, more = '') =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n  template:\n    spec:\n      containers: [{name: c, image: "${image}"}]\n${more}`;
const settings = `apiVersion: countersign.dev/v1
environments:
  - {name: shop/production, path: environments/production, namespace: shop}
  - {name: shop/staging, path: environments/staging, ref: refs/heads/staging, namespace: shop}
`;
const manifest = 'environments/production/cart.yaml';

let ann: Person;
let names = 0;
let bare: ScratchRepository;
let clone: ScratchRepository;

async function install(hook: 'pre-receive' | 'update', ...args: string[]): Promise<void> {
  await installWith('', hook, ...args);
}

async function installWith(lines: string, hook: string, ...args: string[]): Promise<void> {
  const file = join(bare.path, 'hooks', hook);
  const words = [process.execPath, resolve('dist/cli/main.js'), 'hook', hook, ...args].map((word) => `'${word}'`);
  await mkdir(join(bare.path, 'hooks'), { recursive: true });
  await writeFile(
    file,
    `#!/bin/sh\nexport COUNTERSIGN_CACHE='${cacheFolder()}'\n${lines}exec ${words.join(' ')} "$@"\n`,
  );
  await chmod(file, 0o755);
}

const commit = (message: string, files: Record<string, string>, more: object = {}) =>
  clone.commit({ author: ann, message, files, ...more });
/** What the developer reads: git's own prefix taken off. */
const pushed = (...args: string[]): Promise<string> =>
  clone.git('push', ...args).then(
    () => 'accepted',
    (error: Error) => error.message.replaceAll(/^remote: ?/gm, '').replaceAll(/ +$/gm, ''),
  );

beforeEach(async () => {
  ann = await person('Ann', 'ann@example.org');
  bare = await createRepository(folder.path(`shop${names}.git`), { bare: true });
  clone = await createRepository(folder.path(`clone${names++}`));
  await clone.git('remote', 'add', 'origin', bare.path);
  await commit('start', {
    'countersign.yaml': settings,
    '.countersign/allowed_signers': allowedSigners([ann]),
    [manifest]: deployment(pinned),
  });
  await clone.push('origin', 'main');
});

describe('a push to a server with the pre-receive hook', () => {
  beforeEach(() => install('pre-receive'));

  it('that breaks a rule is refused with rule, line and fix, and accepted once it is mended', async () => {
    const before = await bare.head('main');
    await commit('faster cart', { [manifest]: deployment('nginx:latest') });
    const answer = await pushed('origin', 'main');
    expect(answer).toMatch(
      /✗ denied {3}shop\/production {3}main [0-9a-f]{7} → main [0-9a-f]{7} {3}1 commit, 1 object changed/,
    );
    expect(answer).toContain(`${manifest}:7   Deployment shop/cart`);
    expect(answer).toMatch(/rule {3}images\.pinned/);
    expect(answer).toMatch(/push refused by Countersign; nothing was changed\. Mend your commits/);
    expect(answer).toMatch(/pre-receive hook declined/);
    expect(await bare.head('main')).toBe(before);

    await commit('faster cart', { [manifest]: deployment(pinned, '  replicas: 3\n') }, { amend: true });
    expect(await pushed('origin', 'main')).toBe('accepted');
    expect(await bare.head('main')).toBe(await clone.head());
  });

  it('is by whom the server says, where it says so', async () => {
    await commit('who', {
      'countersign.yaml': `${settings}policies: {starter: {profile: off}}\n`,
      '.countersign/identities.yaml': `apiVersion: countersign.dev/v1\npeople: [{person: ann, accounts: {gitlab: [ann-codes]}}]\n`,
      'policies/known.rego': `package countersign.team.known

# METADATA
# custom: {id: team.known, scope: change}
deny contains sprintf("%s pushed", [object.get(input.push, "pusher", "nobody knows who")]) if not by_ann

by_ann if input.push == object.union(input.push, {"pusher": "ann", "pusherAccount": "gitlab:ann-codes", "pusherVia": "hook"})
`,
    });
    expect(await pushed('origin', 'main')).toBe('accepted');
    await commit('more', { [manifest]: deployment(pinned, '  replicas: 2\n') });
    expect(await pushed('origin', 'main')).toContain('nobody knows who pushed');
    await installWith("export GL_USERNAME='bo codes' REMOTE_USER=bo\n", 'pre-receive');
    expect(await pushed('origin', 'main')).toContain('login:bo pushed');
    await installWith('export GL_USERNAME=ann-codes\n', 'pre-receive');
    expect(await pushed('origin', 'main')).toBe('accepted');
  });

  it('over HTTP is judged the same', async () => {
    const server: GitServer = await startGitServer(folder.path());
    try {
      const url = `${server.url}/${bare.path.split('/').at(-1)}`;
      await commit('unsigned', { [manifest]: deployment(pinned, '  replicas: 2\n') }, { sign: false });
      expect(await pushed(url, 'main')).toMatch(/commit [0-9a-f]{7} {2}"unsigned"[^]*rule {3}commits\.signed/);
      await clone.commit({ author: ann, message: 'signed', amend: true });
      expect(await pushed(url, 'main')).toBe('accepted');
    } finally {
      await server.close();
    }
  });

  it('is let through with the approvals that lie in the repository, after a merge too; so says check', async () => {
    const bo = await person('Bo', 'bo@example.org');
    await commit('four eyes', {
      'countersign.yaml': `${settings}policies: {starter: {data: {approvals: 1}}}\n`,
      '.countersign/allowed_signers': mayApprove(ann) + mayApprove(bo),
    });
    expect(await pushed('origin', 'main')).toBe('accepted');
    const base = await clone.head();
    await clone.checkout('work', 'main');
    const head = await commit('more', { [manifest]: deployment(pinned, '  replicas: 3\n') });
    const check = () =>
      runCli(['check', clone.path, '--base', 'origin/main', '--head', 'work', '--env', 'shop/production']);
    expect(await pushed('origin', 'work:main')).toMatch(/0 of 1 approvals are there/);
    expect(await check()).toMatchObject({ code: 1, stdout: expect.stringContaining('0 of 1 approvals') as string });

    const approve = async (who: Person): Promise<string> => {
      const statement = {
        repository: 'shop',
        ref: 'refs/heads/main',
        environment: 'shop/production',
        base,
        head,
        tree: await clone.git('rev-parse', `${head}^{tree}`),
        // Only the service knows it.
        renderedDigest: 'f'.repeat(64),
        time: new Date().toISOString(),
      };
      const text = approvalText(statement);
      const signature = await signWithSsh(who.keyFile, APPROVAL_NAMESPACE, text);
      const path = approvalPath(statement, who.email);
      await put({ [path]: text, [`${path}.sig`]: signature });
      return approvalId('shop', text, signature);
    };
    const put = async (files: Readonly<Record<string, string>>): Promise<void> => {
      await (await OwnClone.open(clone.path)).pushFiles('origin', APPROVALS_REF, 'approve', files);
      await clone.git('fetch', '--quiet', 'origin', `${APPROVALS_REF}:${APPROVALS_REF}`);
    };
    const withdraw = async (who: Person, approval: string): Promise<void> => {
      const text = withdrawalText({ repository: 'shop', approval, time: new Date().toISOString() });
      const path = withdrawalPath({ head, environment: 'shop/production' }, approval, who.email);
      await put({ [path]: text, [`${path}.sig`]: await signWithSsh(who.keyFile, APPROVAL_NAMESPACE, text) });
    };
    await approve(ann);
    expect(await check()).toMatchObject({ code: 1 });
    const first = await approve(bo);
    await withdraw(bo, first);
    expect(await check()).toMatchObject({ code: 1 });
    await withdraw(ann, await approve(bo));
    expect(await check()).toMatchObject({ code: 0, stdout: expect.stringContaining('allowed') as string });

    // Somebody else's push to another branch's folder comes first; the merge of both is what was approved.
    await clone.checkout('main');
    await clone.commit({ author: ann, message: 'notes', files: { 'notes.md': 'x\n' } });
    await clone.merge('work', { author: ann, message: 'merge' });
    const evil = await clone.commit({ author: ann, message: 'merge', amend: true, files: { 'notes.md': 'by hand\n' } });
    expect(evil).not.toBe(head);
    const answer = await pushed('origin', 'main');
    expect(answer).toMatch(/0 of 1 approvals are there/);
    await clone.rewind(base);
    await clone.merge('work', { author: ann, message: 'merge' });
    expect(await pushed('origin', 'main')).toBe('accepted');
  }, 240_000);

  it('with a merge that nobody signed is refused, whoever signed what it merges', async () => {
    await clone.checkout('work', 'main');
    await commit('signed', { [manifest]: deployment(pinned, '  replicas: 3\n') });
    await clone.checkout('main');
    await commit('signed, too', { 'notes.md': 'x\n' });
    const base = await clone.head();
    await clone.merge('work', { author: ann, message: 'merge', sign: false });
    const merge = (await clone.head()).slice(0, 7);
    const answer = await pushed('origin', 'main');
    expect(answer).toMatch(new RegExp(`commit ${merge} {2}"merge"[^]*rule {3}commits\\.signed`));
    expect(answer.match(/rule {3}commits\.signed/g)).toHaveLength(1);
    await clone.rewind(base);
    await clone.merge('work', { author: ann, message: 'merge' });
    expect(await pushed('origin', 'main')).toBe('accepted');
  });

  it('cannot choose its own policy, nor bring one that could not be read (invariant 2)', async () => {
    await commit('relax', {
      'countersign.yaml': `${settings}policies: {starter: {profile: "off"}}\n`,
      [manifest]: deployment('nginx:latest'),
    });
    expect(await pushed('origin', 'main')).toMatch(/images\.pinned/);
    await commit('garbage', { 'countersign.yaml': 'environments: {', [manifest]: deployment(pinned) }, { amend: true });
    expect(await pushed('origin', 'main')).toMatch(/✗ denied {3}governance[^]*countersign\.yaml/);
  });

  it('that rewrites or deletes what is deployed is refused', async () => {
    await commit('other', { [manifest]: deployment(pinned, '  replicas: 2\n') }, { amend: true });
    expect(await pushed('--force', 'origin', 'main')).toMatch(/does not descend from [0-9a-f]{7}[^]*git rebase/);
    await bare.git('config', 'receive.denyDeleteCurrent', 'ignore');
    expect(await pushed('origin', ':main')).toMatch(/refs\/heads\/main may not be deleted: shop\/production/);
  });

  it('of a branch that nothing is deployed from is let through; of an environment’s own it is judged by the governance', async () => {
    await commit('draft', { [manifest]: deployment('nginx:latest') });
    expect(await pushed('origin', 'HEAD:refs/heads/draft')).toBe('accepted');
    await commit('staging', { 'environments/staging/cart.yaml': deployment('nginx:latest') });
    const answer = await pushed('origin', 'HEAD:refs/heads/staging');
    expect(answer).toMatch(/✗ denied {3}shop\/staging {3}nothing → staging [0-9a-f]{7}/);
    expect(answer).not.toMatch(/shop\/production/);
  });

  it('is refused when nothing can be judged: what governs is broken (invariant 7)', async () => {
    await install('pre-receive', '--policies', '/nowhere');
    await commit('fine', { [manifest]: deployment(pinned, '  replicas: 2\n') });
    expect(await pushed('origin', 'main')).toMatch(/countersign: .*nowhere[^]*pre-receive hook declined/);
  });
});

describe('a push to a server with the update hook', () => {
  it('refuses the ref that breaks a rule and lets the other through', async () => {
    await install('update');
    await commit('draft', { [manifest]: deployment('nginx:latest') });
    const answer = await pushed('origin', 'main', 'HEAD:refs/heads/draft');
    expect(answer).toMatch(/images\.pinned[^]*hook declined/);
    expect(await bare.head('draft')).toBe(await clone.head());
    expect(await bare.head('main')).not.toBe(await clone.head());
  });
});

describe('countersign hook', () => {
  it('judges a first push by its own policy, says so, and refuses others before it', async () => {
    bare = await createRepository(folder.path(`empty${names++}.git`), { bare: true });
    await install('pre-receive');
    await clone.git('remote', 'set-url', 'origin', bare.path);
    expect(await pushed('origin', 'HEAD:refs/heads/draft')).toMatch(/before there is a refs\/heads\/main: push that/);
    expect(await pushed('origin', 'main')).toBe('accepted');
  });

  it('takes over no objects but those of a quarantine of git’s own (invariant 8)', async () => {
    const quarantine = join(bare.path, 'objects', 'tmp_objdir-incoming-Xy12Ab');
    await mkdir(quarantine);
    const own = join(bare.path, 'objects');
    expect(quarantineOf(bare.path, { GIT_QUARANTINE_PATH: quarantine, GIT_OBJECT_DIRECTORY: quarantine })).toEqual({
      objects: quarantine,
      alternates: [own],
    });
    expect(quarantineOf(bare.path, { GIT_OBJECT_DIRECTORY: '/elsewhere' })).toBeUndefined();
    for (const env of [
      { GIT_QUARANTINE_PATH: folder.path() },
      { GIT_QUARANTINE_PATH: 'objects/tmp_objdir-incoming-Xy12Ab' },
      { GIT_QUARANTINE_PATH: quarantine, GIT_OBJECT_DIRECTORY: folder.path() },
      { GIT_QUARANTINE_PATH: quarantine, GIT_ALTERNATE_OBJECT_DIRECTORIES: '"/tmp"' },
    ]) {
      expect(() => quarantineOf(bare.path, env)).toThrow(expect.objectContaining({ code: 'usage' }));
    }
  });

  it('when called with what git would never say, exits with 2', async () => {
    const { code, stderr } = await runCli(['hook', 'update', 'refs/heads/main', 'main', 'HEAD'], { cwd: bare.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/is no ref that git pushes/);
  });
});
