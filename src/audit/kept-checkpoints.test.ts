import { signCheckpoint } from './checkpoint.js';
import { Conclusions } from './conclusions.js';
import { ed25519Signer, sha256, utf8 } from './crypto.js';
import { KeptCheckpoints } from './kept-checkpoints.js';
import { Frontier, leafHash } from './merkle.js';
import { noteSigner, parseVkey } from './note.js';

const origin = 'log.example.org/kept';
const signer = noteSigner(origin, ed25519Signer(sha256(utf8('log'))));
const stranger = noteSigner(origin, ed25519Signer(sha256(utf8('stranger'))));
const elsewhere = noteSigner('log.example.org/other', ed25519Signer(sha256(utf8('log'))));
const log = parseVkey(signer.vkey);
const leaves = [0, 1, 2, 3, 4].map((n) => leafHash(utf8(`leaf ${n}`)));
const rootOf = (size: number): Uint8Array => {
  const frontier = new Frontier();
  leaves.slice(0, size).forEach((leaf) => frontier.append(leaf));
  return frontier.root();
};

/** A log of five entries, held against what somebody kept. */
function check(kept: KeptCheckpoints): Conclusions {
  const conclusions = new Conclusions();
  const claimed = { origin, size: 5, root: rootOf(5) };
  kept.expect(claimed, conclusions);
  const frontier = new Frontier();
  kept.look(frontier);
  for (const leaf of leaves) {
    frontier.append(leaf);
    kept.look(frontier);
  }
  kept.check(claimed, conclusions);
  return conclusions;
}

const note = (size: number, root = rootOf(size), by = signer, of = origin): Promise<string> =>
  signCheckpoint({ origin: of, size, root }, by);

describe('a checkpoint that somebody kept', () => {
  it.each([0, 1, 3, 5])('of %d entries is where the log began', async (size) => {
    const { proven } = check(new KeptCheckpoints(log, await note(size), []));
    expect(proven).toEqual([{ claim: 'consistent with the checkpoint you gave', detail: `${size} of 5 entries` }]);
  });

  it('shows a log that was cut off or forked', async () => {
    const longer = new KeptCheckpoints(log, await note(6, rootOf(5)), []);
    expect(() => check(longer)).toThrow('the log once had 6 entries, this evidence has 5');
    const forked = new KeptCheckpoints(log, await note(3, rootOf(4)), []);
    expect(() => check(forked)).toThrow('its first 3 entries are not those of the checkpoint you gave');
    const anchor = { where: 'commit 1f3c of shop', note: await note(2, rootOf(4)) };
    expect(() => check(new KeptCheckpoints(log, undefined, [anchor]))).toThrow('anchored in commit 1f3c of shop');
  });

  it('that is none of this log says nothing of the evidence', async () => {
    for (const [yours, why] of [
      ['hello', 'the checkpoint you gave cannot be read'],
      [await note(3, rootOf(3), elsewhere, 'log.example.org/other'), 'is of the log log.example.org/other'],
      [await note(3, rootOf(3), stranger), 'was not signed by a key of this log'],
    ]) {
      const mistaken = (): unknown => check(new KeptCheckpoints(log, yours, []));
      expect(mistaken).toThrow(why);
      expect(mistaken).toThrow(expect.objectContaining({ code: 'usage' }));
    }
  });

  it('in Git that others put there proves nothing, and is told', async () => {
    const { proven, onItsWord } = check(
      new KeptCheckpoints(log, undefined, [
        { where: 'a', note: await note(3, rootOf(3), stranger) },
        { where: 'b', note: await note(1) },
      ]),
    );
    expect(proven).toEqual([
      { claim: 'consistent with 1 checkpoint anchored in Git', detail: 'the newest of 1 entry' },
    ]);
    expect(onItsWord).toEqual(['the checkpoint anchored in a is not signed by this log, so that it proves nothing']);
  });
});
