import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forgetPeople, ScratchRepository } from '../../src/adapters/git/scratch-repository.js';

export { allowedSigners, person, ScratchRepository, type Person } from '../../src/adapters/git/scratch-repository.js';

/** `const repository = await createRepository(dir); await repository.commit({author: ann, message, files})`. */
export const createRepository: typeof ScratchRepository.create = (path, options) =>
  ScratchRepository.create(path, options);

/** A folder of this test file's own, gone when its tests are done, and the people's keys with it. */
export function temporaryFolder(): { readonly path: (...parts: string[]) => string } {
  let root = '';
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'countersign-test-'));
  });
  afterAll(async () => {
    await forgetPeople();
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
  });
  return { path: (...parts) => join(root, ...parts) };
}
