import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder } from '../../src/adapters/folder/cache-folder.js';
import { exportSummaries, exportTiles } from '../../src/adapters/evidence/export.js';
import { openWitnessKey } from '../../src/adapters/keys/file.js';
import { PostgresCosigned } from '../../src/adapters/postgres/cosigned.js';
import { LogReader } from '../../src/adapters/postgres/log-storage.js';
import { openLogForReading } from '../../src/adapters/postgres/open-log.js';
import { HttpWitness } from '../../src/adapters/witness/client.js';
import { WitnessFiles } from '../../src/adapters/witness/memory-file.js';
import { serveWitness } from '../../src/adapters/witness/server.js';
import { parseCheckpoint } from '../../src/audit/checkpoint.js';
import { Cosigning } from '../../src/audit/cosigning.js';
import { parseVkey } from '../../src/audit/note.js';
import { parseTrust } from '../../src/audit/policy-file.js';
import { Witness } from '../../src/audit/witness.js';
import type { EntryDraft } from '../../src/audit/entry.js';
import type { JsonObject } from '../../src/cluster/object.js';
import { until } from '../support/cluster.js';
import type { TestLog } from '../support/log.js';
import { openTestLog, pushDraft } from '../support/log.js';
import { startPostgres } from '../support/postgres.js';
import type { TestPostgres } from '../support/postgres.js';

// Our log, read by golang.org/x/mod/sumdb/{tlog,note}, code that we did not write and that Go's checksum database runs on, by
// Tessera's fsck, and our witness by the cosignatures of Tessera's project.

let server: TestPostgres;
let log: TestLog;
let folder: string;

beforeAll(async () => {
  server = await startPostgres();
  log = await openTestLog(server);
  folder = mkdtempSync(join(tmpdir(), 'countersign-tlog-'));
});

afterAll(async () => {
  await log?.close();
  await server?.stop();
  rmSync(folder, { recursive: true });
});

const tlogCheck = (): string => goProgram('tlog-check');

