import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ask, historyOf } from '../../../test/support/both-adapters.js';
import { createRepository, person, temporaryFolder, type Person } from '../../../test/support/git-fixture.js';
import { openRepository } from './open.js';

const folder = temporaryFolder();
let ann: Person;

beforeAll(async () => {
  ann = await person('Ann', 'ann@example.org');
});

describe('reading with git', () => {
  it('survives a repack between two reads', async () => {
    const repacked = await createRepository(folder.path('repacked'));
    const id = await repacked.commit({ author: ann, sign: false, message: 'x', files: { a: 'b' } });
    await repacked.git('repack', '-a', '-d', '-q');
    const opened = await openRepository(repacked.path, { adapter: 'native' });
    await opened.commit(id);
    const next = await repacked.commit({ author: ann, sign: false, message: 'y', files: { a: 'c' } });
    await repacked.git('gc', '--quiet', '--prune=now');
    expect([(await opened.commit(next)).parents, (await opened.tree(id)).length]).toEqual([[id], 1]);
    await opened.close();
  });

  it('ends its processes when its consumer leaves early', async () => {
    const long = await createRepository(folder.path('long'));
    for (let i = 0; i < 12; i++) await long.commit({ author: ann, sign: false, message: `${i}`, files: { a: `${i}` } });
    const opened = await openRepository(long.path, { adapter: 'native' });
    const head = await opened.resolve('HEAD');
    for await (const { commit } of opened.history({ head })) {
      expect(commit.parents).toEqual([]);
      break;
    }
    expect(await opened.count({ head })).toBe(12);
    await opened.close();
  });

  it('reads SHA-256 repositories, which the other adapter refuses', async () => {
    const other = await createRepository(folder.path('sha256'), { objectFormat: 'sha256' });
    const id = await other.commit({ author: ann, sign: false, message: 'x', files: { a: 'b' } });
    const answer = await ask('native', other.path, async (opened) => [
      opened.objectFormat,
      (await historyOf(opened, { head: id })).length,
      (await opened.tree(id)).length,
    ]);
    expect(answer).toEqual(['sha256', 1, 1]);
    expect(await ask('isomorphic', other.path, (opened) => opened.refs())).toMatchObject({
      code: 'repository-unsupported',
    });
  });

  it('is not led astray by the environment of a hook, or by the repository’s own config', async () => {
    const other = await createRepository(folder.path('configured'));
    const id = await other.commit({ author: ann, sign: false, message: 'x', files: { a: 'b' } });
    const touched = folder.path('touched');
    await other.git('config', 'core.fsmonitor', `touch ${touched}; false`);
    await other.git('config', 'diff.external', `touch ${touched}`);
    await other.git('config', 'diff.ignoreSubmodules', 'all');
    await other.git('config', 'log.showSignature', 'true');
    process.env['GIT_DIR'] = join((await createRepository(folder.path('of-the-hook'))).path, '.git');
    try {
      expect(await ask('native', other.path, (opened) => opened.resolve('HEAD'))).toBe(id);
      expect(await ask('native', other.path, async (opened) => (await historyOf(opened, { head: id })).length)).toBe(1);
    } finally {
      delete process.env['GIT_DIR'];
    }
    await expect(stat(touched)).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});
