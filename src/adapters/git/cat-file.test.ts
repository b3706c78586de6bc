import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRepository, temporaryFolder, type ScratchRepository } from '../../../test/support/git-fixture.js';
import { CountersignError } from '../../errors.js';
import { CatFile } from './cat-file.js';

const folder = temporaryFolder();
let repository: ScratchRepository;
let reader: CatFile;
const contents = new Map<string, Buffer>();

/** Sizes around every border: empty, a pipe's chunk, several chunks. */
const SIZES = [0, 1, 2, 4095, 4096, 65_535, 65_536, 65_537, 200_000, 3_000_000];

beforeAll(async () => {
  repository = await createRepository(folder.path('objects'));
  for (const [i, size] of SIZES.entries()) {
    const content = Buffer.alloc(size, `${i}\n${i}`);
    const id = execFileSync('git', ['hash-object', '-w', '--stdin'], {
      cwd: repository.path,
      input: content,
      encoding: 'utf8',
    }).trim();
    contents.set(id, content);
  }
});
beforeEach(() => {
  reader = new CatFile(join(repository.path, '.git'), (name) => new CountersignError('git-failed', `died on ${name}`));
});
afterEach(() => reader.close());

const digest = (data: Buffer | undefined): string =>
  createHash('sha256')
    .update(data ?? 'nothing')
    .digest('hex');

/** The process that serves this reader, found by what it runs on. */
function processOf(gitDir: string): number {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = ids.find((id) => {
    try {
      const line = readFileSync(`/proc/${id}/cmdline`, 'utf8');
      return line.includes('cat-file') && line.includes(gitDir);
    } catch {
      return false;
    }
  });
  return Number(found);
}

describe('a long-lived object reader', () => {
  it('answers pipelined requests of every size in order, found or not', async () => {
    const ids = [...contents.keys()];
    const asked = Array.from({ length: 300 }, (_, i) => (i % 7 === 0 ? 'f'.repeat(40) : ids[(i * 3) % ids.length]));
    const answers = await Promise.all(asked.map((id) => reader.contents(id, 1e9)));
    expect(answers.map((answer) => answer && digest(answer.data))).toEqual(
      asked.map((id) => (contents.has(id) ? digest(contents.get(id)) : null)),
    );
    expect(await Promise.all(ids.map(async (id) => (await reader.info(id))?.size))).toEqual(SIZES);
  });

  it('lets what is over the limit stream by, and answers what comes after it', async () => {
    const ids = [...contents.keys()];
    for (const limit of [0, 1, 4096, 65_536, 1_000_000]) {
      const answers = await Promise.all([...ids, ...ids].map((id) => reader.contents(id, limit)));
      const expected = [...SIZES, ...SIZES].map((size) => (size <= limit ? size : undefined));
      expect(answers.map((answer) => answer?.data?.length)).toEqual(expected);
      expect(answers.map((answer) => answer?.size)).toEqual([...SIZES, ...SIZES]);
    }
  });

  it('never takes a second command from a name', async () => {
    const [id] = contents.keys();
    for (const name of [`${id}\ncontents ${id}`, '', 'HEAD\0', '\n']) expect(await reader.info(name)).toBeNull();
    expect((await reader.info(id))?.size).toBe(0);
  });

  it('goes on when its process is killed, also in the middle of many requests', async () => {
    const ids = [...contents.keys()];
    const gitDir = join(repository.path, '.git');
    await reader.info(ids[0]);
    process.kill(processOf(gitDir), 'SIGKILL');
    expect((await reader.info(ids[1]))?.size).toBe(1);
    const many = Promise.all(Array.from({ length: 200 }, (_, i) => reader.contents(ids[i % ids.length], 1e9)));
    process.kill(processOf(gitDir), 'SIGKILL');
    expect((await many).map((answer) => answer?.size)).toEqual(
      Array.from({ length: 200 }, (_, i) => SIZES[i % ids.length]),
    );
  });

  it('finds objects that came after it was started', async () => {
    expect(await reader.info('HEAD')).toBeNull();
    const id = execFileSync('git', ['hash-object', '-w', '--stdin'], {
      cwd: repository.path,
      input: 'late',
      encoding: 'utf8',
    }).trim();
    expect((await reader.contents(id, 10))?.data?.toString()).toBe('late');
  });

  it('is gone after close, and says so', async () => {
    await reader.info('HEAD');
    await reader.close();
    expect(() => reader.info('HEAD')).toThrow('this repository was closed');
    expect(processOf(join(repository.path, '.git'))).toBeNaN();
  });
});