/** A program of ours under test, built once per content of its sources. */
function goProgram(name: string): string {
  const source = `test/${name}`;
  const hash = createHash('sha256');
  for (const file of readdirSync(source).toSorted()) hash.update(readFileSync(join(source, file)));
  const cache = cacheFolder();
  const binary = join(cache, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (!existsSync(binary)) {
    mkdirSync(cache, { recursive: true });
    execFileSync('go', ['build', '-o', `${binary}.${process.pid}`, '.'], { cwd: source, stdio: 'inherit' });
    renameSync(`${binary}.${process.pid}`, binary);
  }
  return binary;
}

const base64 = (hashes: readonly string[]): string =>
  hashes.map((hash) => Buffer.from(hash, 'hex').toString('base64')).join(',') || '-';

/** Fails unless it does. */
async function agrees(name: string): Promise<string> {
  const path = join(folder, name);
  await exportTiles(log.ledger, log.keys, path, () => {});
  const size = await log.ledger.size();
  const given: string[] = [];
  for (let i = 0; i < size; i += Math.max(1, Math.floor(size / 40))) {
    const { proof, treeSize } = await log.ledger.inclusion(i);
    given.push(`inclusion ${i} ${treeSize} ${base64(proof)}`);
    if (i > 0) given.push(`consistency ${i} ${size} ${base64(await log.ledger.consistency(i, size))}`);
  }
  const input = `${given.join('\n')}\n`;
  const said = execFileSync(tlogCheck(), [path, log.keys.log.vkey], { input, encoding: 'utf8' });
  expect(said).toContain(`${size} entries, inclusion and consistency agree`);
  expect(said).toContain(`${given.length} given proofs agree`);
  return path;
}

describe("Go's tlog agrees with tiles, proofs and checkpoint", () => {
  it('at one entry, across the edge of a tile, and beyond', async () => {
    await agrees('one');
    await log.ledger.append(...Array.from({ length: 254 }, (_, n) => pushDraft(n)));
    await agrees('255');
    await log.ledger.append(pushDraft(0));
    await agrees('256');
    await log.ledger.append(pushDraft(1));
    await agrees('257');
    for (let i = 0; i < 5; i += 1) await log.ledger.append(...Array.from({ length: 101 }, (_, n) => pushDraft(n)));
    await agrees('762');
    expect(await log.ledger.size()).toBe(762);
  }, 300_000);

  it('with the signatures of two witnesses', async () => {
    const folders = ['w1', 'w2'].map((name) => join(folder, name));
    const cosigners = await Promise.all(folders.map((data, i) => openWitnessKey(data, `witness.example.org/w${i}`)));
    const servers = await Promise.all(
      cosigners.map((cosigner, i) =>
        serveWitness(
          new Witness([parseVkey(log.keys.log.vkey)], cosigner, new WitnessFiles(folders[i])),
          { host: '127.0.0.1', port: 0 },
          (error) => {
            throw error;
          },
        ),
      ),
    );
    try {
      const policy = cosigners.map(({ vkey }, i) => `witness w${i} ${vkey} ${servers[i].url}\n`).join('');
      const trust = parseTrust(`${policy}group both all w0 w1\nquorum both\n`, 'policy', parseVkey(log.keys.log.vkey));
      const cosigned = new PostgresCosigned(log.dataSource);
      const witnesses = [...trust.addresses].map(([key, address]) => new HttpWitness(key, address));
      const cosigning = new Cosigning(log.ledger, trust, witnesses, cosigned);
      expect(await cosigning.round()).toMatchObject({ quorumReached: true, faults: [] });
      await log.ledger.append(pushDraft(0));
      // One that starts anew learns from the witnesses what they saw last.
      expect(await new Cosigning(log.ledger, trust, witnesses, cosigned).round()).toMatchObject({
        quorumReached: true,
      });
      await log.ledger.append(pushDraft(0));
      expect(await cosigning.round()).toMatchObject({ quorumReached: true, faults: [] });
      const exportable = await openLogForReading(log.data, log.url);
      const path = join(folder, 'cosigned');
      await log.ledger.append(pushDraft(0));
      // Other readers are shown a checkpoint a moment after whoever appended.
      const newest = await log.ledger.size();
      await until(
        'the newest checkpoint is shown',
        async () => (await new LogReader(log.dataSource).released()).size === newest,
      );
      expect(await exportTiles(exportable, log.keys, path, () => {})).toMatchObject({ later: 1 });
      await exportable.close();
      const vkeys = cosigners.map(({ vkey }) => vkey);
      const args = [path, log.keys.log.vkey, ...vkeys];
      expect(execFileSync(tlogCheck(), args, { input: '', encoding: 'utf8' })).toContain('agree');

      // With one of the two away there is no quorum, and what was kept stays.
      await servers[1].close();
      const { quorumReached, faults } = await cosigning.round();
      expect([quorumReached, faults.map(({ code }) => code)]).toEqual([false, ['witness-unavailable']]);
      expect(parseCheckpoint((await cosigned.newest())!.split('\n\n')[0] + '\n').size).toBe(
        (await log.ledger.size()) - 1,
      );
    } finally {
      await Promise.all(servers.map((server) => server.close()));
    }
  }, 300_000);

  it('and refuses what we would refuse', async () => {
    const path = await agrees('changed');
    const tile = join(path, 'tile/entries/001');
    const bytes = readFileSync(tile);
    bytes[500] ^= 1;
    writeFileSync(tile, bytes);
    expect(() => execFileSync(tlogCheck(), [path, log.keys.log.vkey], { input: '', stdio: 'pipe' })).toThrow(
      'does not have the hash',
    );
  }, 300_000);
});

const decision = (outcome: string, more: JsonObject = {}): EntryDraft => ({
      type: 'decision',
      subjects: [],
      predicate: {
        id: `d-${outcome}`, repository: 'shop & söhne', environment: 'shop/production', ref: 'refs/heads/main', head: 'a'.repeat(40), outcome,
        renderedDigest: 'b'.repeat(64), bundleDigest: 'c'.repeat(64), time: '2026-07-01T00:00:00.000Z', approvals: ['x'], ...more,
      },
    }); // prettier-ignore

describe('the in-toto project agrees', () => {
  it('with verification summaries of what was allowed and what was denied', async () => {
    const advice = decision('allow', { advice: true });
    await log.ledger.append(decision('allow'), decision('deny'), decision('pending'), decision('error'), advice);
    const path = join(folder, 'summaries.jsonl');
    expect(await exportSummaries(log.ledger, log.keys, path, () => {})).toMatchObject({ summaries: 2 });
    const key = Buffer.from(log.keys.entries.publicKey).toString('base64');
    expect(execFileSync(goProgram('vsa-check'), [path, key], { encoding: 'utf8' })).toBe('1 PASSED, 1 FAILED\n');
    const forged = join(folder, 'forged.jsonl');
    const [line] = readFileSync(path, 'utf8').split('\n');
    const envelope = JSON.parse(line) as { payload: string };
    const payload = Buffer.from(envelope.payload, 'base64').toString().replace('refs/heads/main', 'refs/heads/evil');
    writeFileSync(forged, JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString('base64') }));
    expect(() => execFileSync(goProgram('vsa-check'), [forged, key], { stdio: 'pipe' })).toThrow('signature of line 1');
  }, 300_000);
});
