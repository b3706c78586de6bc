import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { exportBundle } from '../../src/adapters/evidence/export.js';
import { openFolder } from '../../src/adapters/evidence/folder.js';
import { CheckpointsRef, CHECKPOINTS_REF, readAnchors } from '../../src/adapters/git/checkpoints-ref.js';
import { openMirror } from '../../src/adapters/git/mirror.js';
import { folderFiles } from '../../src/adapters/log-files/folder.js';
import { s3Files } from '../../src/adapters/log-files/s3.js';
import { Anchoring } from '../../src/audit/anchoring.js';
import { openCheckpoint, signCheckpoint } from '../../src/audit/checkpoint.js';
import { ed25519Signer, sha256, utf8 } from '../../src/audit/crypto.js';
import { checkFiles, Findings } from '../../src/audit/fsck.js';
import { checkpointOf } from '../../src/audit/log-files.js';
import type { EndWork, Lease, Leases } from '../../src/audit/lease.js';
import type { MirroredLog, WritableLogFiles } from '../../src/audit/mirroring.js';
import { Mirroring } from '../../src/audit/mirroring.js';
import { noteSigner, parseVkey, type NoteVerifier } from '../../src/audit/note.js';
import { trustIn } from '../../src/audit/policy-file.js';
import { verifyEvidence } from '../../src/audit/verify.js';
import type { Config } from '../../src/config.js';
import { CountersignError } from '../../src/errors.js';
import { openLogDuties } from '../../src/service/log-duties.js';
import { runCli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import type { TestLog } from '../support/log.js';
import { openTestLog, pushDraft } from '../support/log.js';
import type { TestPostgres } from '../support/postgres.js';
import { startPostgres } from '../support/postgres.js';
import { startS3 } from '../support/s3-server.js';

// Copies and anchors: others that hold the log, catch up after an outage, and notice when it forgets or forks (invariant 3).

let server: TestPostgres;
let log: TestLog;
let folder: string;
let key: NoteVerifier;
let copied: MirroredLog;
const body = Buffer.from('what a decision was made of '.repeat(20));

const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();

function trustFile(): string {
  const path = join(folder, 'trust.txt');
  writeFileSync(path, `${log.keys.log.vkey}\n`);
  return path;
}

const grow = async (n: number): Promise<void> => {
  const contents = { input: { mediaType: 'text/plain', bytes: body, salted: true } };
  await log.ledger.append(...Array.from({ length: n - 1 }, (_, i) => pushDraft(i)));
  await log.ledger.append({ ...pushDraft(n), contents });
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-held-'));
  server = await startPostgres();
  log = await openTestLog(server);
  key = parseVkey(log.keys.log.vkey);
  const { ledger } = log;
  copied = {
    readTile: ledger.readTile,
    newest: () => ledger.checkpoint(),
    checkpoint: () => ledger.checkpoint(),
    storedDigests: (digests) => ledger.storedDigests(digests),
    storedContent: (digest) => ledger.storedContent(digest),
  };
});

afterAll(async () => {
  await log?.close();
  await server?.stop();
  rmSync(folder, { recursive: true });
});

/** The log as it was, in the hands of somebody who restored a backup. */
const older = (note: string): MirroredLog => ({ ...copied, newest: async () => note, checkpoint: async () => note });

async function wrongIn(files: WritableLogFiles): Promise<readonly unknown[]> {
  const findings = new Findings();
  await checkFiles(files, await checkpointOf(files, key), findings, { contents: true, progress: () => {} });
  return findings.all;
}

/** Fails the n-th call that changes something, before or after it took effect. */
function failing(files: WritableLogFiles, nth: number, after: boolean): WritableLogFiles {
  let calls = 0;
  const fault = new CountersignError('mirror-unavailable', 'out of order', { retry: true });
  return {
    ...files,
    write: async (name, bytes) => {
      const mine = (calls += 1);
      if (mine === nth && !after) throw fault;
      await files.write(name, bytes);
      if (mine === nth) throw fault;
    },
  };
}

