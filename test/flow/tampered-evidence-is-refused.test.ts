import assert from 'node:assert/strict';
import { mkdtempSync, openAsBlob, readFileSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs';
import { cp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { openBlobZip } from '../../src/adapters/evidence/blob-zip.js';
import { exportBundle, exportTiles } from '../../src/adapters/evidence/export.js';
import { openFolder } from '../../src/adapters/evidence/folder.js';
import { openZip } from '../../src/adapters/evidence/zip.js';
import { signCheckpoint } from '../../src/audit/checkpoint.js';
import { ed25519Signer, sha256, toHex, utf8 } from '../../src/audit/crypto.js';
import { parseEnvelope } from '../../src/audit/dsse.js';
import type { ContentReference, EntryType } from '../../src/audit/entry.js';
import { type Evidence, type Manifest, sealManifest } from '../../src/audit/evidence.js';
import { leafHash, rootOf } from '../../src/audit/merkle.js';
import { noteSigner, parseVkey } from '../../src/audit/note.js';
import { trustIn } from '../../src/audit/policy-file.js';
import { parseStatement, sealStatement } from '../../src/audit/statement.js';
import { decodeEntries, encodeEntries } from '../../src/audit/tiles.js';
import type { Verification, VerifyOptions } from '../../src/audit/verify.js';
import { verifyEvidence } from '../../src/audit/verify.js';
import { isJsonObject, type Json } from '../../src/cluster/object.js';
import { CountersignError } from '../../src/errors.js';
import { openBrowser } from '../support/browser.js';
import type { TestLog } from '../support/log.js';
import { openTestLog, pushDraft, runDrafts, TestJudge } from '../support/log.js';
import { mutatedJson, randomNumbers } from '../support/mutations.js';
import { startPostgres } from '../support/postgres.js';
import type { TestPostgres } from '../support/postgres.js';
import { unzip, zip } from '../support/zip.js';

// Invariants 3, 4 and 1, as an auditor sees them: with the file and a trust file, and nothing else.

let server: TestPostgres;
let judge: TestJudge;
let log: TestLog;
let folder: string;
let bundle: string;
let files: Map<string, Buffer>;
let earlier: string;
const nothing = (): void => {};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-evidence-'));
  server = await startPostgres();
  judge = await TestJudge.open();
  log = await openTestLog(server);
  const { ledger, keys } = log;
  await ledger.append(pushDraft(0), ...[0, 1, 2].map((i) => ({ ...pushDraft(i), predicate: { id: `push-d${i}` } })));
  earlier = await ledger.checkpoint();
  const drafts = await Promise.all([3, 4, 9].map((replicas, i) => judge.decision(`d${i}`, replicas)));
  const [allowed] = await ledger.append(...drafts);
  const [started, finished] = runDrafts('run-1', allowed.index, drafts[0]);
  await ledger.append(started);
  await ledger.append(finished);
  await ledger.append(...Array.from({ length: 267 }, (_, n) => pushDraft(n)));
  bundle = join(folder, 'evidence.zip');
  await exportBundle(ledger, keys, bundle, nothing);
  files = await unzip(bundle);
});

afterAll(async () => {
  await log?.close();
  await judge?.close();
  await server?.stop();
  rmSync(folder, { recursive: true });
});

/** By everything that reads evidence: whatever one of the two readers of a zip refuses, the other does, too. */
async function verify(path: string, options: Partial<VerifyOptions> = {}): Promise<Verification> {
  const all = { evaluator: judge.evaluator, ...options, trust: options.trust ?? trustIn(parseVkey(log.keys.log.vkey)) };
  const zipped = path.endsWith('.zip');
  const verified = await verifyBy(() => (zipped ? openZip(path) : openFolder(path)), all);
  if (!zipped) return verified;
  const alone = { ...all, evaluator: undefined };
  const { fault } = verified.fault && all.evaluator ? await verifyBy(() => openZip(path), alone) : verified;
  const inBrowsers = await verifyBy(async () => openBlobZip(await openAsBlob(path)), alone);
  assert.equal(inBrowsers.fault?.code, fault?.code, `${fault?.message} | ${inBrowsers.fault?.message}`);
  return verified;
}

