import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdDecompressSync } from 'node:zlib';
import { Client } from 'pg';
import { exportBundle } from '../../src/adapters/evidence/export.js';
import { openMirror } from '../../src/adapters/git/mirror.js';
import { person, type Person, ScratchRepository } from '../../src/adapters/git/scratch-repository.js';
import { signWithSsh } from '../../src/adapters/keys/ssh-keygen.js';
import { folderFiles } from '../../src/adapters/log-files/folder.js';
import { openLedger } from '../../src/adapters/postgres/ledger.js';
import { lockSpace } from '../../src/adapters/postgres/lease.js';
import { PostgresRecords } from '../../src/adapters/postgres/records.js';
import { Mirroring } from '../../src/audit/mirroring.js';
import { parseVkey } from '../../src/audit/note.js';
import { applyRequest } from '../../src/cli/erase/apply.js';
import { type Requested, writeRequest } from '../../src/cli/erase/request.js';
import { signRequest } from '../../src/cli/erase/sign.js';
import { ERASURE_NAMESPACE, erasureText, parseErasure } from '../../src/review/erasure.js';
import { runCli } from '../support/cli.js';
import { openTestLog, pushDraft, TestJudge, type TestLog } from '../support/log.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

// A person is taken out of a log, its rows, its copy and its next export as two people have signed, and by nobody alone.

let server: TestPostgres;
let log: TestLog;
let folder: string;
let repository: ScratchRepository;
let bo: Person;
let cy: Person;
let deputy: Person;
let stranger: Person;

const EMAIL = 'zenobia@example.org';
const NAME = 'Zenobia Palmer';
const OTHER = 'walter@example.org';
const POLICY = 'b'.repeat(64);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-erase-'));
  [bo, cy, deputy, stranger] = await Promise.all([
    person('Bo', 'bo@example.org'),
    person('Cy', 'cy@example.org'),
    person('Bo elsewhere', 'deputy@example.org'),
    person('Stranger', 'stranger@example.net'),
  ]);
  server = await startPostgres();
  log = await openTestLog(server);
  repository = await ScratchRepository.create(join(folder, 'repository'));
  const commit = await repository.commit({
    author: bo,
    message: 'govern',
    files: {
      '.countersign/allowed_signers': `${bo.email} ${bo.publicKey}\n${cy.email} namespaces="git,${ERASURE_NAMESPACE}" ${cy.publicKey}\n${deputy.email} ${deputy.publicKey}\n`,
      '.countersign/identities.yaml': `apiVersion: countersign.dev/v1\npeople:\n  - {person: bo, principals: [${bo.email}, ${deputy.email}]}\n  - {person: cy, principals: [${cy.email}]}\n`,
    },
  });
  const mirror = await openMirror(join(log.data, 'mirrors', 'shop.git'), {
    url: repository.path,
    refs: ['refs/heads/*'],
  });
  await mirror.fetch(await mirror.poll());
  await mirror.close();
  await log.dataSource.query(
    `INSERT INTO repository (name, url, state, governance_ref, governance_commit, updated_at)
     VALUES ('shop', $1, 'following', 'refs/heads/main', $2, now())`,
    [repository.path, commit],
  );
  await fill();
  await copied();
  await log.ledger.close();
}, 120_000);

afterAll(async () => {
  await log?.dataSource.destroy();
  await server?.stop();
  for (const path of [folder, log?.data]) if (path) rmSync(path, { recursive: true, force: true });
});

const json = (value: unknown): { mediaType: string; bytes: Buffer; salted: boolean } => ({
  mediaType: 'application/json',
  bytes: Buffer.from(JSON.stringify(value)),
  salted: true,
});

