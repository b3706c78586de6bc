import { CountersignError } from '../errors.js';
import type { Tag } from '../source/repository.js';
import { NO_SIGNERS } from '../source/signers.js';
import { CommitTags } from './commit-tags.js';
import type { Governance } from './governance.js';

const commit = 'a'.repeat(40);
const tag = (name: string): Tag => ({
  ref: `refs/tags/${name}`,
  id: 'b'.repeat(40),
  commit,
  raw: Buffer.from(`object ${commit}\ntype commit\ntag ${name}\ntagger A <a@b> 0 +0000\n\nnotes\n`),
});
const governance = { signers: NO_SIGNERS } as Governance;

const never = (): Promise<never> => Promise.reject(new Error('asked'));

describe('the tags of a commit', () => {
  it('are asked of the remote twice a minute at most, and known while it is away', async () => {
    let [time, asked] = [0, 0];
    let remote: readonly Tag[] | CountersignError = new CountersignError('repository-missing', 'away', { retry: true });
    const tags = () => {
      asked += 1;
      return remote instanceof CountersignError ? Promise.reject(remote) : Promise.resolve(remote);
    };
    const known = new CommitTags({ tags }, () => governance, () => time); // prettier-ignore
    const names = async () => (await known.of(commit)).map((one) => one.tag);
    await expect(names()).rejects.toThrow('away');

    remote = [tag('v1')];
    expect(await Promise.all([names(), names()])).toEqual([['v1'], ['v1']]);
    remote = [tag('v1'), tag('v2')];
    time = 29_999;
    expect(await names()).toEqual(['v1']);
    expect(asked).toBe(2);
    time = 30_000;
    expect(await names()).toEqual(['v1', 'v2']);
    expect(await known.of('c'.repeat(40))).toEqual([]);

    time = 60_000;
    remote = new CountersignError('repository-missing', 'away', { retry: true });
    expect(await names()).toEqual(['v1', 'v2']);
    time = 90_000;
    remote = new CountersignError('repository-corrupt', 'damaged');
    await expect(names()).rejects.toThrow('damaged');
  });

  it('are nobody’s to show before anything governs', async () => {
    expect(await new CommitTags({ tags: never }, () => null).of(commit)).toEqual([]);
  });
});