async function verifyBy(
  open: () => Promise<Evidence & { close?: () => Promise<void> }>,
  options: VerifyOptions,
): Promise<Verification> {
  try {
    const evidence = await open();
    try {
      return await verifyEvidence(evidence, options);
    } finally {
      await evidence.close?.();
    }
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    return { origin: '', size: 0, root: '', proven: [], onItsWord: [], fault: error };
  }
}

async function verifyFiles(
  change: (copy: Map<string, Buffer>) => void,
  options: Partial<VerifyOptions> = {},
): Promise<Verification> {
  const copy = new Map(files);
  change(copy);
  const path = join(folder, 'changed.zip');
  await zip(path, copy);
  return verify(path, options);
}

function fileIn(map: ReadonlyMap<string, Buffer>, name: string): Buffer {
  const bytes = map.get(name);
  if (!bytes) throw new Error(`${name} is not in the evidence`);
  return bytes;
}

const edit = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] ^= 1;
  return copy;
};

const reorder = (bytes: Buffer): Buffer => {
  const leaves = [...decodeEntries(bytes, 256)];
  [leaves[20], leaves[21]] = [leaves[21], leaves[20]];
  return Buffer.from(encodeEntries(leaves));
};

/** Notes that are well signed, and say what they should not; and the evidence of another log of the same origin. */
let forked: string;
let strangers: string;
let noCheckpoint: string;
let elsewhere: string;
let other: Map<string, Buffer>;

beforeAll(async () => {
  const { origin, log: own } = log.keys;
  const stranger = noteSigner(origin, ed25519Signer(sha256(utf8('stranger'))));
  forked = await sign(277);
  strangers = await signCheckpoint({ origin, size: 277, root: sha256(utf8('x')) }, stranger);
  noCheckpoint = `pay the bearer\n\n${await own.sign('pay the bearer\n')}`;
  elsewhere = await signCheckpoint({ origin: 'log.example.org/elsewhere', size: 277, root: sha256(utf8('x')) }, own);
  const second = await openTestLog(server);
  await second.ledger.append(...Array.from({ length: 276 }, (_, n) => pushDraft(n)));
  await exportBundle(second.ledger, second.keys, join(folder, 'other.zip'), nothing);
  other = await unzip(join(folder, 'other.zip'));
  await second.close();
});

function swapIn(copy: Map<string, Buffer>, from: ReadonlyMap<string, Buffer>, but: string): void {
  for (const name of copy.keys()) if (name !== but) copy.delete(name);
  for (const [name, bytes] of from) if (name !== but) copy.set(name, bytes);
}

const sign = (size: number): Promise<string> =>
  signCheckpoint({ origin: log.keys.origin, size, root: sha256(utf8('x')) }, log.keys.log);

async function resigned(rewrite: (leaves: Uint8Array[]) => unknown): Promise<Verification> {
  const leaves = ['tile/entries/000', 'tile/entries/001.p/21'].flatMap((name, i) => [
    ...decodeEntries(fileIn(files, name), i === 0 ? 256 : 21),
  ]);
  await rewrite(leaves);
  const root = rootOf(leaves.map(leafHash));
  const note = await signCheckpoint({ origin: log.keys.origin, size: 277, root }, log.keys.log);
  return verifyFiles((f) => {
    f.set('tile/entries/000', Buffer.from(encodeEntries(leaves.slice(0, 256))));
    f.set('tile/entries/001.p/21', Buffer.from(encodeEntries(leaves.slice(256))));
    f.set('checkpoint', Buffer.from(note));
  });
}

const rewritten = async (
  leaf: Uint8Array,
  change: Record<string, string | number | boolean>,
  signer = log.keys.entries,
): Promise<Uint8Array> => {
  const { type, subjects, predicate, time } = parseStatement(leaf);
  const { contents, recordedAt: _, ...rest } = predicate;
  const draft = { type, subjects, predicate: { ...rest, ...change } };
  return (await sealStatement(draft, time, (contents ?? {}) as never, signer)).leaf;
};