/** Entries, contents and rows, of which some name the person. */
async function fill(): Promise<void> {
  await log.ledger.append({ ...pushDraft(1), contents: { input: json({ message: `fix\n${EMAIL}` }) } });
  await log.ledger.append({
    ...pushDraft(2),
    contents: { input: json({ by: NAME, pad: 'x'.repeat(5_000) }) },
  });
  await log.ledger.append({ ...pushDraft(3), contents: { input: json({ message: 'nobody' }) } });
  await log.ledger.append({
    ...pushDraft(4),
    contents: { input: json({ secret: Buffer.from(NAME).toString('base64') }) },
  });
  const policy = { ...json({ digest: POLICY, data: { people: [EMAIL] } }), salted: false };
  await log.ledger.append({ ...pushDraft(5), contents: { policy } });
  await log.ledger.append({ ...pushDraft(6), contents: { input: json({ by: OTHER }) } });
  const judge = await TestJudge.open();
  const decision = await judge.decision('1', 1);
  await judge.close();
  const contents = { ...decision.contents, input: json({ commits: [{ author: EMAIL }] }) };
  await log.ledger.append({ ...decision, contents });
  const query = (text: string, values: unknown[] = []): Promise<unknown> => log.dataSource.query(text, values);
  await query(
    `INSERT INTO commit (repository, id, tree, parents, author, committer, message, signature, files, first_seen)
     VALUES ('shop', 'c1', 't', '[]', $1, $2, $3, $4, '[]', now())`,
    [
      JSON.stringify({ name: NAME, email: EMAIL }),
      JSON.stringify({ name: 'Bo', email: bo.email }),
      `fix\n\nSigned-off-by: ${NAME} <${EMAIL.toUpperCase()}>`,
      JSON.stringify({ kind: 'ssh', status: 'verified', principal: EMAIL }),
    ],
  );
  await query(
    `INSERT INTO review_duty (id, repository, environment, change, head, principal, reason, opened_at, due_at)
     VALUES ('r1', 'shop', 'shop/production', 'x', 'c1', $1, $2, now(), now())`,
    [EMAIL, `${NAME} was on call`],
  );
  await query(
    `INSERT INTO review_duty (id, repository, environment, change, head, principal, reason, opened_at, due_at)
     VALUES ('r2', 'shop', 'shop/production', 'x', 'c1', $1, 'on call', now(), now())`,
    [OTHER],
  );
  await query(
    `INSERT INTO object_change (change, position, op, api_group, version, kind, namespace, name, after, patch, path, line)
     VALUES ('x', 0, 'create', '', 'v1', 'ConfigMap', 'shop', 'who', $1, '[]', 'who.yaml', 1)`,
    [JSON.stringify({ data: { owner: EMAIL, big: 'kept' } })],
  );
}

async function copied(): Promise<void> {
  const ledger = await openLedger({ dataSource: log.dataSource, keys: log.keys, dataDir: log.data });
  const source = {
    newest: () => ledger.checkpoint(),
    checkpoint: () => ledger.checkpoint(),
    readTile: ledger.readTile,
    storedDigests: (digests: readonly string[]) => ledger.storedDigests(digests),
    storedContent: (digest: string) => ledger.storedContent(digest),
  };
  await new Mirroring(source, folderFiles(join(folder, 'mirror')), parseVkey(log.keys.log.vkey)).round();
  await ledger.close();
}

