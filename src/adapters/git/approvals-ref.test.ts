import { createRepository, person, temporaryFolder } from '../../../test/support/git-fixture.js';
import { APPROVALS_REF } from '../../review/approval.js';
import { OwnClone } from './approvals-ref.js';
import { ScratchRepository } from './scratch-repository.js';

const folder = temporaryFolder();

describe('files pushed to a ref', () => {
  let shop: ScratchRepository;

  beforeAll(async () => {
    shop = await createRepository(folder.path('shop'));
    await shop.commit({ author: await person('Ann', 'ann@example.org'), message: 'begin', files: { a: '1' } });
  });

  it('are all there when several people push at once, and nobody else’s are lost', async () => {
    const pushed = Array.from({ length: 4 }, async (_, i) => {
      const clone = await ScratchRepository.clone(shop.path, folder.path(`clone-${i}`));
      const own = await OwnClone.open(clone.path);
      return own.pushFiles(await own.remote(), APPROVALS_REF, 'approve', { [`x/${i}.json`]: `${i}` });
    });
    await Promise.all(pushed);
    const names = await shop.git('ls-tree', '-r', '--name-only', APPROVALS_REF);
    expect(names.split('\n')).toEqual(['x/0.json', 'x/1.json', 'x/2.json', 'x/3.json']);
    // Neither work tree, nor index, nor branch is touched.
    expect(await shop.git('status', '--porcelain')).toBe('');
  }, 30_000);

  it('that the remote does not take are an error with its words', async () => {
    const own = await OwnClone.open(shop.path);
    await expect(own.pushFiles(folder.path('nowhere'), APPROVALS_REF, 'approve', { a: '' })).rejects.toMatchObject({
      code: 'git-failed',
    });
  });

  it('need a repository to be pushed from', async () => {
    await expect(OwnClone.open('/')).rejects.toMatchObject({
      code: 'repository-missing',
      remedy: expect.stringContaining('--repository') as string,
    });
  });
});
