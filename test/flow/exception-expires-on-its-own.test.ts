import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { Client } from 'pg';
import type { QueryRunner } from 'typeorm';
import { ExceptionsInForce1763740000220 as ExceptionsInForce } from '../../migrations/0220-exceptions-in-force.js';
import { signWithSsh } from '../../src/adapters/keys/ssh-keygen.js';
import { EXCEPTION_NAMESPACE, exceptionText } from '../../src/policy/exception.js';
import type { ImpactTally } from '../../src/review/impact-tally.js';
import { runCli } from '../support/cli.js';
import { createRepository, person, type Person, temporaryFolder } from '../support/git-fixture.js';
import { startTestService, type TestService } from '../support/service.js';
import { eventually } from '../support/world.js';

interface Decision {
  readonly id: string;
  readonly outcome: string;
  readonly time: Date;
  readonly head: string;
  readonly base: string | null;
  readonly index: string | null;
  readonly exceptions: readonly string[];
  readonly violations: readonly { readonly rule: string; readonly message: string; readonly place: object }[];
}

const folder = temporaryFolder();
const manifest = (name: string, value: number) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {value: "${value}"}\n`;
const settings = `apiVersion: countersign.dev/v1
environments: [{name: prod, path: environments/prod, namespace: shop}]
policies: {starter: {profile: "off"}}
`;
const policy = `package countersign.values