/** Everything that is held about anybody: each table with contents decompressed, the copy, and a fresh export. */
async function everything(): Promise<string> {
  const parts: string[] = [];
  const tables = await log.dataSource.query<{ name: string }[]>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`,
  );
  for (const { name } of tables) {
    const rows = await log.dataSource.query<{ row: unknown }[]>(`SELECT to_jsonb(t) AS row FROM "${name}" t`);
    parts.push(JSON.stringify(rows));
  }
  for (const { leaf } of await log.dataSource.query<{ leaf: Buffer }[]>('SELECT leaf FROM log_entry')) {
    const { payload } = JSON.parse(leaf.toString()) as { payload: string };
    parts.push(Buffer.from(payload, 'base64').toString());
  }
  const contents = await log.dataSource.query<{ encoding: string; bytes: Buffer }[]>(
    'SELECT encoding, bytes FROM content',
  );
  for (const { encoding, bytes } of contents)
    parts.push((encoding === 'zstd' ? zstdDecompressSync(bytes) : bytes).toString('utf8'));
  for (const entry of readdirSync(join(folder, 'mirror'), { recursive: true, withFileTypes: true }))
    if (entry.isFile()) parts.push(readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  return parts.join('\n').toLowerCase();
}

const traces = (text: string): readonly string[] =>
  [EMAIL, NAME.toLowerCase(), 'zenobia', 'palmer', Buffer.from(NAME).toString('base64').slice(0, 18).toLowerCase()].filter((trace) => text.includes(trace)); // prettier-ignore

let asked = 0;

async function request(subject: string = EMAIL, also: readonly string[] = [NAME]): Promise<Requested> {
  return writeRequest({
    data: log.data,
    database: log.url,
    output: 'text',
    subject,
    also,
    reason: 'article 17',
    ticket: `P-${++asked}`,
    out: join(folder, `erasure-${asked}.json`),
  });
}

const apply = (file: string, ...signature: string[]): ReturnType<typeof applyRequest> =>
  applyRequest(file, { data: log.data, database: log.url, signature }, () => {});

const sealed = async (file: string, by: Person): Promise<string> => (await signRequest(file, by.keyFile)).sealed;

const counts = async (): Promise<unknown> =>
  log.dataSource.query(`SELECT (SELECT count(*) FROM content) AS contents, (SELECT size FROM log_head) AS entries`);

describe('is refused, and leaves everything as it was,', () => {
  let file: string;
  let byBo: string;
  let byCy: string;
  let before: unknown;

  beforeAll(async () => {
    ({ file } = await request());
    [byBo, byCy] = [await sealed(file, bo), await sealed(file, cy)];
    before = await counts();
  });

  afterEach(async () => {
    assert.deepEqual(await counts(), before);
  });

  it('with one signature', async () => {
    await expect(apply(file, byBo)).rejects.toMatchObject({
      code: 'erasure-refused',
      message: '1 of 2 people signed it',
    });
    await expect(apply(file)).rejects.toThrow('0 of 2');
  });

  it('when one person signed twice, with the same key or another name', async () => {
    await expect(apply(file, byBo, byBo)).rejects.toThrow('are one person, who signed twice');
    const byDeputy = await sealed(file, deputy);
    await expect(apply(file, byBo, byDeputy)).rejects.toThrow('bo@example.org and deputy@example.org are one person');
  });

  it('when a stranger signed, or somebody for another purpose', async () => {
    await expect(apply(file, byBo, await sealed(file, stranger))).rejects.toThrow(
      'signature 2 does not count: the key is none',
    );
    const other = join(folder, 'approval.sig');
    writeFileSync(other, await signWithSsh(cy.keyFile, 'countersign-approval', readFileSync(file, 'utf8')));
    await expect(apply(file, byBo, other)).rejects.toThrow('the signature is for "countersign-approval"');
  });

  it('when the list was altered after it was signed', async () => {
    const text = readFileSync(file, 'utf8');
    const statement = parseErasure(text);
    writeFileSync(file, erasureText({ ...statement, contents: statement.contents.slice(1) }));
    await expect(apply(file, byBo, byCy)).rejects.toThrow(
      'signature 1 does not count: the signature is not of this statement',
    );
    writeFileSync(file, text);
  });

  it.each([
    ['is for another log', { origin: 'log.example.org/other' }, 'for the log log.example.org/other'],
    [
      'lists what does not name the person',
      { contents: ['a'.repeat(64)] },
      `the content ${'a'.repeat(64)} of the list does not name`,
    ],
    ['lists less than names the person now', { contents: [] }, '5 more contents name the subject'],
    [
      'is by the signers of a repository that nobody follows',
      { repository: 'other' },
      'no governance of a repository "other"',
    ],
  ])('when what two people signed %s', async (_, change, message) => {
    const signed = (await request()).file;
    writeFileSync(signed, erasureText({ ...parseErasure(readFileSync(signed, 'utf8')), ...change }));
    await expect(apply(signed, await sealed(signed, bo), await sealed(signed, cy))).rejects.toMatchObject({
      code: 'erasure-refused',
      message: expect.stringContaining(message) as string,
    });
  });

  it('when the file beside it names somebody else', async () => {
    const signed = (await request()).file;
    const told = JSON.parse(readFileSync(`${signed}.subject`, 'utf8')) as object;
    writeFileSync(`${signed}.subject`, JSON.stringify({ ...told, terms: ['cy@example.org'] }));
    await expect(sealed(signed, bo)).rejects.toThrow('is about somebody else');
  });

  it('while the policy in force names the person', async () => {
    await log.dataSource.query('UPDATE repository SET bundle_digest = $1', [POLICY]);
    await expect(request()).rejects.toMatchObject({
      code: 'erasure-refused',
      message: 'the policy in force of shop names the person, and the next decision would store it again',
    });
    await log.dataSource.query('UPDATE repository SET bundle_digest = NULL');
  });

  it('while a service writes to the log', async () => {
    const ledger = await openLedger({ dataSource: log.dataSource, keys: log.keys, dataDir: log.data });
    await expect(apply(file, byBo, byCy)).rejects.toMatchObject({ code: 'log-conflict' });
    await ledger.close();
  });

  it('when the transaction breaks at its end', async () => {
    await log.dataSource.query(
      `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken on purpose'; END $$;
       CREATE TRIGGER broken BEFORE INSERT ON log_outbox FOR EACH ROW WHEN (NEW.type = 'erasure') EXECUTE FUNCTION broken()`,
    );
    await expect(apply(file, byBo, byCy)).rejects.toThrow('broken on purpose');
    await log.dataSource.query('DROP TRIGGER broken ON log_outbox; DROP FUNCTION broken()');
    expect(traces(await everything())).toHaveLength(5);
    expect(existsSync(`${file}.subject`)).toBe(true);
  });
});

/**
 * The command killed while it waits in the middle of a write to `table`, which it then carries out or gives up: the database does not notice
 * the death before the write is over.
 */
async function killedAt(
  operation: 'INSERT' | 'UPDATE' | 'DELETE',
  table: string,
  args: readonly string[],
): Promise<void> {
  const holder = new Client({ connectionString: log.url });
  await holder.connect();
  await holder.query(
    `SELECT pg_advisory_lock(77);
     CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN COALESCE(NEW, OLD); END $$;
     CREATE TRIGGER hold BEFORE ${operation} ON ${table} FOR EACH ROW EXECUTE FUNCTION hold()`,
  );
  const child = spawn(process.execPath, ['dist/cli/main.js', ...args], {
    stdio: 'ignore',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const gone = once(child, 'exit');
  const until = async (condition: string): Promise<void> => {
    for (;;) {
      const { rows } = await holder.query<{ now: boolean }>(`SELECT ${condition} AS now`);
      if (rows[0].now) return;
      expect(child.exitCode).toBeNull();
      await sleep(10);
    }
  };
  // The server has other databases.
  const locks = `pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  await until(`EXISTS (SELECT 1 FROM ${locks} AND objid = 77 AND NOT granted)`);
  child.kill('SIGKILL');
  await gone;
  await holder.query('SELECT pg_advisory_unlock(77)');
  await until(
    `NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle')
     AND NOT EXISTS (SELECT 1 FROM ${locks} AND classid = ${lockSpace} AND granted)`,
  );
  await holder.query(`DROP TRIGGER hold ON ${table}; DROP FUNCTION hold()`);
  await holder.end();
}

