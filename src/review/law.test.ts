import { createRepository, person, temporaryFolder } from '../../test/support/git-fixture.js';
import { NativeRepository } from '../adapters/git/native.js';
import { forkPoint } from './law.js';

const folder = temporaryFolder();

describe('forkPoint', () => {
  it('is where a branch left, however far both have gone since', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const scratch = await createRepository(folder.path('fork'));
    const commit = (message: string) => scratch.commit({ author: ann, sign: false, message });
    await commit('a');
    const fork = await commit('b');
    const main = await commit('c');
    await scratch.checkout('feature', fork);
    await commit('d');
    const feature = await commit('e');
    const repository = await NativeRepository.open(scratch.path);
    try {
      expect(await forkPoint(repository, main, feature)).toBe(fork);
      expect(await forkPoint(repository, fork, feature)).toBe(fork);
      // What is already in base changes nothing.
      expect(await forkPoint(repository, main, fork)).toBe(fork);
    } finally {
      await repository.close();
    }
  });
});