describe.each(['a folder', 'an S3-compatible store'])('a copy in %s', (kind) => {
  let files: WritableLogFiles;
  let stop: (() => Promise<void>) | undefined;

  beforeAll(async () => {
    if (kind === 'a folder') files = folderFiles(join(folder, 'mirror'));
    else {
      const s3 = await startS3();
      const { endpoint } = s3;
      stop = () => s3.stop();
      const credentials = { accessKeyId: 'reader', secretAccessKey: 'secret' };
      files = await s3Files({ bucket: 'log', prefix: 'prod/log', endpoint, credentials });
    }
  });
  afterAll(() => stop?.());

  it('is whole after each round, catches up after being broken off at any write, and is never ahead', async () => {
    for (const [nth, after] of [
      [1, true],
      [2, false],
      [3, true],
    ] as const) {
      // prettier-ignore
      await grow(200);
      await expect(new Mirroring(copied, failing(files, nth, after), key).round()).rejects.toMatchObject({ code: 'mirror-unavailable' }); // prettier-ignore
      // What it shows is whole, also when it shows nothing yet.
      expect((await files.exists('checkpoint')) ? await wrongIn(files) : []).toEqual([]);
      await new Mirroring(copied, files, key).round();
      expect(await wrongIn(files)).toEqual([]);
      expect((await checkpointOf(files, key)).note).toBe(await log.ledger.checkpoint());
    }
    // Partial tiles go when the whole one is there.
    expect(await files.exists('tile/0/001.p/145')).toBe(false);
    expect(await files.exists('tile/0/001')).toBe(true);
  });

  it('refuses to follow a log that is shorter than it, or another one', async () => {
    const before = await log.ledger.checkpoint();
    await grow(2);
    const mirroring = new Mirroring(copied, files, key);
    await mirroring.round();
    await expect(new Mirroring(older(before), files, key).check()).rejects.toMatchObject({
      code: 'log-behind',
      message: expect.stringMatching(/the copy in .* has \d+ entries of this log, which now shows/) as string,
    });
    const other = noteSigner('log.example.org/other', ed25519Signer(sha256(utf8('other'))));
    const root = sha256(utf8('x'));
    const note = await signCheckpoint({ origin: 'log.example.org/other', size: 3, root }, other);
    await expect(new Mirroring(older(note), files, parseVkey(other.vkey)).round()).rejects.toMatchObject({ code: 'config-invalid' }); // prettier-ignore
  });
});

it('a copy is evidence as it is, contents included', async () => {
  const evidence = await openFolder(join(folder, 'mirror'));
  const { fault, proven } = await verifyEvidence(evidence, { trust: trustIn(key) });
  expect(fault).toBeUndefined();
  expect(JSON.stringify(proven)).toMatch(/\d+ contents, as their entries name them/);
});

it('says what is wrong when the store is away, and what to check', async () => {
  const files = await s3Files({ bucket: 'log', prefix: '', endpoint: 'http://127.0.0.1:9', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } }); // prettier-ignore
  await expect(new Mirroring(copied, files, key).round()).rejects.toMatchObject({
    code: 'mirror-unavailable',
    retry: true,
  });
}, 60_000);