it('has happened as a whole or not at all when it is killed at any of its writes, and can be done again', async () => {
  const { file } = await request(OTHER, []);
  for (const by of [bo, cy]) await sealed(file, by);
  const args = ['erase', 'apply', file, '--data', log.data, '--database', log.url, '--output', 'json'];
  const before = await counts();
  for (const [operation, table] of [
    ['DELETE', 'content'],
    ['UPDATE', 'review_duty'],
    ['INSERT', 'log_outbox'],
  ] as const) {
    // prettier-ignore
    await killedAt(operation, table, args);
    expect(await counts()).toEqual(before);
    expect((await everything()).includes(OTHER)).toBe(true);
    expect(existsSync(`${file}.subject`)).toBe(true);
  }
  // Committed, and not yet in the tree: whoever opens the log next gives the entry its place.
  await killedAt('INSERT', 'log_entry', args);
  expect(existsSync(`${file}.subject`)).toBe(true);
  const { code, stdout } = await runCli(args);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { again: true, contents: 0, rows: 0 }]);
  expect(existsSync(`${file}.subject`)).toBe(false);
  const erasures = await log.dataSource.query<unknown[]>(`SELECT 1 FROM log_entry WHERE type = 'erasure'`);
  expect(erasures).toHaveLength(1);
  await copied();
  const left = await everything();
  expect(left.includes(OTHER)).toBe(false);
}, 120_000);

