import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSource, EntityManager } from 'typeorm';
import { startPostgres } from '../../../test/support/postgres.js';
import type { TestPostgres } from '../../../test/support/postgres.js';
import { unzip, zip } from '../../../test/support/zip.js';
import { openCheckpoint, parseCheckpoint, signCheckpoint } from '../../audit/checkpoint.js';
import { ed25519Signer, sha256, utf8 } from '../../audit/crypto.js';
import type { EntryDraft } from '../../audit/entry.js';
import type { KeyRing } from '../../audit/keys.js';
import { consistencyHolds, rootOf } from '../../audit/merkle.js';
import { bothSign, noteSigner, parseNote, parseVkey } from '../../audit/note.js';
import { trustIn } from '../../audit/policy-file.js';
import { verifyInclusion } from '../../audit/proof.js';
import { serveTile } from '../../audit/serve.js';
import { contentsOf } from '../../audit/statement.js';
import { decodeEntries } from '../../audit/tiles.js';
import { verifyEvidence } from '../../audit/verify.js';
import type { Verification } from '../../audit/verify.js';
import { exportBundle } from '../evidence/export.js';
import { openZip } from '../evidence/zip.js';
import { openKeys } from '../keys/file.js';
import { beginRotation, finishRotation } from '../keys/rotation.js';
import { openDatabase } from './connect.js';
import { openLedger } from './ledger.js';
import type { PostgresLedger } from './ledger.js';
import { Lease } from './lease.js';

const draft = (n: number): EntryDraft => ({ type: 'push', subjects: [], predicate: { n } });

const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

