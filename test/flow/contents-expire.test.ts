import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportBundle } from '../../src/adapters/evidence/export.js';
import { openZip } from '../../src/adapters/evidence/zip.js';
import { contentsNaming, erase } from '../../src/adapters/postgres/erase.js';
import { addLegalHold, legalHolds, logLegalHolds, releaseLegalHold } from '../../src/adapters/postgres/legal-holds.js';
import { removeExpired } from '../../src/adapters/postgres/retain.js';
import type { EntryDraft } from '../../src/audit/entry.js';
import { parseTrust } from '../../src/audit/policy-file.js';
import { contentsOf } from '../../src/audit/statement.js';
import { verifyEvidence } from '../../src/audit/verify.js';
import { Subject } from '../../src/review/subject.js';
import { runCli } from '../support/cli.js';
import { openTestLog, type TestLog } from '../support/log.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

// What had to be kept so long is removed by rule, told in the log and by verify; nothing under a legal hold is, by whatever way.

let server: TestPostgres;
let log: TestLog;
let folder: string;

beforeAll(async () => {
  server = await startPostgres();
  log = await openTestLog(server);
  folder = mkdtempSync(join(tmpdir(), 'countersign-expire-'));
}, 60_000);
afterAll(async () => {
  await log?.close();
  await server?.stop();
  rmSync(folder, { recursive: true });
});

const DAY = 86_400_000;
const text = (words: string, salted = true) => ({ mediaType: 'text/plain', bytes: Buffer.from(words), salted });
const decision = (id: string, repository: string, environment: string, more: Record<string, string> = {}): EntryDraft => ({
  type: 'decision',
  subjects: [],
  predicate: { id, repository, environment, outcome: 'allow' },
  contents: {
    input: text(`input of ${id} ${more['who'] ?? ''}`),
    rendered: text(`rendered of ${id}`),
    policy: text('the policy', false),
  },
}); // prettier-ignore
const later = (days: number): Date => new Date(Date.now() + days * DAY);
const expire = (retention: Record<string, number>, days: number) =>
  removeExpired(log.dataSource, log.ledger, retention, later(days));

/** Roles of the decision's contents that are there still. */
async function left(id: string): Promise<readonly string[]> {
  for await (const entry of log.ledger.entries(0, await log.ledger.size())) {
    if (entry.predicate['id'] !== id) continue;
    const contents = [...contentsOf(entry.predicate)];
    const stored = await log.ledger.storedDigests(contents.map(([, { sha256 }]) => sha256));
    return contents.filter(([, { sha256 }]) => stored.has(sha256)).map(([role]) => role).toSorted(); // prettier-ignore
  }
  return [];
}

async function verified(name: string) {
  const path = join(folder, `${name}.zip`);
  await exportBundle(log.ledger, log.keys, path, () => {});
  const evidence = await openZip(path);
  const found = await verifyEvidence(evidence, { trust: parseTrust(log.keys.log.vkey, 'ours') });
  await evidence.close();
  return { fault: found.fault?.message, contents: found.proven.find(({ claim }) => claim.includes('content'))?.detail };
}

const refusal = async (...args: string[]) => (await runCli(['legal-hold', ...args, '--data', log.data, '--database', log.url, '--reason', 'r', '--by', 'b'])).stderr; // prettier-ignore

it('removes what was kept long enough, by kind, and says so; leaves and proofs stay', async () => {
  await log.ledger.append(decision('old', 'shop', 'shop/production'));
  expect(await expire({ inputs: 30 * DAY }, 29)).toEqual({ removed: 0, held: 0 });
  const before = await log.ledger.size();
  expect(await expire({ inputs: 30 * DAY }, 31)).toEqual({ removed: 1, held: 0 });
  expect(await left('old')).toEqual(['policy', 'rendered']);
  const told = await log.ledger.entry(before);
  expect([told.type, told.predicate]).toMatchObject(['erasure', { by: 'retention', count: 1, rules: [{ kind: 'inputs', days: 30, count: 1 }] }]); // prettier-ignore
  expect(await verified('expired')).toEqual({
    fault: undefined,
    contents: '1 withheld by retention, as 1 removal in the log says; their digests stay',
  });
  expect(await runCli(['fsck', '--data', log.data, '--database', log.url])).toMatchObject({ code: 0 });
  // A second time there is nothing to do, and nothing to say.
  expect(await expire({ inputs: 30 * DAY }, 31)).toEqual({ removed: 0, held: 0 });
  expect(await log.ledger.size()).toBe(before + 1);
}, 60_000);