it('erases the person everywhere, once, and says so; proofs stay valid', async () => {
  expect(traces(await everything())).toHaveLength(5);
  const out = join(folder, 'person.json');
  const where = ['--data', log.data, '--database', log.url, '--output', 'json'];
  const asking = await runCli(['erase', 'request', ...where, '--subject', EMAIL, '--also', NAME, '--reason', 'article 17', '--ticket', 'P-7', '--out', out]); // prettier-ignore
  expect(asking).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(asking.stdout)).toMatchObject({ contents: 5, unsalted: 1, decisions: 1, entries: [], beside: [] });
  expect(traces(readFileSync(out, 'utf8'))).toEqual([]);
  const told = readFileSync(`${out}.subject`);
  await sealed(out, bo);
  const signing = await runCli(['erase', 'sign', out, '--key', cy.keyFile]);
  expect(signing).toMatchObject({ code: 0, stdout: expect.stringContaining(EMAIL) as string });

  const applying = await runCli(['erase', 'apply', out, ...where]);
  expect(applying).toMatchObject({ code: 0, stderr: '' });
  const { entry, ...done } = JSON.parse(applying.stdout) as { entry: number };
  expect(done).toMatchObject({ contents: 5, rows: 3, again: false, authorisedBy: expect.arrayContaining([bo.email, cy.email]) as unknown }); // prettier-ignore
  expect(existsSync(`${out}.subject`)).toBe(false);

  // Killed before its end, it is done again: nothing is erased twice.
  writeFileSync(`${out}.subject`, told);
  expect(JSON.parse((await runCli(['erase', 'apply', out, ...where])).stdout)).toMatchObject({ entry, again: true });

  await copied();
  expect(traces(await everything())).toEqual([]);
  const [commit] = await new PostgresRecords(log.dataSource).find('commit', { id: 'c1' });
  expect(commit).toMatchObject({
    author: { name: '(erased)', email: '(erased)' },
    committer: { name: 'Bo', email: bo.email },
    message: 'fix\n\nSigned-off-by: (erased) <(erased)>',
  });

  const ledger = await openLedger({ dataSource: log.dataSource, keys: log.keys, dataDir: log.data });
  const bundle = join(folder, 'evidence.zip');
  const exported = await exportBundle(ledger, log.keys, bundle, () => {});
  await ledger.close();
  expect(exported.withheld).toBe(6);
  const trust = join(folder, 'trust.txt');
  writeFileSync(trust, `${log.keys.log.vkey}\n`);
  const verified = await runCli(['verify', bundle, '--trust', trust]);
  expect(verified).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('6 erased, as 2 erasures in the log say') as string,
  });
  const checked = await runCli(['fsck', '--data', log.data, '--database', log.url, '--from', join(folder, 'mirror')]);
  expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('6 erased') as string });
  const replayed = await runCli(['replay', '--data', log.data, '--database', log.url]);
  expect(replayed).toMatchObject({ code: 0, stdout: expect.stringContaining('1 could not be') as string });
}, 120_000);