# METADATA
# custom: {id: values.small, scope: object}
deny contains "too much" if {
	value := to_number(input.changes[0].after.data.value)
	value > 5
}
`;
const DECISIONS = `SELECT decision.id, decision.time, outcome, change.head, change.base, log_index AS index, exceptions, violations
  FROM decision JOIN change ON change.id = decision.change WHERE decision.environment = $1 ORDER BY decision.time DESC`;

async function exception(who: Person, seconds: number, change: (text: string) => string = (text) => text) {
  const text = exceptionText({
    repository: 'shop',
    rule: 'values.small',
    scope: { environment: 'prod', kind: 'ConfigMap', namespace: 'shop', name: 'a' },
    owner: 'shop team',
    reason: 'sale',
    ticket: 'OPS-7',
    expires: new Date(Date.now() + seconds * 1000).toISOString(),
  });
  const signature = await signWithSsh(who.keyFile, EXCEPTION_NAMESPACE, text);
  const path = '.countersign/exceptions/sale.yaml';
  return { [path]: change(text), [`${path}.sig`]: signature };
}

describe('an exception', () => {
  let service: TestService;
  let database: Client;
  let repository: Awaited<ReturnType<typeof createRepository>>;
  let ann: Person;
  let bo: Person;

  beforeAll(async () => {
    [ann, bo] = await Promise.all([person('Ann', 'ann@example.org'), person('Bo', 'bo@example.org')]);
    repository = await createRepository(folder.path('shop'));
    const first = await commit('begin', {
      'countersign.yaml': settings,
      // Ann may commit, and not make exceptions.
      '.countersign/allowed_signers': `ann@example.org namespaces="git" ${ann.publicKey}\nbo@example.org namespaces="git,${EXCEPTION_NAMESPACE}" ${bo.publicKey}\n`,
      'policies/values.rego': policy,
      'environments/prod/a.yaml': manifest('a', 1),
    });
    service = await startTestService(
      `  - {name: shop, url: ${repository.path}, refs: [refs/heads/main], trust: {commit: ${first}}, poll: 100ms}`,
    );
    database = new Client({ connectionString: service.database });
    await database.connect();
    await decided('prod', first, 'allow');
  }, 90_000);

  afterAll(async () => {
    await database?.end();
    await service?.close();
  });

  const commit = (message: string, files: Record<string, string>, gone: readonly string[] = []) =>
    repository.commit({ author: ann, message, files, delete: gone });

  const decisions = async (environment: string): Promise<Decision[]> =>
    (await database.query<Decision>(DECISIONS, [environment])).rows.filter(({ index }) => index !== null);

  const complies = async (): Promise<boolean> =>
    !(await database.query<{ no: boolean }>(`SELECT no_longer_compliant AS no FROM environment WHERE name = 'prod'`)).rows[0].no; // prettier-ignore

  const decided = (environment: string, head: string, outcome: string): Promise<Decision> =>
    eventually(
      `${environment} at ${head.slice(0, 7)} to be ${outcome}`,
      async () => (await decisions(environment)).find((one) => one.head === head && one.outcome === outcome),
      async () => JSON.stringify(await decisions(environment)),
      30_000,
    );

  it('that is forged, or signed by somebody who may not, is denied with its place and does not count', async () => {
    const tooMuch = await commit('too much', { 'environments/prod/a.yaml': manifest('a', 9) });
    await decided('prod', tooMuch, 'deny');
    const forged = await exception(bo, 3600, (text) => text.replace('name: a', 'name: b'));
    for (const [files, says] of [
      [forged, /not of this statement/],
      [await exception(ann, 3600), /may not sign for countersign-exception/],
      [await exception(bo, -1), /it expired/],
    ] as const) {
      const head = await commit('an exception', files);
      const { violations } = await decided('governance', head, 'deny');
      expect(violations).toMatchObject([{ rule: 'reading.exception-invalid', message: expect.stringMatching(says) as string }]); // prettier-ignore
      expect(violations[0].place).toMatchObject({ file: expect.stringContaining('exceptions/sale.yaml') as string });
      const { exceptions } = await decided('prod', head, 'deny');
      expect(exceptions).toEqual([]);
    }
  }, 90_000);

  it('lets through what it covers, and when it ends the live commit no longer complies, whatever came since', async () => {
    // On a busy machine the first ones may end before anybody has looked at what they let through.
    const used = await [5, 20, 60].reduce<Promise<{ head: string; next: string } | null>>(async (before, seconds) => {
      const found = await before;
      if (found) return found;
      const files = await exception(bo, seconds);
      const ends = Date.now() + seconds * 1000;
      const head = await commit('an exception', files);
      await decided('governance', head, 'allow');
      await eventually('a decision', async () => (await decisions('prod')).find((one) => one.head === head));
      const next = await commit('something else', { 'environments/prod/b.yaml': manifest('b', 1) });
      await eventually('a decision', async () => (await decisions('prod')).find((one) => one.head === next));
      return Date.now() < ends - 500 ? { head, next } : null;
    }, Promise.resolve(null));
    const covered = await decided('prod', used!.head, 'allow');
    expect(covered.exceptions).toHaveLength(1);
    const after = await decided('prod', used!.next, 'allow');
    expect(after.exceptions).toEqual([]);

    const lapsed = await eventually(
      'it to end',
      async () => (await decisions('prod')).find((one) => one.head === used!.next && one.outcome === 'deny'),
      undefined,
      90_000,
    );
    expect(lapsed).toMatchObject({ base: covered.base, exceptions: [], violations: [{ rule: 'values.small' }] });
    const { rows } = await database.query('SELECT approved, no_longer_compliant FROM environment WHERE name = $1', ['prod']); // prettier-ignore
    expect(rows).toEqual([{ approved: used!.next, no_longer_compliant: true }]);
    // A push that has nothing to do with it is allowed, and changes nothing about that.
    await decided('prod', await commit('something else', { 'environments/prod/b.yaml': manifest('b', 2) }), 'allow');
    expect(await complies()).toBe(false);
    // Why it is denied now, from what the log keeps: the interpreter gives what the Wasm gave.
    const { stdout, code, stderr } = await runCli(['explain', lapsed.id, '--url', service.url, '--trace']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^deny {3}prod {3}[0-9a-f]{7}\n\nenvironments\/prod\/a\.yaml:\d+ {3}ConfigMap shop\/a\n {2}too much\n/,
    );
    expect(stdout).toMatch(/because {2}value = 9\n[^]* {2}\| policies\/values\.rego:5 .*Enter/);

    // What a stricter policy would have done to all this, beside the running service.
    const stricter = folder.path('stricter');
    await mkdir(stricter, { recursive: true });
    await writeFile(`${stricter}/none.rego`, policy.replace('value > 5', 'value > 0'));
    const asked = ['policy', 'impact', '--policies', stricter, '--since', '2020-01-01', '--database', service.database];
    const impact = await runCli([...asked, '--data', folder.path(''), '--output', 'json']);
    expect(impact.stderr).toBe('');
    const { tally, total } = JSON.parse(impact.stdout) as { total: number; tally: ImpactTally };
    expect(tally.decisions).toBe(total);
    expect(tally).toMatchObject({ skipped: 0, outcomes: { 'allow → deny': expect.any(Number) as number } });
    expect(tally.byRule['values.small']?.newly).toBeGreaterThan(1);
    const again = await runCli([...asked, '--data', folder.path('')]);
    expect(again.stdout).toContain(`went on after ${total} that were looked at before`);

    const data = await service.query<{ exceptions: { nodes: { uses: number }[] } }>(
      '{ exceptions { nodes { rule status refusal expired uses principal owner ticket entry { type predicate } } } }',
    );
    const [newest] = data.exceptions.nodes.filter(({ uses }) => uses > 0);
    expect(newest).toMatchObject({
      rule: 'values.small',
      status: 'accepted',
      refusal: null,
      expired: true,
      principal: 'bo@example.org',
      owner: 'shop team',
      ticket: 'OPS-7',
      entry: { type: 'exception', predicate: { id: covered.exceptions[0], status: 'accepted', rule: 'values.small' } },
    });
    const during = covered.time.toISOString();
    const inForce = async (filter: string) =>
      (await service.query<{ exceptions: { nodes: { id: string; excused: number; counted: object[] }[] } }>(`{ exceptions(filter: {${filter}}) { nodes { id excused counted { from to } } } }`)).exceptions.nodes; // prettier-ignore
    const then = `inForceAt: "${during}", owner: "shop team", environment: "prod", principal: "bo@example.org", rule: "values.small"`;
    expect(await inForce(then)).toEqual([
      {
        id: covered.exceptions[0],
        excused: expect.any(Number) as number,
        counted: [{ from: expect.any(String) as string, to: null }],
      },
    ]);
    expect((await inForce(then))[0].excused).toBeGreaterThanOrEqual(1);
    for (const none of [
      `inForceAt: "${new Date().toISOString()}"`,
      'inForceAt: "2020-01-01T00:00:00Z"',
      `inForceAt: "${during}", owner: "somebody else"`,
      `inForceAt: "${during}", environment: "governance"`,
    ])
      expect(await inForce(none)).toEqual([]);
    const listing = folder.path('changes.csv');
    const taken = await runCli(['report', 'changes', '--to', listing, '--url', service.url, '--environment', 'prod']);
    expect([taken.code, taken.stderr]).toEqual([0, '']);
    const [head, ...lines] = (await readFile(listing, 'utf8'))
      .trim()
      .split('\r\n')
      .map((line) => line.split(','));
    const excused = lines.map((line) => line[head.indexOf('exceptions_excused')]);
    expect(excused).toContain('1');
    expect(excused.filter((one) => one !== '1' && one !== '')).toEqual([]);
    // Who, and why, is in salted content (invariant 11).
    expect(JSON.stringify(newest)).not.toMatch(/"predicate":\{[^}]*(bo@example|sale)/);
  }, 180_000);

  it('that is signed anew, or an object that was mended, makes what is live comply again', async () => {
    await commit('an exception', await exception(bo, 3600));
    await eventually('it to comply', async () => (await complies()) || null);
    const head = await commit('no exception', {}, Object.keys(await exception(bo, 1)));
    // What is live is denied, and the commit that changes nothing about it is not.
    await decided('prod', head, 'allow');
    expect(await complies()).toBe(false);
    const { exceptions } = await service.query<{
      exceptions: { nodes: { counted: { from: string; to: string | null }[] }[] };
    }>('{ exceptions(filter: {status: [withdrawn]}, first: 1) { nodes { counted { from to } } } }');
    const [{ from, to }] = exceptions.nodes[0].counted;
    const standing = async (at: string) => (await service.query<{ exceptions: { totalCount: number } }>(`{ exceptions(filter: {inForceAt: "${at}"}) { totalCount } }`)).exceptions.totalCount; // prettier-ignore
    expect([await standing(from), await standing(to!)]).toEqual([1, 0]);
    // What a database of before this was recorded gets of the log.
    const statements: string[] = [];
    await new ExceptionsInForce().up({ query: (sql: string) => void statements.push(sql) } as unknown as QueryRunner);
    const spans = async () => (await database.query('SELECT id, counted FROM exception ORDER BY id')).rows as object[];
    const recorded = await spans();
    await database.query(
      `BEGIN; UPDATE exception SET counted = '[]'; ${statements.find((sql) => sql.startsWith('UPDATE'))}`,
    );
    const derived = await spans();
    await database.query('ROLLBACK');
    expect(derived).toEqual(recorded);
    await decided('prod', await commit('mended', { 'environments/prod/a.yaml': manifest('a', 2) }), 'allow');
    expect(await complies()).toBe(true);
  }, 180_000);

  it('is judged with by a policy that is only proposed, whose own decision tells what it would have done', async () => {
    const head = await commit('stricter', { 'policies/values.rego': policy.replace('value > 5', 'value > 0') });
    const { id } = await decided('governance', head, 'allow');
    const { decision } = await service.query<{ decision: { impact: ImpactTally } }>(
      'query ($id: ID!) { decision(id: $id) { impact } }',
      { id },
    );
    expect(decision.impact.byRule['values.small']?.newly).toBeGreaterThan(0);
    const asked = () =>
      service.query<{ policyImpact: { progress: string; decisions: number; total: number } }>(
        `query ($commit: String!) { policyImpact(repository: "shop", commit: $commit, since: "2020-01-01")
          { progress decisions total changed trouble { message } byRule { rule newly noLonger } examples { before after rule } } }`,
        { commit: head },
      );
    const done = await eventually('the analysis to end', async () => {
      const { policyImpact } = await asked();
      return policyImpact.progress === 'running' ? null : policyImpact;
    });
    expect(done).toMatchObject({ progress: 'finished', trouble: null, byRule: [{ rule: 'values.small' }] });
    expect(done.decisions).toBe(done.total);
    await expect(
      service.query('{ policyImpact(repository: "nowhere", commit: "x", since: "2020-01-01") { progress } }'),
    ).rejects.toThrow(/no repository nowhere is followed here/);
  }, 180_000);
});