describe.each(['embedded', 'installed'] as const)('ledger on the %s PostgreSQL', (kind) => {
  let server: TestPostgres | undefined;
  let data: string;
  let dataSource: DataSource;
  let keys: KeyRing;
  let ledger: PostgresLedger;

  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), 'countersign-ledger-'));
    if (kind === 'installed') server = await startPostgres();
    dataSource = await openDatabase(server ? { url: await server.database() } : { data });
    await dataSource.query('CREATE TABLE note (text text)');
    keys = await openKeys({ data, origin: 'log.example.org/test' });
    ledger = await openLedger({ dataSource, keys, dataDir: data });
  });

  afterAll(async () => {
    await ledger?.close();
    await dataSource?.destroy();
    await server?.stop();
    rmSync(data, { recursive: true });
  });

  it('begins with the key that signs its entries', async () => {
    expect(await ledger.size()).toBe(1);
    expect(await ledger.entry(0)).toMatchObject({ type: 'key', predicate: { use: 'entry-signing' } });
  });

  it('records rows and entries together, and answers with proven entries', async () => {
    const { value, entries } = await ledger.record(async (transaction) => {
      await (transaction.handle as EntityManager).query(`INSERT INTO note VALUES ('one')`);
      transaction.append(draft(1));
      transaction.append(draft(2));
      return 'done';
    });
    expect(value).toBe('done');
    expect(entries.map((entry) => entry.predicate['n'])).toEqual([1, 2]);
    expect(entries[1].index).toBe(entries[0].index + 1);
    const trust = trustIn(parseVkey(keys.log.vkey));
    for (const { index, leafHash } of entries) {
      expect(verifyInclusion(await ledger.inclusion(index), trust).entry.leafHash).toBe(leafHash);
    }
    expect(await dataSource.query('SELECT * FROM note')).toHaveLength(1);
  });

  it('records nothing if the work throws, and hands on what it threw', async () => {
    const size = await ledger.size();
    const fault = new Error('changed my mind');
    const attempt = ledger.record(async (transaction) => {
      await (transaction.handle as EntityManager).query(`INSERT INTO note VALUES ('two')`);
      transaction.append(draft(3));
      throw fault;
    });
    await expect(attempt).rejects.toBe(fault);
    expect(await ledger.size()).toBe(size);
    expect(await dataSource.query('SELECT * FROM note')).toHaveLength(1);
  });

  it('acknowledges an append on an idle service within 30 ms, or 12 commits where the machine is busy', async () => {
    const times: number[] = [];
    const commits: number[] = [];
    for (let n = 0; n < 21; n += 1) {
      let start = performance.now();
      await ledger.record(async (transaction) => transaction.append(draft(n)));
      times.push(performance.now() - start);
      start = performance.now();
      await dataSource.query('INSERT INTO note VALUES ($1)', [`commit ${n}`]);
      commits.push(performance.now() - start);
    }
    expect(median(times)).toBeLessThan(Math.max(30, 12 * median(commits)));
  });

  it('stays consistent through 300 entries from 64 callers, beyond a full tile', async () => {
    const log = parseVkey(keys.log.vkey);
    const before = openCheckpoint(await ledger.checkpoint(), log);
    let n = 0;
    const indexes: number[] = [];
    const caller = async (): Promise<void> => {
      while (n < 300) {
        const mine = (n += 1);
        const [entry] =
          mine % 2 === 0
            ? await ledger.append(draft(mine))
            : (await ledger.record(async (t) => t.append(draft(mine)))).entries;
        expect(entry.predicate['n']).toBe(mine);
        indexes.push(entry.index);
      }
    };
    await Promise.all(Array.from({ length: 64 }, caller));
    expect(new Set(indexes).size).toBe(indexes.length);
    const after = openCheckpoint(await ledger.checkpoint(), log);
    const hashes: Buffer[] = [];
    for await (const entry of ledger.entries(0, after.size)) hashes.push(Buffer.from(entry.leafHash, 'hex'));
    expect(Buffer.from(rootOf(hashes)).equals(after.root)).toBe(true);
    const proof = (await ledger.consistency(before.size, after.size)).map((hash) => Buffer.from(hash, 'hex'));
    expect(consistencyHolds(before.size, after.size, before.root, after.root, proof)).toBe(true);
  });

  it('serves the tiles of the released tree, and nothing else', async () => {
    const size = await ledger.size();
    const width = size - 256;
    expect((await serveTile(ledger, 'tile/0/000'))?.length).toBe(256 * 32);
    expect((await serveTile(ledger, `tile/0/001.p/${width}`))?.length).toBe(width * 32);
    expect((await serveTile(ledger, 'tile/1/000.p/1'))?.length).toBe(32);
    expect(decodeEntries((await serveTile(ledger, 'tile/entries/000')) ?? new Uint8Array(), 256)).toHaveLength(256);
    for (const path of [
      'tile/0/001',
      `tile/0/001.p/${width + 1}`,
      'tile/1/000',
      'tile/2/000.p/1',
      '../keys',
      'tile/0/x',
    ]) {
      expect(await serveTile(ledger, path)).toBeUndefined();
    }
  });

  it('stores contents once, compressed, salted ones apart, and notices when one was changed', async () => {
    const bytes = Buffer.from('a policy input '.repeat(100));
    const contents = {
      input: { mediaType: 'text/plain', bytes, salted: false },
      who: { mediaType: 'text/plain', bytes, salted: true },
    };
    const [first, second] = await ledger.append({ ...draft(0), contents }, { ...draft(1), contents });
    const [a, b] = [contentsOf(first.predicate), contentsOf(second.predicate)];
    expect(a.get('input')).toEqual(b.get('input'));
    expect(a.get('who')!.sha256).not.toBe(b.get('who')!.sha256);
    expect((await ledger.content(a.get('input')!)).equals(bytes)).toBe(true);
    expect((await ledger.content(a.get('who')!)).equals(bytes)).toBe(true);
    const digest = Buffer.from(a.get('input')!.sha256, 'hex');
    await dataSource.query(`UPDATE content SET encoding = 'identity', bytes = 'other' WHERE digest = $1`, [digest]);
    await expect(ledger.content(a.get('input')!)).rejects.toMatchObject({ code: 'content-corrupt' });
    await dataSource.query('DELETE FROM content WHERE digest = $1', [digest]);
    await expect(ledger.content(a.get('input')!)).rejects.toMatchObject({ code: 'content-missing' });
  });

  it('answers several questions at once on the connection that holds the log, whatever becomes of one', async () => {
    await ledger.close();
    const lease = (await Lease.tryAcquire(dataSource, () => undefined))!;
    try {
      const asked = [1, 2, 3, 4].map((n) => lease.connection.query<{ n: number }[]>('SELECT $1::int AS n', [n]));
      const refused = lease.connection.query('SELECT 1 / $1::int', [0]);
      await expect(refused).rejects.toThrow('division by zero');
      expect((await Promise.all(asked)).map(([{ n }]) => n)).toEqual([1, 2, 3, 4]);
      expect(await lease.connection.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    } finally {
      await lease.release();
      ledger = await openLedger({ dataSource, keys, dataDir: data });
    }
  });

  it('goes on where it was when opened again', async () => {
    const size = await ledger.size();
    await ledger.close();
    ledger = await openLedger({ dataSource, keys, dataDir: data });
    expect(await ledger.size()).toBe(size);
    const [entry] = await ledger.append(draft(9));
    expect(entry.index).toBe(size);
  });

  it('shares one log with a second instance, which stages while the first sequences, and takes over', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'countersign-second-'));
    const second = await openLedger({ dataSource, keys, dataDir: elsewhere });
    const size = await ledger.size();
    const entries = await Promise.all([second.append(draft(1)), ledger.append(draft(2)), second.append(draft(3))]);
    expect(
      entries
        .flat()
        .map((entry) => entry.index)
        .toSorted((a, b) => a - b),
    ).toEqual([size, size + 1, size + 2]);
    await ledger.close();
    const [after] = await second.append(draft(4));
    expect(after.index).toBe(size + 3);
    await second.close();
    ledger = await openLedger({ dataSource, keys, dataDir: data });
    rmSync(elsewhere, { recursive: true });
  });

  it('lets its key be followed by another, which whoever holds only the old one can tell from a forged one', async () => {
    const before = keys;
    await beginRotation(join(data, 'keys'), keys.origin);
    const reopen = async (): Promise<void> => {
      await ledger.close();
      keys = await openKeys({ data });
      ledger = await openLedger({ dataSource, keys, dataDir: data });
    };
    await reopen();
    const size = await ledger.size();
    await reopen(); // names nothing twice
    expect(await ledger.size()).toBe(size);
    expect((await ledger.entry(size - 1)).predicate).toMatchObject({ phase: 'next', vkey: keys.next!.vkey });
    await finishRotation(join(data, 'keys'), keys.origin);
    await reopen();
    await ledger.append(draft(10));
    expect(keys.log.vkey).not.toBe(before.log.vkey);

    const path = join(data, `rotated-${kind}.zip`);
    await exportBundle(ledger, keys, path, () => undefined);
    const files = await unzip(path);
    const verify = async (vkey: string, changed = files): Promise<Verification> => {
      await zip(join(data, 'changed.zip'), changed);
      const evidence = await openZip(join(data, 'changed.zip'));
      try {
        return await verifyEvidence(evidence, { trust: trustIn(parseVkey(vkey)) });
      } finally {
        await evidence.close();
      }
    };
    for (const vkey of [before.log.vkey, keys.log.vkey]) {
      const { fault, proven } = await verify(vkey);
      expect(fault).toBeUndefined();
      expect(proven.some(({ claim }) => claim.includes('handed over once'))).toBe(vkey === before.log.vkey);
    }
    // A thief of the next key alone, and somebody else's handover.
    const stranger = noteSigner(keys.origin, ed25519Signer(sha256(utf8('stranger'))));
    const own = parseCheckpoint(parseNote(keys.handovers[0]).text);
    const forged = [
      await signCheckpoint(own, keys.log),
      await signCheckpoint(own, stranger),
      await signCheckpoint({ ...own, root: sha256(utf8('x')) }, bothSign(before.log, stranger)),
    ];
    const said = ['trusted key', 'trusted key', 'forked'];
    for (const [i, note] of forged.entries()) {
      const { fault } = await verify(before.log.vkey, new Map([...files, ['handover/1', Buffer.from(note)]]));
      expect(fault?.message).toContain(said[i]);
    }
    const without = new Map(files);
    without.delete('handover/1');
    expect((await verify(before.log.vkey, without)).fault?.message).toContain('trusted key');
  });
});