/** Where the directory of a zip says how long a file is, and the same zip with a size that takes zip64. */
function declaredAt(bytes: Buffer, name: string): { header: number; zip64: (size: number) => Buffer } {
  let at = bytes.indexOf(Buffer.concat([Buffer.from('PK\x01\x02', 'latin1')]));
  while (bytes.toString('latin1', at + 46, at + 46 + bytes.readUInt16LE(at + 28)) !== name)
    at = bytes.indexOf('PK\x01\x02', at + 4, 'latin1');
  const zip64 = (size: number): Buffer => {
    const extra = Buffer.alloc(12);
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(8, 2);
    extra.writeBigUInt64LE(BigInt(size), 4);
    const end = at + 46 + bytes.readUInt16LE(at + 28);
    const made = Buffer.concat([bytes.subarray(0, end), extra, bytes.subarray(end + bytes.readUInt16LE(at + 30))]);
    const grown = extra.length - bytes.readUInt16LE(at + 30);
    made.writeUInt32LE(0xffffffff, at + 24);
    made.writeUInt16LE(extra.length, at + 30);
    const last = made.lastIndexOf('PK\x05\x06', undefined, 'latin1');
    made.writeUInt32LE(made.readUInt32LE(last + 12) + grown, last + 12);
    return made;
  };
  return { header: at + 24, zip64 };
}

const contentNames = (): string[] => [...files.keys()].filter((name) => name.startsWith('content/'));

describe('untouched evidence', () => {
  it('is valid, says what was proven, and what rests on the word of the service', async () => {
    const { fault, proven, onItsWord, size } = await verify(bundle, { earlier });
    expect(fault).toBeUndefined();
    expect(size).toBe(277);
    expect(proven.map(({ claim }) => claim)).toEqual([
      'entries 0 … 276 complete and unaltered',
      'every entry signed by a key that the log names',
      'consistent with the checkpoint you gave',
      expect.stringContaining('as their entries name them') as string,
      '1 run, each with an allow logged before it',
      '3 decisions replayed',
    ]);
    expect(onItsWord.join('\n')).toContain('clock of the service');
  });

  it('is valid as tiles, too, which hold no contents', async () => {
    const path = join(folder, 'tiles');
    await exportTiles(log.ledger, log.keys, path, nothing);
    const { fault, onItsWord } = await verify(path);
    expect(fault).toBeUndefined();
    expect(onItsWord.join('\n')).toContain('tiles hold no contents');
  });

  it('is still valid when packed anew by another program', async () => {
    expect((await verifyFiles(nothing)).fault).toBeUndefined();
  });

  it('names what was withheld, when a content was erased before the export', async () => {
    const digest = contentNames()[0].slice('content/'.length);
    await log.dataSource.query('CREATE TABLE kept AS SELECT * FROM content');
    await log.dataSource.query('DELETE FROM content WHERE digest = $1', [Buffer.from(digest, 'hex')]);
    const path = join(folder, 'withheld.zip');
    await exportBundle(log.ledger, log.keys, path, nothing);
    const { fault, proven } = await verify(path);
    expect(fault).toBeUndefined();
    expect(JSON.stringify(proven)).toContain('1 withheld; their digests stay');
    await log.dataSource.query('INSERT INTO content SELECT * FROM kept ON CONFLICT DO NOTHING');
  });
});