it('keeps what an environment stands by, and what a later entry names, too', async () => {
  await log.ledger.append(decision('live', 'shop', 'shop/production'), decision('other', 'shop', 'shop/production'));
  const size = await log.ledger.size();
  await log.dataSource.query(
    `INSERT INTO decision (id, change, repository, environment, outcome, violations, warnings, required, rules_run, rules_passed, bundle_digest, wasm_digest, input_digest, result_digest, time, milliseconds, log_index)
     VALUES ('live', 'c', 'shop', 'shop/production', 'allow', '[]', '[]', '[]', 0, 0, 'b', 'w', 'i', 'r', now(), 1, $1)`,
    [size - 2],
  );
  await log.dataSource.query(
    `INSERT INTO environment (repository, name, path, ref, labels, ignore, approved, approved_decision, head, no_longer_compliant, status, updated_at)
     VALUES ('shop', 'shop/production', '.', 'refs/heads/main', '{}', '[]', 'c0', 'live', 'c0', false, 'synced', now())`,
  );
  // Without a salt the two name one content.
  const same = { rendered: text('the same', false) };
  const shared = { ...decision('shared', 'shop', 'shop/production'), contents: same };
  await log.ledger.append(shared, { type: 'fault', subjects: [], predicate: { id: 'f1' }, contents: { trouble: same.rendered } }); // prettier-ignore
  const retention = { inputs: 30 * DAY, rendered: 30 * DAY, faults: 400 * DAY };
  expect(await expire(retention, 31)).toMatchObject({ held: 0 });
  expect([await left('live'), await left('other'), await left('shared')]).toEqual([['input', 'policy', 'rendered'], ['policy'], ['rendered']]); // prettier-ignore
  expect(await expire(retention, 401)).toMatchObject({ removed: 1 });
  expect(await left('shared')).toEqual([]);
}, 60_000);

it('lets a hold beat retention, by its scope, until its release is in the log', async () => {
  await log.ledger.append(
    decision('p1', 'payroll', 'payroll/production'),
    decision('p2', 'payroll', 'payroll/staging', { who: 'ann@example.org' }),
    decision('p3', 'payroll', 'payroll/staging'),
  );
  const { dataSource, ledger } = log;
  const cli = (...args: string[]) => runCli(['legal-hold', ...args, '--data', log.data, '--database', log.url]);
  const why = ['--reason', 'case 7', '--by', 'C. Doe'];
  expect(await cli('add', 'case-7', '--environment', 'payroll/production', ...why)).toMatchObject({
    code: 0,
    stderr: '',
  });
  await addLegalHold(dataSource, { name: 'ann', scope: { repository: 'payroll', person: 'ann@example.org' }, reason: 'r', by: 'b' }); // prettier-ignore
  expect(await expire({ inputs: 30 * DAY }, 31)).toMatchObject({ removed: 1, held: 2 });
  expect([await left('p1'), await left('p2'), await left('p3')]).toEqual([['input', 'policy', 'rendered'], ['input', 'policy', 'rendered'], ['policy', 'rendered']]); // prettier-ignore

  expect((await cli('list')).stdout).toMatch(/case-7 +environment payroll\/production; since .*, not in the log yet, by C. Doe: case 7/); // prettier-ignore
  expect(await logLegalHolds(dataSource, ledger)).toBe(2);
  expect(await logLegalHolds(dataSource, ledger)).toBe(0);
  const [, held] = await legalHolds(dataSource);
  const entry = await ledger.entry(held.index!);
  expect(entry.predicate).toMatchObject({
    action: 'legal-hold',
    hold: 'case-7',
    scope: { environment: 'payroll/production' },
  });
  expect(JSON.stringify(entry.predicate)).not.toContain('Doe');

  await releaseLegalHold(dataSource, 'case-7', 'settled', 'C. Doe');
  expect(await expire({ inputs: 30 * DAY }, 31)).toMatchObject({ removed: 0, held: 2 });
  await logLegalHolds(dataSource, ledger);
  expect(await expire({ inputs: 30 * DAY }, 31)).toMatchObject({ removed: 1, held: 1 });
  expect(await left('p1')).toEqual(['policy', 'rendered']);
  expect((await verified('held')).fault).toBeUndefined();
}, 60_000);

it('refuses an erasure of what is held, and names the hold', async () => {
  const subject = new Subject(['ann@example.org']);
  const { contents } = await contentsNaming(log.dataSource.manager, subject, () => {});
  expect(contents.length).toBeGreaterThan(0);
  const statement = { id: 'e', origin: log.keys.origin, repository: 'payroll', subject: '', contents, reason: 'r', ticket: 't', time: '' }; // prettier-ignore
  const erasing = { dataSource: log.dataSource, ledger: log.ledger, statement, text: '', signatures: [], authorisers: [], governance: { repository: 'payroll', commit: 'c' }, subject }; // prettier-ignore
  await expect(erase(erasing)).rejects.toMatchObject({
    code: 'erasure-refused',
    message: 'what it would erase is under the legal hold ann (repository payroll, naming ann@example.org)',
  });
  await releaseLegalHold(log.dataSource, 'ann', 'settled', 'b');
  await logLegalHolds(log.dataSource, log.ledger);
  expect(await erase(erasing)).toMatchObject({ contents: contents.length });
}, 60_000);

it('refuses holds that say nothing of what they hold', async () => {
  expect(await refusal('add', '../x')).toContain('is no name for a hold');
  expect(await refusal('add', 'x', '--since', '2026-10-01', '--until', '2026-07-01')).toContain('before it begins');
  expect(await refusal('add', 'x', '--entries', '9-3')).toContain('is no range of entries');
  expect(await refusal('add', 'x', '--person', 'a')).toContain('too short to look for');
  expect(await refusal('add', 'ann')).toContain('there is a legal hold ann already');
  expect(await refusal('release', 'case-8')).toContain('there is no legal hold case-8 that could be released');
}, 60_000);
