import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createRepository,
  person,
  type Person,
  ScratchRepository,
  temporaryFolder,
} from '../../../test/support/git-fixture.js';
import type { Repository } from '../../source/repository.js';
import { openMirror } from './mirror.js';
import { NativeRepository } from './native.js';

const folder = temporaryFolder();
let ann: Person;
let whole: ScratchRepository;
const opened: Repository[] = [];

beforeAll(async () => {
  ann = await person('Ann', 'ann@example.org');
  whole = await createRepository(folder.path('whole'));
  await whole.git('config', 'uploadpack.allowFilter', 'true');
  for (const text of ['one', 'two', 'three']) {
    await whole.commit({ author: ann, sign: false, message: text, files: { 'a.yaml': `a: ${text}\n` } });
  }
});
afterEach(async () => {
  for (const repository of opened.splice(0)) await repository.close();
});

async function open(path: string): Promise<NativeRepository> {
  const repository = await NativeRepository.open(path);
  opened.push(repository);
  return repository;
}

describe('a repository that does not hold all of its objects', () => {
  it('when it is shallow, reads what is there and says where and how its history is cut off', async () => {
    const shallow = await ScratchRepository.clone(`file://${whole.path}`, folder.path('shallow'), '--depth=1');
    const repository = await open(shallow.path);
    const head = await shallow.head();
    expect(await repository.tree(head)).toHaveLength(1);
    const listing = (async () => {
      for await (const _ of repository.history({ head })) continue;
    })();
    await expect(listing).rejects.toMatchObject({
      code: 'repository-unsupported',
      message: expect.stringMatching(/cut off at commit [0-9a-f]{40}/) as string,
      remedy: expect.stringContaining('git fetch --unshallow') as string,
    });
  });

  it('when it is followed and shallow, is not taken for a whole one', async () => {
    const shallow = await ScratchRepository.clone(`file://${whole.path}`, folder.path('shallow-source'), '--depth=1');
    const mirror = await openMirror(folder.path('shallow-mirror'), { url: shallow.path, refs: ['refs/heads/main'] });
    opened.push(mirror.repository);
    await expect(mirror.fetch(new Map())).rejects.toMatchObject({
      code: 'repository-unsupported',
      message: expect.stringContaining('shallow') as string,
      remedy: expect.stringContaining('--unshallow') as string,
    });
  });

  it('when it is a partial clone, never fetches what it lacks behind our back, and says so (invariant 8)', async () => {
    const partial = await ScratchRepository.clone(
      `file://${whole.path}`,
      folder.path('partial'),
      '--filter=blob:none',
      '--no-checkout',
    );
    const repository = await open(partial.path);
    const [entry] = await repository.tree(await partial.head());
    await expect(repository.blob(entry.id)).rejects.toMatchObject({
      code: 'object-missing',
      remedy: expect.stringContaining('partial or shallow clone') as string,
    });
    await expect(partial.run(['cat-file', '-e', entry.id], { GIT_ALLOW_PROTOCOL: 'none' })).rejects.toThrow(
      'promisor remote',
    );
  });

  it('when it borrows objects from another, reads them; when that has gone, says what is missing', async () => {
    const lender = await ScratchRepository.clone(whole.path, folder.path('lender'), '--bare');
    const borrower = await ScratchRepository.clone(lender.path, folder.path('borrower'), '--shared', '--bare');
    const head = await whole.head();
    expect((await (await open(borrower.path)).commit(head)).message).toBe('three\n');
    const dangling = await createRepository(folder.path('dangling'), { bare: true });
    await appendFile(join(dangling.path, 'objects', 'info', 'alternates'), `${folder.path('nowhere')}\n`);
    await expect((await open(dangling.path)).commit(head)).rejects.toMatchObject({
      code: expect.stringMatching(/object-missing|repository-corrupt/) as string,
    });
  });
});
