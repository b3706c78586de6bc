import { parse } from 'csv-parse/sync';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { forgetPeople } from '../../src/adapters/git/scratch-repository.js';
import { ApprovingOffice, config, PRODUCTION } from '../support/approving.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { columns } from '../../src/report/population.js';
import { runCli } from '../support/cli.js';
import { eventually } from '../support/world.js';

describe('an emergency change', () => {
  let postgres: TestPostgres;
  let office: ApprovingOffice;
  let database: Client;

  beforeAll(async () => {
    postgres = await startPostgres();
    const connectionString = await postgres.database();
    database = new Client({ connectionString });
    await database.connect();
    office = await ApprovingOffice.open(connectionString, {
      data: '{approvals: 1, break_glass: {groups: [oncall]}}',
      files: { '.countersign/groups.yaml': 'apiVersion: countersign.dev/v1\ngroups: {oncall: [cy@example.org]}\n' },
    });
    await office.approve(office.bo, (await office.decided('pending', office.genesis)).change);
    await office.decided('allow', office.genesis);
  }, 120_000);

  afterAll(async () => {
    await database?.end();
    await office?.close();
    await Promise.all([postgres?.stop(), forgetPeople()]);
  }, 60_000);

  const broken = 'the shop is down\n\nBreak-Glass: cart answers 500\nTicket: INC-7\n';

  it('is denied to who is not named for it, whatever the trailer says', async () => {
    const head = await office.change(2, { message: broken });
    const denied = await office.decided('deny', head);
    expect(denied.violations).toMatchObject([{ rule: 'break-glass.named' }]);
    const { controls } = await office.query<{ controls: readonly object[] }>(
      '{ controls(repository: "shop", id: "SOC2:CC8.1") { id covered open rules decisions(first: 5) { nodes { id } } } }',
    );
    expect(controls).toEqual([
      {
        id: 'SOC2:CC8.1',
        covered: 'answered',
        open: expect.any(String) as string,
        rules: expect.arrayContaining(['break-glass.named', 'commits.signed']) as string[],
        decisions: { nodes: expect.arrayContaining([{ id: denied.id }]) as object[] },
      },
    ]);
    await office.repository.rewind(office.genesis);
    await office.decided('allow', office.genesis);
  });

  it('goes through without approvals, is marked, and owes a review within 72 hours', async () => {
    const head = await office.change(3, { author: office.cy, message: broken });
    const allowed = await office.decided('allow', head);
    expect(allowed).toMatchObject({ approvals: [], change: { operation: 'break_glass' } });
    expect(allowed.reviewDuty).toMatchObject({
      principal: 'cy@example.org',
      reason: 'cart answers 500',
      ticket: 'INC-7',
      closedAt: null,
      expired: false,
    });
    const hours = (Date.parse(allowed.reviewDuty!.dueAt) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(71);
    expect(hours).toBeLessThanOrEqual(72);
    const { entries } = await office.query<{ entries: { nodes: { predicate: Record<string, unknown> }[] } }>(
      '{ entries(first: 500, filter: {type: [decision]}) { nodes { predicate } } }',
    );
    const logged = entries.nodes.find(({ predicate }) => predicate['id'] === allowed.id);
    expect(logged?.predicate).toMatchObject({ operation: 'break_glass', reviewDue: allowed.reviewDuty!.dueAt });
  });

  it('is not reviewed by who made it, and is by somebody else, also when more was pushed since', async () => {
    const head = await office.repository.head();
    const { id, change } = await office.decided('allow', head);
    await database.query("UPDATE review_duty SET due_at = now() - interval '1 second'");
    const late = await office.query<{ reviewDuties: { nodes: { id: string; expired: boolean }[] } }>(
      `{ reviewDuties(filter: {environment: "${PRODUCTION}", expired: true, open: true}) { nodes { id expired } } }`,
    );
    expect(late.reviewDuties.nodes).toEqual([{ id, expired: true }]);
    await database.query("UPDATE review_duty SET due_at = opened_at + interval '72 hours'");
    const inTime = await office.query<typeof late>(
      `{ reviewDuties(filter: {environment: "${PRODUCTION}", expired: true}) { nodes { id expired } } }`,
    );
    expect(inTime.reviewDuties.nodes).toEqual([]);
    const next = await office.change(4);
    await office.decided('pending', next);
    const own = await office.recorded(() => office.approve(office.cy, change));
    expect(own.status).toBe('rejected');
    const { code, stdout, stderr } = await runCli(
      [
        'approve',
        PRODUCTION,
        '--review',
        '--url',
        office.url,
        '--repository',
        office.repository.path,
        '--key',
        office.bo.keyFile,
        '--yes',
      ],
      {
        env: { HOME: office.root, GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' },
      },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('the shop is down');
    const closed = await eventually('the review', async () => {
      const duty = (await office.decisions(PRODUCTION, head)).find((one) => one.id === id)?.reviewDuty;
      return duty?.closedAt ? duty : null;
    });
    expect(closed.expired).toBe(false);
    // It closes the duty of that change, and lets no other through.
    expect((await office.decisions(PRODUCTION, next))[0].outcome).toBe('pending');
  });

  it('is told in the listing that auditors take, which the log confirms to be complete and unaltered', async () => {
    const data = join(office.root, 'data');
    const [csv, bundle, trust] = ['all.csv', 'evidence.zip', 'trust.txt'].map((name) => join(office.root, name));
    const taken = await runCli(['report', 'changes', '--url', office.url, '--to', csv, '--output', 'json']);
    expect(taken).toMatchObject({ code: 0, stderr: '' });
    const manifest = JSON.parse(taken.stdout) as { rows: number; size: number; index: number };
    expect(manifest.index).toBeGreaterThanOrEqual(manifest.size);

    const rows = parse<Record<string, string>>(await readFile(csv), { columns: true });
    expect(rows).toHaveLength(manifest.rows);
    expect(Object.keys(rows[0])).toEqual(columns.map(({ name }) => name));
    const emergency = rows.findLast(
      (row) => row['environment'] === PRODUCTION && row['emergency'] === 'true' && row['decision'] === 'allow',
    )!;
    expect(emergency).toMatchObject({
      operation: 'break_glass',
      signers: 'cy@example.org',
      authors: 'Cy <cy@example.org>',
      unsigned_commits: '0',
      ticket: 'INC-7',
      reason: 'cart answers 500',
      title: 'the shop is down',
      approvers: '',
      author_is_approver: 'false',
      reviewed_by: 'bo@example.org',
      objects: 'ConfigMap shop/settings',
    });
    expect(emergency['controls']).toContain('SOC2:CC8.1');
    const approved = rows.find((row) => row['to'] === office.genesis && row['decision'] === 'allow' && row['approvers'] !== '')!; // prettier-ignore
    expect(approved).toMatchObject({ approvers: 'bo@example.org', author_is_approver: 'false', signers: 'ann@example.org' }); // prettier-ignore
    expect(rows.some((row) => row['decision'] === 'deny' && row['violations'] === 'break-glass.named')).toBe(true);

    await runCli(['export', '--data', data, '--to', bundle]);
    await writeFile(trust, (await runCli(['keys', '--data', data, '--vkey'])).stdout);
    const verify = (listing: string) => runCli(['verify', bundle, '--trust', trust, '--no-replay', '--population', listing]); // prettier-ignore
    const proven = await verify(csv);
    expect(proven).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`all ${manifest.rows} decisions`) as string,
    });

    const lines = (await readFile(csv, 'utf8')).split('\r\n');
    const kept = await readFile(`${csv}.manifest.json`);
    for (const [name, forged, wrong] of [
      ['one-less', lines.toSpliced(2, 1), /decision of entry \d+ is missing before row 2/],
      ['cut-short', [...lines.slice(0, -2), ''], /ends after \d+ rows/],
      ['twice', lines.toSpliced(2, 0, lines[2]), /row 3 lists entry \d+/],
      [
        'another',
        lines.map((line, i) => (i === 2 ? line.replace(/,[0-9a-f]{64},/, `,${'0'.repeat(64)},`) : line)),
        /another leaf hash/,
      ],
    ] as const) {
      const file = join(office.root, `${name}.csv`);
      await writeFile(file, forged.join('\r\n'));
      await writeFile(`${file}.manifest.json`, kept);
      expect(await verify(file)).toMatchObject({ code: 1, stdout: expect.stringMatching(wrong) as string });
    }
    await writeFile(`${csv}.manifest.json`, kept.toString().replace(/"rows": \d+/, '"rows": 1'));
    expect((await verify(csv)).stdout).toMatch(/says something else of this export than entry/);

    const few = join(office.root, 'few.jsonl');
    const period = ['--since', '2020-01-01', '--until', '2100-01-01', '--zone', 'America/New_York'];
    const asked = ['--decision', 'deny', '--environment', PRODUCTION, '--format', 'jsonl', '--to', few];
    expect(await runCli(['report', 'changes', '--url', office.url, ...period, ...asked])).toMatchObject({ code: 0 });
    const denied = (await readFile(few, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore
    expect(new Set(denied.map((row) => row['decision']))).toEqual(new Set(['deny']));
    const again = ['report', 'changes', '--url', office.url, '--to'];
    expect(await runCli([...again, few])).toMatchObject({ code: 2, stderr: expect.stringContaining('is there already') as string }); // prettier-ignore
    const unknown = await runCli([...again, join(office.root, 'no.csv'), '--environment', 'shop/prodution']);
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean "shop/production"') as string }); // prettier-ignore
  });

  it('is in a sample that anybody draws again, and among what an assessment of controls rests on', async () => {
    const [bundle, trust] = ['evidence.zip', 'trust.txt'].map((name) => join(office.root, `sampled-${name}`));
    const [csv, oscal] = ['sample.csv', 'q3.oscal.json'].map((name) => join(office.root, name));
    const report = (...args: string[]) => runCli(['report', ...args, '--url', office.url]);
    const drawn = await report('changes', '--sample', '3', '--seed', 'audit-2026', '--to', csv);
    expect(drawn).toMatchObject({ code: 0, stdout: expect.stringMatching(/^wrote a sample of 3, by the seed audit-2026, of \d+ changes/) as string }); // prettier-ignore
    expect(await report('oscal', '--controls', 'SOC2:CC88.1', '--to', oscal)).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean "SOC2:CC8.1"') as string }); // prettier-ignore
    expect(await report('oscal', '--controls', 'SOC2', '--repository', 'shop', '--to', oscal)).toMatchObject({ code: 0, stderr: '' }); // prettier-ignore
    const vsa = join(office.root, 'vsa.jsonl');
    expect(await report('vsa', '--environment', PRODUCTION, '--to', vsa)).toMatchObject({ code: 0, stderr: '' });
    const document = await readFile(oscal, 'utf8');
    expect(document).toContain('"target-id":"soc2_cc8.1"');

    const data = join(office.root, 'data');
    await runCli(['export', '--data', data, '--to', bundle]);
    await writeFile(trust, (await runCli(['keys', '--data', data, '--vkey'])).stdout);
    const verify = (listing: string, ...more: string[]) => runCli(['verify', bundle, '--trust', trust, '--no-replay', '--population', listing, ...more]); // prettier-ignore
    expect((await verify(csv, '--vsa', vsa)).stdout).toMatch(/ [1-9]\d* verification summaries in /);
    expect(await verify(csv)).toMatchObject({ code: 0, stdout: expect.stringMatching(/the 3 changes in .* are those that its seed draws of all \d+ decisions/) as string }); // prettier-ignore
    const lines = (await readFile(csv, 'utf8')).split('\r\n');
    const kept = await readFile(`${csv}.manifest.json`, 'utf8');
    for (const [name, forged, manifest, wrong] of [
      ['left-out', lines.toSpliced(2, 1), kept, /is missing before row 2|ends after 2 rows/],
      ['reseeded', lines, kept.replace('audit-2026', 'audit-2027'), /says something else of this export/],
    ] as const) {
      const file = join(office.root, `${name}.csv`);
      await writeFile(file, forged.join('\r\n'));
      await writeFile(`${file}.manifest.json`, manifest);
      expect(await verify(file)).toMatchObject({ code: 1, stdout: expect.stringMatching(wrong) as string });
    }
  });

  it('is rolled back by one command that policy sees, stays there while its branch moves on, and rolls forward again', async () => {
    const hold = async (command: string, ...args: string[]) => {
      const config = {
        'user.name': 'Ann',
        'user.email': office.ann.email,
        'gpg.format': 'ssh',
        'user.signingKey': office.ann.keyFile,
        'commit.gpgSign': 'true',
      };
      const env = Object.fromEntries(
        Object.entries(config).flatMap(([key, value], i) => [
          [`GIT_CONFIG_KEY_${i}`, key],
          [`GIT_CONFIG_VALUE_${i}`, value],
        ]),
      );
      const ran = await runCli(
        [command, PRODUCTION, '--repository', office.repository.path, '--output', 'json', ...args],
        { env: { ...env, GIT_CONFIG_COUNT: String(Object.keys(config).length) } },
      );
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      return JSON.parse(ran.stdout) as { commit: string };
    };
    const allowed = async (head: string, environment?: string) => {
      const decision = await office.decided('pending', head, environment);
      await office.approve(office.bo, decision.change);
      return office.decided('allow', head, environment);
    };
    const good = await office.change(7);
    await allowed(good);
    const bad = await office.change(8);
    await allowed(bad);
    const back = await hold('rollback', '--reason', 'carts are lost', '--ticket', 'INC-9', '--url', office.url);
    await allowed(back.commit, 'governance');
    const rolled = await eventually('the rollback to be judged', async () =>
      (await office.decisions(PRODUCTION, good)).find(({ change }) => change.operation === 'rollback'),
    );
    expect(rolled).toMatchObject({ change: { base: bad } });
    if (rolled.outcome === 'pending') await office.approve(office.bo, rolled.change);
    await eventually('the rollback to be allowed', async () =>
      (await office.decisions(PRODUCTION, good)).find(
        ({ change, outcome }) => change.operation === 'rollback' && outcome === 'allow',
      ),
    );
    const later = await office.change(9);
    const on = await hold('roll-forward', '--reason', 'mended');
    await allowed(on.commit, 'governance');
    expect(await office.decisions(PRODUCTION, later)).toEqual([]);
    expect((await allowed(on.commit)).change.base).toBe(good);
  }, 60_000);
});

describe('an owners file', () => {
  let postgres: TestPostgres;
  let office: ApprovingOffice;

  beforeAll(async () => {
    postgres = await startPostgres();
    office = await ApprovingOffice.open(await postgres.database(), {
      data: '{}',
      files: {
        '.countersign/groups.yaml':
          'apiVersion: countersign.dev/v1\ngroups: {shop: [ann@example.org, cy@example.org]}\n',
        '.countersign/owners': '[environment shop/production] @shop\n/environments/\n',
      },
    });
  }, 120_000);

  afterAll(async () => {
    await office?.close();
    await Promise.all([postgres?.stop(), forgetPeople()]);
  }, 60_000);

  it('asks the owners of what changed, other than who made it, and says who is missing', async () => {
    const waiting = await office.decided('pending', office.genesis);
    expect(waiting.required).toMatchObject([
      { rule: 'approvals.owners', message: expect.stringContaining('0 of 1 approvals by owners') as string },
    ]);
    // Staging is nobody's.
    await office.decided('allow', office.genesis, 'shop/staging');
    await office.recorded(() => office.approve(office.bo, waiting.change));
    expect((await office.decisions(PRODUCTION, office.genesis))[0].outcome).toBe('pending');
    await office.recorded(() => office.approve(office.cy, waiting.change));
    await office.decided('allow', office.genesis);
  });

  it('asks about no file of another environment', async () => {
    const head = await office.repository.commit({
      author: office.ann,
      message: 'staging only',
      files: { 'environments/staging/config.yaml': config(9) },
    });
    expect((await office.decided('allow', head)).required).toEqual([]);
  });

  it('that cannot be read is denied with its line, and the one before stays in force', async () => {
    const head = await office.repository.commit({
      author: office.ann,
      message: 'own nothing',
      files: { '.countersign/owners': '* @nobody\n' },
    });
    const denied = await office.decided('deny', head, 'governance');
    expect(denied.violations[0].message).toContain('there is no group @nobody');
  });

  it('lets `countersign approve` show what waits and approve it', async () => {
    const head = await office.change(7);
    await office.decided('pending', head);
    const env = {
      HOME: office.root,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    };
    const options = ['--url', office.url, '--repository', office.repository.path, '--key', office.cy.keyFile];
    const unasked = await runCli(['approve', PRODUCTION, ...options], { env });
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') as string });
    expect(unasked.stdout).toContain('approvals by owners');
    expect(unasked.stdout).toContain('replace /data/value');
    const stranger = await runCli(['approve', PRODUCTION, ...options, '--key', '/nowhere/key', '--yes'], { env });
    expect(stranger).toMatchObject({ code: 2, stderr: expect.stringContaining('ssh-add') as string });
    const done = await runCli(['approve', PRODUCTION, ...options, '--yes', '--output', 'json', '--comment', 'fine'], {
      env,
    });
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(done.stdout)).toMatchObject({ environment: PRODUCTION, head });
    await office.decided('allow', head);
    const nothing = await runCli(['approve', ...options, '--yes'], { env });
    expect(nothing).toMatchObject({ code: 2, stderr: expect.stringContaining('waits for an approval') as string });
  });
});