describe('tampered evidence is refused, with the first thing wrong', () => {
  const entries0 = 'tile/entries/000';
  const entries1 = 'tile/entries/001.p/21';

  it.each<[string, (copy: Map<string, Buffer>) => void, RegExp]>([
    ['two entries change places', (f) => f.set(entries0, reorder(fileIn(f, entries0))), /changed, dropped or moved/],
    [
      'an entry is dropped',
      (f) => f.set(entries0, Buffer.from(encodeEntries([...decodeEntries(fileIn(f, entries0), 256)].slice(1)))),
      /does not hold the 256/,
    ],
    ['a file of entries is dropped', (f) => f.delete(entries1), /missing/],
    [
      'an entry is there twice',
      (f) => {
        const leaves = [...decodeEntries(fileIn(f, entries1), 21)];
        f.set(entries1, Buffer.from(encodeEntries([...leaves.slice(0, 20), leaves[19]])));
      },
      /changed, dropped or moved/,
    ],
    [
      'entries are cut off in the middle of one',
      (f) => f.set(entries1, fileIn(f, entries1).subarray(0, -100)),
      /does not hold the 21/,
    ],
    [
      'a file of entries is of another width',
      (f) => {
        f.delete(entries1);
        f.set('tile/entries/001.p/20', Buffer.from(encodeEntries([...decodeEntries(fileIn(files, entries1), 21)].slice(0, 20)))); // prettier-ignore
      },
      /entries 256 … are missing/,
    ],
    [
      'its entries are those of another log',
      (f) => f.set(entries0, fileIn(other, entries0)),
      /entry 256 was changed, or never signed/,
    ],
    [
      'its checkpoint is that of another log',
      (f) => f.set('checkpoint', fileIn(other, 'checkpoint')),
      /no signature by a trusted key/,
    ],
    ['its manifest is that of another log', (f) => f.set('manifest.json', fileIn(other, 'manifest.json')), /manifest/],
    ['everything but the checkpoint is of another log', (f) => swapIn(f, other, 'checkpoint'), /changed, dropped or moved|entries|entry/], // prettier-ignore
    [
      'the checkpoint is older than the entries',
      (f) => f.set('checkpoint', Buffer.from(earlier)),
      /not of this tree|does not hold|missing/,
    ],
    [
      'the checkpoint is forked',
      (f) => f.set('checkpoint', Buffer.from(forked)),
      /an entry was changed, dropped or moved/,
    ],
    ['the checkpoint is signed by a stranger', (f) => f.set('checkpoint', Buffer.from(strangers)), /signature|signed/],
    [
      "the log's key signed a text that is no checkpoint",
      (f) => f.set('checkpoint', Buffer.from(noCheckpoint)),
      /checkpoint/,
    ],
    ["the log's key signed a checkpoint of another origin", (f) => f.set('checkpoint', Buffer.from(elsewhere)), /origin|log\.example/], // prettier-ignore
    [
      'a file of entries is named like another',
      (f) => f.set('tile/entries/001', fileIn(f, entries0)),
      /not of this tree/,
    ],
    [
      'a byte of a signature in an entry flips',
      (f) => f.set(entries1, edit(fileIn(f, entries1), fileIn(f, entries1).length - 10)),
      /entry 276|entries/,
    ],
    [
      'the checkpoint says another size',
      (f) => f.set('checkpoint', Buffer.from(fileIn(f, 'checkpoint').toString().replace('\n277\n', '\n276\n'))),
      /signature/,
    ],
    ['the checkpoint is missing', (f) => f.delete('checkpoint'), /missing/],
    ['a content changes', (f) => f.set(contentNames()[0], Buffer.from('other')), /was changed/],
    ['a content is missing', (f) => f.delete(contentNames()[0]), /missing/],
    [
      'a content is put in that no entry names',
      (f) => f.set(`content/${'0'.repeat(64)}`, Buffer.from('x')),
      /no entry names/,
    ],
    ['the manifest is missing', (f) => f.delete('manifest.json'), /missing/],
    ['the manifest changes', (f) => f.set('manifest.json', edit(fileIn(f, 'manifest.json'), 40)), /manifest|envelope/],
    ['the README names another key', (f) => f.set('README.txt', Buffer.from('trust me')), /README/],
    ['a handover is none', (f) => f.set('handover/1', Buffer.from('x')), /no checkpoint/],
    ['a handover is too long', (f) => f.set('handover/1', Buffer.alloc(20_000, 'x')), /longer than/],
    ['a file is put in beside', (f) => f.set('extra.txt', Buffer.from('x')), /does not belong/],
    [
      'a name leads out of the folder',
      (f) => f.set('content/aa/../../../../tmp/x'.replace('aa/../', ''), Buffer.from('x')),
      /./,
    ],
    ['everything is missing', (f) => f.clear(), /missing/],
  ])('when %s', async (_what, change, why) => {
    const changed = await verifyFiles(change).catch((error: unknown) => ({ fault: error as Error }));
    expect(changed.fault?.message).toMatch(why);
  });

  it('when the zip holds a path out of its folder, two files of one name, or overlapping files', async () => {
    const original = readFileSync(bundle);
    const swapped = (from: string, to: string): Buffer =>
      Buffer.from(original.toString('latin1').replaceAll(from, to), 'latin1');
    const path = join(folder, 'evil.zip');
    writeFileSync(path, swapped('README.txt', '../../../x'));
    expect((await verify(path)).fault).toMatchObject({ code: 'bundle-invalid' });
    writeFileSync(path, swapped(contentNames()[0], contentNames()[1]));
    expect((await verify(path)).fault?.message).toMatch(/two files/);
    const overlap = Buffer.from(original);
    const second = overlap.indexOf('PK\x01\x02', overlap.indexOf('PK\x01\x02') + 4, 'latin1');
    overlap.writeUInt32LE(0, second + 42); // the second file begins where the first does
    writeFileSync(path, overlap);
    expect((await verify(path)).fault).toMatchObject({ code: 'bundle-invalid' });
  });

  it('when a file of it would unpack to more than it may', async () => {
    const { fault } = await verifyFiles((f) => f.set('checkpoint', Buffer.alloc(50_000_000)));
    expect(fault?.message).toMatch(/longer than/);
  });

  it('when a file in it declares 10 GB, or unpacks to more than it declares, and takes no memory for that', async () => {
    const path = join(folder, 'bomb.zip');
    for (const name of ['checkpoint', 'tile/entries/000', contentNames()[0], 'manifest.json']) {
      await zip(path, new Map(files).set(name, Buffer.alloc(40_000_000)));
      const bomb = readFileSync(path);
      const { header, zip64 } = declaredAt(bomb, name);
      const before = process.memoryUsage().rss;
      for (const declared of [10_000_000_000, 1_000]) {
        if (declared > 0xffffffff) writeFileSync(path, zip64(declared));
        else {
          bomb.writeUInt32LE(declared, header);
          writeFileSync(path, bomb);
        }
        const { fault } = await verify(path, { evaluator: undefined });
        expect(`${name}, ${declared}: ${fault?.code}`).toBe(`${name}, ${declared}: bundle-invalid`);
        expect(JSON.stringify([fault?.message, fault?.place])).toMatch(
          /longer than|too many bytes|more than it declares/,
        );
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
    }
  });

  it('when it is cut short, at any length', async () => {
    const original = readFileSync(bundle);
    const path = join(folder, 'short.zip');
    for (const part of [0, 0.01, 0.3, 0.7, 0.99, 0.9999]) {
      writeFileSync(path, original.subarray(0, Math.floor(original.length * part)));
      expect((await verify(path)).fault).toMatchObject({ code: 'bundle-invalid' });
    }
  });

  it('when any byte of any file in it flips (sampled)', async () => {
    let seed = 20261121;
    const random = (below: number): number => (seed = (seed * 1_103_515245 + 12_345) % 2_147_483_648) % below;
    const names = [...files.keys()];
    for (let round = 0; round < 40; round += 1) {
      const name = round < names.length ? names[round] : names[random(names.length)];
      const at = random(fileIn(files, name).length);
      const { fault } = await verifyFiles((f) => f.set(name, edit(fileIn(f, name), at)), { evaluator: undefined });
      expect(`${name} byte ${at}: ${fault ? 'refused' : 'accepted'}`).toBe(`${name} byte ${at}: refused`);
    }
  });

  it('when a bit of the zip itself flips (sampled): refused, or nothing that is read has changed', async () => {
    const original = readFileSync(bundle);
    const path = join(folder, 'flipped.zip');
    let seed = 7;
    for (let round = 0; round < 60; round += 1) {
      seed = (seed * 1_103_515245 + 12_345) % 2_147_483_648;
      const flipped = Buffer.from(original);
      flipped[seed % flipped.length] ^= 1 << (round % 8);
      writeFileSync(path, flipped);
      const { fault, size } = await verify(path, { evaluator: undefined });
      expect(fault?.code ?? `valid ${size}`).toMatch(/^(bundle-invalid|note-invalid|log-invalid|valid 277)$/);
    }
  });

  it('when it is signed by another log, or is shorter than, or forked from, a checkpoint kept from earlier', async () => {
    const stranger = trustIn(parseVkey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'));
    expect((await verify(bundle, { trust: stranger })).fault).toMatchObject({ code: 'note-invalid' });
    expect((await verify(bundle, { earlier: await sign(278) })).fault?.message).toContain('once had 278');
    expect((await verify(bundle, { earlier: await sign(2) })).fault?.message).toContain('forked');
  });

  it.each(['changed', 'missing', 'link', 'extra'])('when a tile in a folder is %s', async (what) => {
    const path = join(folder, `tiles-${what}`);
    await exportTiles(log.ledger, log.keys, path, nothing);
    const tile = join(path, 'tile/0/000');
    if (what === 'changed') writeFileSync(tile, edit(readFileSync(tile), 100));
    else if (what === 'extra') writeFileSync(join(path, 'tile/0/002'), 'x');
    else {
      rmSync(tile);
      if (what === 'link') symlinkSync('/etc/passwd', tile);
    }
    expect((await verify(path)).fault).toMatchObject({ code: 'bundle-invalid' });
    expect(await readdir(path)).toContain('checkpoint');
    mkdirSync(join(folder, 'unused'), { recursive: true });
    await cp(path, join(folder, 'unused', what), { recursive: true, verbatimSymlinks: true });
  });
});

// The service's own key signs here: what a thief of it, or the service itself, could write, and replay or order give away.
describe('a log that its own key signed is refused', () => {
  it('when a denied decision says allow', async () => {
    const { fault } = await resigned(async (leaves) => (leaves[7] = await rewritten(leaves[7], { outcome: 'allow' })));
    expect(fault?.message).toMatch(/decision 7 says allow, but scale.replicas says otherwise/);
  });

  it('when a decision names a result that its input does not give', async () => {
    const { fault } = await resigned(async (leaves) => {
      const [five, seven] = [parseStatement(leaves[5]), parseStatement(leaves[7])];
      const resultOf = ({ predicate }: typeof five): never =>
        (predicate['contents'] as Record<string, never>)['result'];
      for (const [index, one, other] of [
        [5, five, seven],
        [7, seven, five],
      ] as const) {
        const { contents, recordedAt: _, ...predicate } = one.predicate;
        const swapped = { ...(contents as object), result: resultOf(other) };
        leaves[index] = (await sealStatement({ ...one, predicate }, one.time, swapped, log.keys.entries)).leaf;
      }
    });
    expect(fault?.message).toMatch(/decision 5 gives another result when it is judged again/);
  });

  it('when a decision names objects that were not judged', async () => {
    const { fault } = await resigned(
      async (leaves) => (leaves[6] = await rewritten(leaves[6], { renderedDigest: '0'.repeat(64) })),
    );
    expect(fault?.message).toMatch(/decision 6 names renderedDigest/);
  });

  it.each([
    ['is for another commit', { head: '0'.repeat(40) }],
    ['names a denied decision', { decision: 7 }],
    ['names a decision that comes later', { decision: 200 }],
    ['names another environment', { environment: 'shop/test' }],
  ])('when a run %s', async (_what, change) => {
    const { fault } = await resigned(async (leaves) => (leaves[8] = await rewritten(leaves[8], change)));
    expect(fault?.message).toMatch(/run run-1 \(entry 8\) started without an allow/);
  });

  it('when a run started under what was only advice on a request', async () => {
    const { fault } = await resigned(async (leaves) => {
      const decision = parseStatement(leaves[8]).predicate['decision'] as number;
      leaves[decision] = await rewritten(leaves[decision], { advice: true, request: 'refs/pull/7/head' });
    });
    expect(fault?.message).toMatch(/run run-1 \(entry 8\) started without an allow/);
  });

  it('when a decision names a push that was never logged', async () => {
    const { fault } = await resigned(
      async (leaves) => (leaves[5] = await rewritten(leaves[5], { pushEntry: 'push-x' })),
    );
    expect(fault?.message).toMatch(/decision 5 names a push that was not logged/);
  });

  it('in our words, whatever it says (sampled)', async () => {
    const next = randomNumbers(61);
    const change = (value: unknown): never => mutatedJson(value, next) as never;
    const { keys } = log;
    // Few enough that each round costs little: a key, pushes, decisions and a run.
    const first = [...decodeEntries(fileIn(files, 'tile/entries/000'), 256)].slice(0, 10);
    const named = contentNames().map((name) => [name, fileIn(files, name)] as const);
    const manifest = { ...(JSON.parse(Buffer.from(parseEnvelope(fileIn(files, 'manifest.json')).payload).toString()) as Manifest), size: 10 }; // prettier-ignore
    const further: [EntryType, Record<string, Json>][] = [
      ['genesis', { of: 'log', predecessor: { origin: 'x', size: 5, held: 3 } }],
      ['erasure', { by: 'retention', contents: { erased: { mediaType: 'x', salted: false, sha256: named[0][0].slice('content/'.length) } } }], // prettier-ignore
      ['exception', { id: 'x', status: 'accepted' }],
      ['key', { use: 'checkpoint-signing', phase: 'next', vkey: keys.log.vkey, follows: keys.log.vkey }],
    ];
    const said = new Set<string>();
    for (let round = 0; round < 300; round += 1) {
      const leaves = [...first];
      const copy = new Map<string, Uint8Array>([...named, ['README.txt', fileIn(files, 'README.txt')]]);
      let stated: Manifest = manifest;
      const at = round % 3 === 0 ? next(10) : 7;
      const { subjects, time, ...own } = parseStatement(leaves[at]);
      const [type, predicate] = further[next(8)] ?? [own.type, own.predicate];
      const seal = async (kind: EntryType, statement: Record<string, Json>): Promise<void> => {
        const { contents, recordedAt: _, ...rest } = statement;
        const draft = { type: kind, subjects, predicate: rest };
        leaves[at] = (await sealStatement(draft, time, (contents ?? {}) as never, keys.entries)).leaf;
      };
      if (round % 3 === 0) {
        const changed: Json = change(predicate);
        await seal(type, isJsonObject(changed) ? changed : {});
      } else if (round % 3 === 1) {
        // A content of a decision, and every digest of it.
        const references = own.predicate['contents'] as unknown as Record<string, ContentReference>;
        const { sha256: digest, salted } = references[['policy', 'input', 'result', 'rendered'][next(4)]];
        const stored = Buffer.from(copy.get(`content/${digest}`)!);
        const [salt, text] = [stored.subarray(0, salted ? 32 : 0), stored.subarray(salted ? 32 : 0)];
        const body = utf8(JSON.stringify(change(JSON.parse(text.toString()))));
        const now = toHex(sha256(salt, body));
        copy.set(`content/${now}`, Buffer.concat([salt, body]));
        const renamed = JSON.stringify(own.predicate).replaceAll(digest, now);
        await seal(own.type, JSON.parse(renamed.replaceAll(toHex(sha256(text)), toHex(sha256(body)))) as Record<string, Json>); // prettier-ignore
      } else stated = change(manifest);
      copy.set('tile/entries/000.p/10', encodeEntries(leaves));
      copy.set('manifest.json', await sealManifest(stated, keys.entries));
      const root = rootOf(leaves.map(leafHash));
      copy.set('checkpoint', utf8(await signCheckpoint({ origin: keys.origin, size: 10, root }, keys.log)));
      const evidence: Evidence = {
        kind: 'bundle',
        names: new Set(copy.keys()),
        read: (name) => Promise.resolve(copy.get(name) ?? utf8('')),
        digest: (name) => Promise.resolve(sha256(copy.get(name)!)),
      };
      const options = { trust: trustIn(parseVkey(keys.log.vkey)), evaluator: judge.evaluator, earlier };
      const { fault } = await verifyEvidence(evidence, options); // what trips over it would throw something else
      said.add(fault?.message.replaceAll(/[0-9a-f]{16,}|\d+/g, '#') ?? 'valid');
    }
    expect(said.size).toBeGreaterThan(20);
    expect(said).toContain('manifest.json is malformed: its withheld');
    expect(said).toContain('decision # names rendered objects that are none');
  });

  it('when a run finished that never started', async () => {
    const { fault } = await resigned(async (leaves) => (leaves[9] = await rewritten(leaves[9], { id: 'run-2' })));
    expect(fault?.message).toMatch(/run run-2 \(entry 9\) finished without having started/);
  });

  it('when an entry is signed by a key that the log never named', async () => {
    const stranger = ed25519Signer(sha256(utf8('stranger')));
    const { fault } = await resigned(async (leaves) => (leaves[1] = await rewritten(leaves[1], {}, stranger)));
    expect(fault?.message).toMatch(/entry 1 was changed, or never signed/);
  });
});

// The page from a file, without any server: so an auditor may keep it.
describe('in a browser, evidence', () => {
  let browser: Browser;
  let page: Page;
  const asked: string[] = [];

  beforeAll(async () => {
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 900, height: 1000 } });
    page.on('request', (request) => asked.push(request.url()));
  }, 60_000);
  afterAll(() => browser?.close());

  /** What the page says: its verdict, its sentence, and what it counts as proven. */
  async function check(bundleFile: string, trust = log.keys.log.vkey): Promise<{ verdict: string; text: string }> {
    await page.goto(pathToFileURL('dist/web/verify.html').href);
    const drop = (id: string, name: string, bytes: Buffer): Promise<void> =>
      page.locator(`#${id} input`).setInputFiles({ name, mimeType: 'application/octet-stream', buffer: bytes });
    await drop('bundle', 'evidence.zip', readFileSync(bundleFile));
    expect(await page.locator('#check').isDisabled()).toBe(true);
    await drop('trust', 'trust.txt', Buffer.from(`${trust}\n`));
    await drop('earlier', 'checkpoint', Buffer.from(earlier));
    await page.locator('#check').click();
    await page.locator('#result h1').waitFor({ timeout: 60_000 });
    await page.locator('#check:not([disabled])').waitFor();
    if (process.env['PICTURES'] !== undefined)
      await page.screenshot({ path: join(process.env['PICTURES'], `${asked.length}.png`), fullPage: true });
    return {
      verdict: await page.locator('#result h1').innerText(),
      text: await page.locator('#result').innerText(),
    };
  }

  it('is proven as by the command, but for what is judged again', async () => {
    const { verdict, text } = await check(bundle);
    const { proven, onItsWord } = await verify(bundle, { earlier, evaluator: undefined });
    expect(verdict).toBe('Valid');
    for (const { claim, detail } of proven) expect(text).toContain(`${claim}\n${detail}`);
    for (const claim of onItsWord) expect(text).toContain(claim);
  }, 120_000);

  it('that was tampered with is refused as by the command, and what it says stays text', async () => {
    const path = join(folder, 'tampered.zip');
    for (const change of [
      (f: Map<string, Buffer>) => f.set('tile/entries/000', reorder(fileIn(f, 'tile/entries/000'))),
      (f: Map<string, Buffer>) => f.set(contentNames()[0], Buffer.from('other')),
      (f: Map<string, Buffer>) => f.set('<img src=x onerror=alert(1)>', Buffer.from('x')),
    ]) {
      const copy = new Map(files);
      change(copy);
      await zip(path, copy);
      const { fault } = await verify(path, { earlier, evaluator: undefined });
      const { verdict, text } = await check(path);
      expect(verdict).toBe('Invalid');
      expect(text).toContain(fault!.message);
    }
    expect(await page.locator('#result img').count()).toBe(0);
    expect(await check(bundle, 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW')).toMatchObject({
      verdict: 'Invalid',
    });
    expect(await check(bundle, 'no key')).toMatchObject({ verdict: 'Could not tell' });
    // It asked nobody for anything, and could not if it wanted to.
    expect(asked.filter((url) => !url.startsWith('file:'))).toEqual([]);
    await expect(page.evaluate(() => fetch('https://example.org/'))).rejects.toThrow('Failed to fetch');
  }, 120_000);
});
