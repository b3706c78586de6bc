import { CountersignError } from '../errors.js';
import { openCheckpoint, signCheckpoint } from './checkpoint.js';
import { concatBytes, ed25519Signer, equalBytes, sha256, utf8 } from './crypto.js';
import { leafHash, rootOf } from './merkle.js';
import { noteSigner, parseVkey } from './note.js';
import type { Extension, LogStorage, SeenCheckpoint, SequencedEntry, StagedEntry, TreeHead } from './sequencer.js';
import { Sequencer } from './sequencer.js';
import type { Tile } from './tiles.js';
import { tileWidth } from './tiles.js';

const log = noteSigner('log.example.org', ed25519Signer(sha256(utf8('log'))));
const keys = { origin: 'log.example.org', log };
const verifier = parseVkey(log.vkey);

/** What a disk keeps; every write whole, as the port demands. */
class Disk implements LogStorage, SeenCheckpoint {
  outbox: StagedEntry[] = [];
  entries: SequencedEntry[] = [];
  tileRoots = new Map<string, Uint8Array>();
  tree: TreeHead = { size: 0, root: sha256() };
  note: string | undefined;
  file: string | undefined;
  /** Every note that anybody could have seen. */
  readonly shown: string[] = [];

  stage(...texts: string[]): void {
    for (const text of texts)
      this.outbox.push({ id: String(this.outbox.length + this.entries.length), leaf: utf8(text) });
  }

  head(): Promise<TreeHead & { note: string | undefined }> {
    return Promise.resolve({ ...this.tree, note: this.note });
  }

  staged(limit: number): Promise<readonly StagedEntry[]> {
    return Promise.resolve(this.outbox.slice(0, limit));
  }

  extend(extension: Extension): Promise<void> {
    if (extension.from.size !== this.tree.size || !equalBytes(extension.from.root, this.tree.root)) {
      return Promise.reject(new CountersignError('log-conflict', 'the head has moved'));
    }
    this.entries.push(...extension.entries);
    for (const { level, index, root } of extension.tileRoots) this.tileRoots.set(`${level}/${index}`, root);
    this.tree = extension.to;
    const done = new Set(extension.entries.map((entry) => entry.id));
    this.outbox = this.outbox.filter((entry) => !done.has(entry.id));
    return Promise.resolve();
  }

  release(note: string): Promise<void> {
    this.note = note;
    this.shown.push(note);
    return Promise.resolve();
  }

  readonly readTile = (tile: Tile): Promise<Uint8Array> => {
    const [from, to] = [tile.index * tileWidth, tile.index * tileWidth + tile.width];
    const numbers = Array.from({ length: to - from }, (_, i) => from + i);
    const level = Number(tile.level);
    const hash = (i: number): Uint8Array =>
      (level === 0 ? this.entries[i]?.leafHash : this.tileRoots.get(`${level - 1}/${i}`)) ?? new Uint8Array();
    return Promise.resolve(concatBytes(...numbers.map(hash)));
  };

  load(): Promise<string | undefined> {
    return Promise.resolve(this.file);
  }

  save(note: string): Promise<void> {
    this.file = note;
    return Promise.resolve();
  }
}

type Write = 'extend' | 'release' | 'save';

/** Fails one write of a kind, after it happened or before. */
class Faulty {
  #left: number;

  constructor(
    private readonly disk: Disk,
    private readonly write: Write,
    nth: number,
    private readonly persisted: boolean,
    private readonly code: 'database-unavailable' | 'disk-full' = 'database-unavailable',
  ) {
    this.#left = nth;
  }

  get storage(): LogStorage {
    const { disk } = this;
    return {
      head: () => disk.head(),
      staged: (limit) => disk.staged(limit),
      readTile: disk.readTile,
      extend: (extension) => this.#attempt('extend', () => disk.extend(extension)),
      release: (note) => this.#attempt('release', () => disk.release(note)),
    };
  }