describe('checkpoints anchored in the governed repository', () => {
  let remote: string;
  let clone: string;
  let place: CheckpointsRef;

  beforeAll(async () => {
    [remote, clone] = [join(folder, 'shop.git'), join(folder, 'clone')];
    git('init', '-q', '--bare', remote);
    const options = { url: `file://${remote}`, refs: ['refs/heads/main'] };
    const mirror = await openMirror(join(folder, 'mirrors', 'shop.git'), options);
    await mirror.close();
    place = new CheckpointsRef(join(folder, 'mirrors', 'shop.git'), options, log.keys.origin);
    git('clone', '-q', remote, clone);
  });
  const fetch = (): string => git('-C', clone, 'fetch', '-q', 'origin', `+${CHECKPOINTS_REF}:${CHECKPOINTS_REF}`);

  it('are pushed when the log has grown, each on top of the last, beside those of other logs', async () => {
    const anchoring = new Anchoring(copied, place, key);
    const first = await anchoring.round();
    expect(await anchoring.round()).toBe(first);
    const options = { url: `file://${remote}`, refs: ['refs/heads/main'] };
    const neighbour = new CheckpointsRef(join(folder, 'mirrors', 'shop.git'), options, 'log.example.org/neighbour');
    expect(await neighbour.newest()).toBeUndefined();
    await neighbour.add('not ours\n', 3);
    await grow(3);
    expect(await anchoring.round()).toBe(first + 3);
    fetch();
    const anchors = await readAnchors(clone, log.keys.origin);
    expect(anchors.map(({ note }) => openCheckpoint(note, key).size)).toEqual([first + 3, first]);
    expect(await neighbour.newest()).toBe('not ours\n');
    expect(git('-C', clone, 'rev-list', '--count', CHECKPOINTS_REF)).toBe('3');
  });

  it('let an auditor with a clone see that evidence was not rolled back or forked', async () => {
    const bundle = join(folder, 'evidence.zip');
    await exportBundle(log.ledger, log.keys, bundle, () => {});
    const args = ['--trust', trustFile(), '--repository', clone, '--no-replay'];
    const good = await runCli(['verify', bundle, ...args]);
    expect([good.code, good.stdout]).toEqual([
      0,
      expect.stringContaining('consistent with 2 checkpoints anchored in Git'),
    ]);

    await grow(2);
    await new Anchoring(copied, place, key).round();
    fetch();
    const rolledBack = await runCli(['verify', bundle, ...args]);
    expect(rolledBack.code).toBe(1);
    expect(rolledBack.stdout).toMatch(/the log had [\d,]+ entries by the checkpoint anchored in \S+, commit [0-9a-f]{12}, this evidence has/); // prettier-ignore

    const bare = join(folder, 'bare-clone');
    git('clone', '-q', remote, bare);
    const without = await runCli(['verify', bundle, '--trust', trustFile(), '--repository', bare]);
    expect([without.code, without.stderr]).toEqual([
      2,
      expect.stringContaining(`+${CHECKPOINTS_REF}:${CHECKPOINTS_REF}`),
    ]);
  });

  it('are told apart from what a stranger put there, and refuse a log that is behind them or forked', async () => {
    const before = (await readAnchors(clone, log.keys.origin)).at(-1)!.note;
    await expect(new Anchoring(older(before), place, key).round()).rejects.toMatchObject({ code: 'log-behind' });
    const stranger = noteSigner(log.keys.origin, ed25519Signer(sha256(utf8('stranger'))));
    const tree = { origin: log.keys.origin, size: 5, root: sha256(utf8('x')) };
    await place.add(await signCheckpoint(tree, stranger), 5);
    await expect(new Anchoring(copied, place, key).round()).rejects.toMatchObject({ code: 'note-invalid' });
    fetch();
    const bundle = join(folder, 'newest.zip');
    await exportBundle(log.ledger, log.keys, bundle, () => {});
    const args = ['verify', bundle, '--trust', trustFile(), '--repository', clone, '--no-replay'];
    const told = await runCli(args);
    expect([told.code, told.stdout, told.stderr]).toEqual([
      0,
      expect.stringContaining('is not signed by this log'),
      '',
    ]);

    await place.add(await signCheckpoint(tree, log.keys.log), 5);
    await expect(new Anchoring(copied, place, key).round()).rejects.toMatchObject({ code: 'log-behind', message: expect.stringContaining('forked') as string }); // prettier-ignore
    fetch();
    const forked = await runCli(args);
    expect([forked.code, forked.stdout]).toEqual([
      1,
      expect.stringMatching(/forked: its first 5 entries .* anchored in/),
    ]);
  });

  it('are pushed to each repository at once, by the one instance whose duty it is, while the others look', async () => {
    const remotes = ['one', 'two'].map((name) => join(folder, `${name}.git`));
    for (const path of remotes) git('init', '-q', '--bare', path);
    const config = {
      data: folder,
      log: { origin: log.keys.origin },
      repositories: remotes.map((path) => ({ name: basename(path, '.git'), url: `file://${path}`, refs: [], anchorMilliseconds: 3_600_000 })), // prettier-ignore
    } as unknown as Pick<Config, 'data' | 'log' | 'repositories'>;
    for (const { name, url } of config.repositories)
      await (await openMirror(join(folder, 'mirrors', `${name}.git`), { url, refs: [] })).close();
    // Whoever has the lease of everything, and whoever has none.
    const shared = new Map<string, EndWork>();
    const all: Leases = {
      share: (kind, name, begin) => {
        const lease: Lease = { kind, name, epoch: 1, held: true, fence: () => Promise.resolve() };
        void begin(lease).then((end) => shared.set(name, end));
        return { lease, withdraw: () => shared.get(name)!() };
      },
    };
    const none: Leases = { share: () => ({ lease: null, withdraw: () => Promise.resolve() }) };
    const [holder, other] = await Promise.all([all, none].map((leases) => openLogDuties(config, log.keys, leases, copied, () => {}))); // prettier-ignore
    other.start();
    await other.stop();
    expect(remotes.map((path) => git('-C', path, 'for-each-ref', CHECKPOINTS_REF))).toEqual(['', '']);
    holder.start();
    await eventually('both to have the checkpoint', async () => remotes.every((path) => git('-C', path, 'for-each-ref', CHECKPOINTS_REF) !== '')); // prettier-ignore
    expect([...shared.keys()]).toEqual(['anchor one', 'anchor two']);
    await holder.stop();

    // One that has no duty notices all the same what a place holds.
    const [{ note }] = await readAnchors(remotes[0], log.keys.origin);
    const watching = await openLogDuties(config, log.keys, none, older(note), () => {});
    await log.ledger.append(pushDraft(1));
    const place = new CheckpointsRef(join(folder, 'mirrors', 'one.git'), config.repositories[0], log.keys.origin);
    await place.add(await log.ledger.checkpoint(), await log.ledger.size());
    watching.start();
    await eventually('that to be noticed', async () => watching.faults().some(({ code }) => code === 'log-behind'));
    await watching.stop();
  });

  it('are not pushed where that is not allowed, and the service says so', async () => {
    const hook = join(remote, 'hooks/pre-receive');
    writeFileSync(hook, '#!/bin/sh\necho nobody may push this >&2\nexit 1\n');
    chmodSync(hook, 0o755);
    await expect(place.add('x', 1)).rejects.toMatchObject({ code: 'git-failed', remedy: expect.stringContaining(CHECKPOINTS_REF) as string }); // prettier-ignore
    expect(existsSync(hook) && readFileSync(hook, 'utf8')).toContain('nobody');
  });
});
