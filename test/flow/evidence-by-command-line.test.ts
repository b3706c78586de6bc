import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKeys } from '../../src/adapters/keys/file.js';
import { openDatabase } from '../../src/adapters/postgres/connect.js';
import { openLedger } from '../../src/adapters/postgres/ledger.js';
import { pushDraft, TestJudge } from '../support/log.js';
import { unzip, zip } from '../support/zip.js';

// keys, export and verify as people type them, beside a running service's data and a stopped one's.

let data: string;
let work: string;
let trust: string;
let stop: () => Promise<void>;

function cli(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, NODE_OPTIONS: '' };
    execFile(process.execPath, ['dist/cli/main.js', ...args], { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err });
    });
  });
}

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'countersign-cli-data-'));
  work = mkdtempSync(join(tmpdir(), 'countersign-cli-'));
  trust = join(work, 'trust.txt');
  const dataSource = await openDatabase({ data });
  const keys = await openKeys({ data, origin: 'log.example.org/cli' });
  const ledger = await openLedger({ dataSource, keys, dataDir: data });
  await ledger.append(...Array.from({ length: 300 }, (_, n) => pushDraft(n)));
  const contents = { note: { mediaType: 'text/plain', bytes: Buffer.from('a name'), salted: true } };
  await ledger.append({ ...pushDraft(1), contents });
  const judge = await TestJudge.open();
  await ledger.append(...[0, 1, 2].map((i) => ({ ...pushDraft(i), predicate: { id: `push-d${i}` } })));
  await ledger.append(...(await Promise.all([3, 9, 4].map((replicas, i) => judge.decision(`d${i}`, replicas)))));
  await judge.close();
  stop = async () => {
    await ledger.close();
    await dataSource.destroy();
  };
}, 60_000);

afterAll(() => {
  for (const folder of [data, work]) rmSync(folder, { recursive: true });
});

const altered = (line: string): string => {
  const envelope = JSON.parse(line) as { payload: string };
  const payload = Buffer.from(envelope.payload, 'base64').toString().replace('FAILED', 'PASSED');
  return JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString('base64') });
};

