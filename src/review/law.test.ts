import { createRepository, person, temporaryFolder } from '../../test/support/git-fixture.js';
import { NativeRepository } from '../adapters/git/native.js';
import { RegoCompiler } from '../adapters/opa/compiler.js';
import type { PolicySources } from '../policy/bundle.js';
import { forkPoint, readLaw } from './law.js';

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

describe('policies.strict', () => {
  const compiler = new RegoCompiler();
  afterAll(() => compiler.close());
  const compile = (sources: PolicySources) => compiler.compile(sources);
  const misread = { 'policies/x.rego': 'package countersign.x\n\ndeny contains "x" if input.comits\n' };
  const law = async (name: string, policies: string) => {
    const ann = await person('Ann', 'ann@example.org');
    const scratch = await createRepository(folder.path(name));
    const files = { ...misread, 'countersign.yaml': `apiVersion: countersign.dev/v1\npolicies: ${policies}\n` };
    const head = await scratch.commit({ author: ann, sign: false, message: 'a', files });
    const repository = await NativeRepository.open(scratch.path);
    try {
      return await readLaw(repository, head, { compile });
    } finally {
      await repository.close();
    }
  };

  it('refuses a policy that reads what the input does not have, with file, line and what to write', async () => {
    await expect(law('strict', '{strict: true, starter: {profile: off}}')).rejects.toMatchObject({
      code: 'rego-invalid',
      place: { file: 'policies/x.rego', line: 3 },
      remedy: 'Did you mean input.commits?',
    });
  });

  it('is not asked for unless the settings do', async () => {
    expect((await law('lax', '{starter: {profile: off}}')).bundle.rules).toHaveLength(1);
  });
});
