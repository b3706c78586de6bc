import { temporaryFolder, createRepository, person, type ScratchRepository } from '../../test/support/git-fixture.js';
import { toCountersignError } from '../errors.js';
import { openRepository } from '../adapters/git/open.js';
import { parseCommit } from './commit.js';

const folder = temporaryFolder();

function raw(headers: readonly (string | Buffer)[], message: string | Buffer = 'message\n'): Buffer {
  const lines = headers.flatMap((header) => [
    typeof header === 'string' ? Buffer.from(header) : header,
    Buffer.from('\n'),
  ]);
  return Buffer.concat([...lines, Buffer.from('\n'), typeof message === 'string' ? Buffer.from(message) : message]);
}

const ID = '1'.repeat(40);
const TREE = `tree ${'2'.repeat(40)}`;
const ANN = 'Ann <ann@example.org> 1700000000 +0100';

function outcome(bytes: Buffer): string {
  try {
    return parseCommit(ID, bytes).raw === bytes ? 'read' : 'altered';
  } catch (error) {
    return toCountersignError(error).code;
  }
}

describe('a commit’s bytes', () => {
  it('gives tree, parents, people, dates with their offset, and message', () => {
    const commit = parseCommit(
      ID,
      raw([
        TREE,
        `parent ${'3'.repeat(40)}`,
        `parent ${'4'.repeat(40)}`,
        `author ${ANN}`,
        `committer Bo <bo@example.org> 1700000060 -0330`,
      ]),
    );
    expect(commit).toMatchObject({
      tree: '2'.repeat(40),
      parents: ['3'.repeat(40), '4'.repeat(40)],
      author: { name: 'Ann', email: 'ann@example.org', time: '2023-11-14T23:13:20+01:00' },
      committer: { name: 'Bo', email: 'bo@example.org', time: '2023-11-14T18:44:20-03:30' },
      message: 'message\n',
    });
  });

  it.each([
    ['no date', 'Ann <ann@example.org>', '1970-01-01T00:00:00+00:00'],
    ['a date beyond year 9999', 'Ann <a@b> 99999999999999 +0000', '1970-01-01T00:00:00+00:00'],
    ['an impossible offset', 'Ann <a@b> 1700000000 +9999', '2023-11-14T22:13:20+00:00'],
    ['words for a date', 'Ann <a@b> yesterday', '1970-01-01T00:00:00+00:00'],
    ['a second angle bracket', 'Ann <a@b> <c@d> 1700000000 +0000', '2023-11-14T22:13:20+00:00'],
  ])('reads %s as git does, never failing', (_name, author, time) => {
    expect(parseCommit(ID, raw([TREE, `author ${author}`, `committer ${ANN}`])).author.time).toBe(time);
  });

  it('decodes by its encoding header, and by Latin-1 what is neither declared nor UTF-8', () => {
    const name = Buffer.from('author J\xfcrgen <j@example.org> 1 +0000', 'latin1');
    const declared = parseCommit(
      ID,
      raw([TREE, name, `committer ${ANN}`, 'encoding ISO-8859-1'], Buffer.from('gr\xfcn\n', 'latin1')),
    );
    expect([declared.author.name, declared.message]).toEqual(['Jürgen', 'grün\n']);
    expect(parseCommit(ID, raw([TREE, name, `committer ${ANN}`])).author.name).toBe('Jürgen');
    expect(parseCommit(ID, raw([TREE, name, `committer ${ANN}`, 'encoding no-such'])).author.name).toBe('Jürgen');
  });

  it('keeps control and bidirectional characters in names, as claims that output escapes', () => {
    const commit = parseCommit(ID, raw([TREE, 'author A\u202en\u001bn <a@b> 1 +0000', `committer ${ANN}`]));
    expect(commit.author.name).toBe('A\u202en\u001bn');
  });

  it('takes parents only from the place where git takes them', () => {
    const commit = parseCommit(
      ID,
      raw([TREE, `author ${ANN}`, `committer ${ANN}`, `parent ${'5'.repeat(40)}`, `tree ${'6'.repeat(40)}`]),
    );
    expect(commit).toMatchObject({ parents: [], tree: '2'.repeat(40) });
  });

  it('survives any damage: a commit, or a refusal, and nothing else', () => {
    const whole = raw(
      [TREE, `parent ${'3'.repeat(40)}`, `author ${ANN}`, `committer ${ANN}`, 'encoding UTF-8'],
      'x\n\nA: b\n',
    );
    for (let i = 0; i < whole.length; i++) {
      for (const byte of [0x00, 0x0a, 0x20, 0x3c, 0x3e, 0xff]) {
        const damaged = Buffer.from(whole);
        damaged[i] = byte;
        for (const bytes of [damaged, damaged.subarray(0, i)]) {
          expect(['read', 'repository-corrupt']).toContain(outcome(bytes));
        }
      }
    }
  });

  it.each([
    ['it does not begin with its tree', [`author ${ANN}`, TREE]],
    ['it names a tree or parent that is no object id', ['tree nonsense', `author ${ANN}`, `committer ${ANN}`]],
    ['it has no author', [TREE, `committer ${ANN}`]],
    ['it has no committer', [TREE, `author ${ANN}`]],
  ])('refuses bytes of which %s', (reason, headers) => {
    expect(() => parseCommit(ID, raw(headers))).toThrow(
      expect.objectContaining({ code: 'repository-corrupt', message: expect.stringContaining(reason) }),
    );
  });
});

describe('trailers', () => {
  let repository: ScratchRepository;
  beforeAll(async () => {
    repository = await createRepository(folder.path('trailers'));
  });

  it.each([
    'title\n\nbody\n\nReviewed-by: Bo <bo@example.org>\nTicket: OPS-1\n',
    'title\n\nTicket: OPS-1\nticket: OPS-2\nCo-authored-by: X\n   and Y\n',
    'title\n\nnot a trailer\nTicket: OPS-1\n',
    'title\n\nnot a trailer\nSigned-off-by: Ann <ann@example.org>\n',
    'Ticket: OPS-1\n',
    'title\n\nTicket: OPS-1\n\nlast words\n',
    'title\n\nconstructor: x\n\n\n',
    'title\n\nTicket : spaced\nEmpty:\n',
  ])('are those that git finds in %j', async (message) => {
    const ann = await person('Ann', 'ann@example.org');
    const id = await repository.commit({ author: ann, sign: false, message });
    const expected = new Map<string, string[]>();
    for (const line of (await repository.git('log', '-1', '--format=%(trailers:unfold,only)', id)).split('\n')) {
      const colon = line.indexOf(':');
      if (colon < 0) continue;
      const key = line.slice(0, colon).trim().toLowerCase();
      expected.set(key, [...(expected.get(key) ?? []), line.slice(colon + 1).trim()]);
    }
    const opened = await openRepository(repository.path);
    const { trailers } = await opened.commit(id);
    expect(new Map(Object.entries(trailers).map(([key, values]) => [key.toLowerCase(), values]))).toEqual(expected);
    await opened.close();
  });
});