  get seen(): SeenCheckpoint {
    return { load: () => this.disk.load(), save: (note) => this.#attempt('save', () => this.disk.save(note)) };
  }

  async #attempt(write: Write, work: () => Promise<void>): Promise<void> {
    const fails = write === this.write && (this.#left -= 1) === 0;
    if (!fails || this.persisted) await work();
    if (fails) throw new CountersignError(this.code, 'injected', { retry: true });
  }
}

/** The whole log, from leaves to every checkpoint ever shown. */
function verifyLog(disk: Disk, acknowledged: readonly SequencedEntry[]): void {
  const hashes = disk.entries.map((entry) => leafHash(entry.leaf));
  expect(disk.entries.map((entry) => entry.index)).toEqual(hashes.map((_, i) => i));
  expect(new Set(disk.entries.map((entry) => entry.id)).size).toBe(disk.entries.length);
  expect(disk.tree.size).toBe(hashes.length);
  expect(equalBytes(rootOf(hashes), disk.tree.root)).toBe(true);
  for (const note of disk.file === undefined ? disk.shown : [...disk.shown, disk.file]) {
    const { size, root } = openCheckpoint(note, verifier);
    expect(size).toBeLessThanOrEqual(hashes.length);
    expect(equalBytes(rootOf(hashes.slice(0, size)), root)).toBe(true);
  }
  // Shown is never ahead of the file that notices a rollback, and nothing is acknowledged that the file does not cover.
  const sizes = disk.shown.map((note) => openCheckpoint(note, verifier).size);
  expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
  const seen = disk.file === undefined ? 0 : openCheckpoint(disk.file, verifier).size;
  expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(seen);
  for (const entry of acknowledged) {
    expect(disk.entries[entry.index].id).toBe(entry.id);
    expect(entry.index).toBeLessThan(seen);
  }
}

async function drain(sequencer: Sequencer, acknowledged: SequencedEntry[]): Promise<void> {
  for (let batch = await sequencer.sequence(); batch.length > 0; batch = await sequencer.sequence())
    acknowledged.push(...batch);
}

async function filled(): Promise<Disk> {
  const disk = new Disk();
  disk.stage('a', 'b', 'c');
  await new Sequencer(disk, disk, keys).sequence();
  return disk;
}

const batches = [['a'], ['b', 'c'], Array.from({ length: 600 }, (_, i) => `d${i}`), ['e']];

describe('sequencer (invariant 3)', () => {
  it('gives every staged entry one place, in order, under a released checkpoint', async () => {
    const disk = new Disk();
    const sequencer = new Sequencer(disk, disk, keys);
    const acknowledged: SequencedEntry[] = [];
    for (const batch of batches) {
      disk.stage(...batch);
      await drain(sequencer, acknowledged);
      verifyLog(disk, acknowledged);
    }
    expect(acknowledged.map((entry) => Buffer.from(entry.leaf).toString())).toEqual(batches.flat());
    expect(disk.tileRoots.size).toBe(2);
  });

  it('gives entries that were not staged their places at once, and looks for staged ones when told to', async () => {
    const disk = new Disk();
    const sequencer = new Sequencer(disk, disk, keys);
    const direct = ['x', 'y'].map((text) => ({ id: `direct-${text}`, type: 'push', leaf: utf8(text) }));
    disk.stage('a');
    const acknowledged = [...(await sequencer.extend(direct, false))];
    expect(disk.outbox).toHaveLength(1);
    acknowledged.push(...(await sequencer.extend([{ id: 'direct-z', type: 'push', leaf: utf8('z') }], true)));
    await sequencer.publish();
    await sequencer.release();
    verifyLog(disk, acknowledged);
    expect(disk.entries.map((entry) => Buffer.from(entry.leaf).toString())).toEqual(['x', 'y', 'z', 'a']);
    expect(await sequencer.extend([], false)).toEqual([]);
  });

  it('covers with one checkpoint what was extended while the one before was being published', async () => {
    const disk = new Disk();
    const waiting = Promise.withResolvers<void>();
    let saves = 0;
    const seen: SeenCheckpoint = {
      load: () => disk.load(),
      save: async (note) => {
        if ((saves += 1) === 2) await waiting.promise;
        await disk.save(note);
      },
    };
    const sequencer = new Sequencer(disk, seen, keys);
    disk.stage('a');
    const acknowledged = [...(await sequencer.extend())];
    const first = sequencer.publish();
    for (const text of ['b', 'c']) {
      disk.stage(text);
      acknowledged.push(...(await sequencer.extend()));
    }
    verifyLog(disk, []);
    waiting.resolve();
    expect(await first).toMatchObject({ size: 1 });
    await sequencer.release();
    expect(await sequencer.publish()).toMatchObject({ size: 3 });
    verifyLog(disk, acknowledged);
    expect(sequencer.released).toBe(false);
    await sequencer.release();
    expect(sequencer.released).toBe(true);
    expect(disk.shown.map((note) => openCheckpoint(note, verifier).size)).toEqual([0, 1, 3]);
  });

  const faults = (['extend', 'release', 'save'] as const).flatMap((write) =>
    [true, false].flatMap((persisted) =>
      [1, 2, 3, 4, 5].flatMap((nth) => [true, false].map((restart) => ({ write, persisted, nth, restart }))),
    ),
  );

  it.each(faults)(
    'loses and forks nothing when $write number $nth fails, persisted: $persisted, restarted: $restart',
    async (fault) => {
      const disk = new Disk();
      const faulty = new Faulty(disk, fault.write, fault.nth, fault.persisted);
      let sequencer = new Sequencer(faulty.storage, faulty.seen, keys);
      const acknowledged: SequencedEntry[] = [];
      const failures: string[] = [];
      for (const batch of batches) {
        disk.stage(...batch);
        for (;;) {
          try {
            await drain(sequencer, acknowledged);
            break;
          } catch (error) {
            failures.push((error as CountersignError).code);
            verifyLog(disk, acknowledged);
            if (fault.restart) sequencer = new Sequencer(faulty.storage, faulty.seen, keys);
          }
        }
        verifyLog(disk, acknowledged);
      }
      expect(failures).toEqual(['database-unavailable']);
      expect(disk.entries).toHaveLength(batches.flat().length);
      // Nothing is left half done: the head everybody is shown is the newest.
      expect(openCheckpoint(disk.note!, verifier).size).toBe(disk.entries.length);
    },
  );

  it('says that the disk is full, acknowledges nothing, and goes on when there is space', async () => {
    const disk = new Disk();
    const faulty = new Faulty(disk, 'extend', 1, false, 'disk-full');
    const sequencer = new Sequencer(faulty.storage, faulty.seen, keys);
    disk.stage('a');
    await expect(sequencer.sequence()).rejects.toMatchObject({ code: 'disk-full', retry: true });
    expect(disk.entries).toEqual([]);
    expect(await sequencer.sequence()).toHaveLength(1);
    verifyLog(disk, []);
  });

  it('refuses to go on when another sequencer has moved the head, and first reads back what it did', async () => {
    const disk = new Disk();
    const [first, second] = [new Sequencer(disk, disk, keys), new Sequencer(disk, disk, keys)];
    disk.stage('a');
    await first.sequence();
    await second.sequence();
    disk.stage('b');
    await first.sequence();
    disk.stage('c');
    await expect(second.sequence()).rejects.toMatchObject({ code: 'log-conflict' });
    expect(await second.sequence()).toMatchObject([{ index: 2 }]);
    verifyLog(disk, []);
  });

  it('refuses a database older than a checkpoint once signed, and one that forked from it', async () => {
    const disk = await filled();
    disk.file = await signCheckpoint({ origin: keys.origin, size: 4, root: sha256() }, log);
    await expect(new Sequencer(disk, disk, keys).recover()).rejects.toMatchObject({ code: 'log-behind' });
    disk.file = await signCheckpoint({ origin: keys.origin, size: 2, root: sha256() }, log);
    await expect(new Sequencer(disk, disk, keys).recover()).rejects.toMatchObject({ code: 'log-behind' });
  });

  it('refuses a damaged tile, and a log of other keys', async () => {
    const disk = await filled();
    const stranger = noteSigner(keys.origin, ed25519Signer(sha256(utf8('stranger'))));
    const other = new Sequencer(disk, disk, { origin: keys.origin, log: stranger });
    await expect(other.recover()).rejects.toMatchObject({ code: 'keys-invalid' });
    disk.entries[1] = { ...disk.entries[1], leafHash: sha256() };
    disk.file = undefined;
    disk.note = undefined;
    await expect(new Sequencer(disk, disk, keys).recover()).rejects.toMatchObject({ code: 'log-invalid' });
  });
});