it('exports beside the running service, and from its folder when it has stopped; verify accepts both and refuses a changed one', async () => {
  const keys = await cli('keys', '--data', data, '--vkey');
  expect(keys.out).toMatch(/^log\.example\.org\/cli\+[0-9a-f]{8}\+\S+\n$/);
  writeFileSync(trust, keys.out);

  const running = join(work, 'running.zip');
  expect(await cli('export', '--data', data, '--format', 'bundle', '--to', running)).toMatchObject({ code: 0 });
  const replayed = await cli('replay', '--data', data, '--output', 'json');
  expect([replayed.code, JSON.parse(replayed.out)]).toEqual([0, expect.objectContaining({ replayed: 3, differ: 0, with: 'countersign' })]); // prettier-ignore
  const second = await cli('replay', '--bundle', running, '--range', '306-307', '--with', 'opa-wasm');
  expect([second.code, second.out]).toEqual([0, expect.stringMatching(/^2 decisions replayed, all equal/)]);
  expect((await cli('replay', '--bundle', running, '--range', '306-308')).err).toContain('entries 0-307');
  await stop();
  const stopped = join(work, 'tiles');
  const exported = await cli('export', '--data', data, '--format', 'tiles', '--to', stopped, '--output', 'json');
  expect(JSON.parse(exported.out)).toMatchObject({ size: 308, origin: 'log.example.org/cli' });

  for (const path of [running, stopped]) {
    const { code, out } = await cli('verify', path, '--trust', trust);
    expect(out).toContain('entries 0 … 307 complete and unaltered');
    expect(out).toContain('resting on the word of the service');
    expect(out).toContain('nothing was sent anywhere');
    expect(code).toBe(0);
  }

  // A reader of one environment: every leaf, what belongs to its repository, and no decision of another environment.
  const limited = join(work, 'limited.zip');
  const bounds = ['--repository', 'shop', '--environment', 'shop/staging'];
  expect(await cli('export', '--data', data, '--to', limited, ...bounds)).toMatchObject({ code: 0 });
  const bounded = await cli('verify', limited, '--trust', trust);
  expect([bounded.code, bounded.out]).toEqual([0, expect.stringContaining('entries 0 … 307 complete and unaltered')]);
  expect(bounded.out).toContain('of what is not for the reader of this bundle; their digests stay');
  expect(bounded.out).toContain('3 decisions that could not be replayed, because what they were made of is not for the reader'); // prettier-ignore
  const theirs = await unzip(limited);
  const bodies = [...theirs.keys()].filter((name) => name.startsWith('content/'));
  expect(bodies.some((name) => theirs.get(name)?.includes('a name'))).toBe(true);
  expect([...theirs.values()].some((bytes) => bytes.includes('replicas'))).toBe(false);
  // What is for them may not be left out.
  theirs.delete(bodies.find((name) => theirs.get(name)?.includes('a name')) ?? '');
  const less = join(work, 'less.zip');
  await zip(less, theirs);
  const short = await cli('verify', less, '--trust', trust);
  expect([short.code, short.out]).toEqual([1, expect.stringContaining('a content that entry 301 names is missing')]);

  const summaries = join(work, 'vsa.jsonl');
  const vsa = await cli('export', '--data', data, '--format', 'vsa', '--to', summaries);
  expect([vsa.code, vsa.out]).toEqual([0, expect.stringContaining('exported 3 verification summaries of 308 entries')]);
  const said = await cli('verify', running, '--trust', trust, '--no-replay', '--vsa', summaries);
  expect([said.code, said.out]).toEqual([0, expect.stringContaining(`3 verification summaries in ${summaries}`)]);
  const lines = readFileSync(summaries, 'utf8').trimEnd().split('\n');
  for (const [forged, wrong] of [
    [lines.map(altered), 'says something else than the decision of entry'],
    [
      lines.map((line) => line.replace(/"sig":"..../, '"sig":"AAAA')),
      'line 1 is not signed by a key that the log names',
    ],
    [lines.toReversed(), 'is of no decision of this log, or stands before'],
    [['{}'], 'line 1 cannot be read'],
  ] as const) {
    writeFileSync(summaries, forged.join('\n'));
    const refused = await cli('verify', running, '--trust', trust, '--no-replay', '--vsa', summaries);
    expect([refused.code, refused.out]).toEqual([1, expect.stringContaining(wrong)]);
  }

  const proof = join(work, 'entry.tlog-proof');
  expect(await cli('export', '--data', data, '--format', 'proof', '--entry', '301', '--to', proof)).toMatchObject({ code: 0 }); // prettier-ignore
  const proven = await cli('verify', proof, '--trust', trust);
  expect([proven.code, proven.out]).toEqual([0, expect.stringContaining('entry 301, push of ')]);
  writeFileSync(proof, readFileSync(proof, 'utf8').replace('index 301', 'index 300'));
  expect(await cli('verify', proof, '--trust', trust)).toMatchObject({ code: 1, out: expect.stringMatching(/entry 300 is not in the log.*\ninvalid {3}do not rely on this proof\n$/) as string }); // prettier-ignore
  expect(await cli('export', '--data', data, '--format', 'proof', '--entry', '308', '--to', proof)).toMatchObject({ code: 2 }); // prettier-ignore

  const files = await unzip(running);
  const content = [...files.keys()].find((name) => name.startsWith('content/') && files.get(name)?.includes('a name'));
  files.set(content ?? '', Buffer.from('another name'));
  const changed = join(work, 'changed.zip');
  await zip(changed, files);
  const refused = await cli('verify', changed, '--trust', trust);
  expect(refused.code).toBe(1);
  expect(refused.out).toContain(`✗ ${content}  a content that entry 301 names was changed`);
  const json = await cli('verify', changed, '--trust', trust, '--output', 'json');
  expect(JSON.parse(json.out)).toMatchObject({ valid: false, fault: { code: 'bundle-invalid', file: content } });

  writeFileSync(join(work, 'no.zip'), 'no zip');
  expect(await cli('verify', join(work, 'no.zip'), '--trust', trust)).toMatchObject({ code: 1 });
  expect(await cli('verify', join(work, 'away.zip'), '--trust', trust)).toMatchObject({ code: 2 });
  expect(await cli('verify', running, '--trust', running)).toMatchObject({ code: 2 });
  const empty = await cli('export', '--data', work, '--to', join(work, 'x.zip'));
  expect(empty).toMatchObject({ code: 2 });
  expect(empty.err).toContain('no keys');
}, 120_000);
