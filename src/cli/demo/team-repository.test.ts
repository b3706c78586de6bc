import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ScratchRepository } from '../../adapters/git/scratch-repository.js';
import { catchUp, commitAndPush } from './people.js';
import { SECRET_VALUE, services, stages } from './team-files.js';
import { makeTeamRepository } from './team-repository.js';

describe("the demo's repository", () => {
  let folder = '';
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'countersign-demo-test-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('is signed history of three people that real git verifies, and pushes go through', async () => {
    const { url, genesis, team } = await makeTeamRepository(folder, { staging: 's', production: 'p' });
    const clone = await ScratchRepository.clone(url, join(folder, 'auditor'));
    await clone.git('config', 'gpg.ssh.allowedSignersFile', join(clone.path, '.countersign', 'allowed_signers'));
    const log = (await clone.git('log', '--format=%H %G? %an %P')).split('\n').map((line) => line.split(' '));
    expect(log.at(-1)?.[0]).toBe(genesis);
    expect(log.every(([, status]) => status === 'G')).toBe(true);
    expect(new Set(log.map(([, , author]) => author))).toEqual(new Set(['Ann', 'Bo', 'Carol']));
    expect(log.filter(([, , , ...parents]) => parents.length > 1)).toHaveLength(1);
    const files = await clone.git('ls-tree', '-r', '--name-only', 'HEAD');
    for (const stage of stages) {
      for (const service of services) expect(files).toContain(`environments/${stage}/${service}/deployment.yaml`);
    }
    expect(await clone.git('grep', '-l', SECRET_VALUE)).toContain('production/payment/secret.yaml');

    const pushed = await commitAndPush(team.bo, { message: 'more', files: { 'README.md': 'more\n' } });
    const unsigned = await commitAndPush(team.carol, { message: 'less', files: { 'README.md': '\n' }, sign: false });
    await clone.git('fetch', '--quiet');
    expect(await clone.git('rev-parse', 'origin/main', 'origin/main~1')).toBe(`${unsigned.commit}\n${pushed.commit}`);
    expect(await clone.git('log', '-2', '--format=%G?', 'origin/main')).toBe('N\nG');

    await catchUp(team.ann);
    await team.ann.clone.rewind('HEAD~2');
    const forced = await commitAndPush(team.ann, { message: 'gone', amend: true }, { force: true });
    await clone.git('fetch', '--quiet');
    expect(await clone.git('rev-parse', 'origin/main')).toBe(forced.commit);
  });
});
