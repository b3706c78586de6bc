import { Client } from 'pg';
import { EXCEPTION_NAMESPACE, exceptionText } from '../../src/policy/exception.js';
import { signWithSsh } from '../../src/adapters/keys/ssh-keygen.js';
import type { ImpactTally } from '../../src/review/impact-tally.js';
import { runCli } from '../support/cli.js';
import { createRepository, person, type Person, temporaryFolder } from '../support/git-fixture.js';
import { startTestService, type TestService } from '../support/service.js';
import { eventually } from '../support/world.js';

interface Decision {
  readonly id: string;
  readonly outcome: string;
  readonly index: string | null;
  readonly violations: readonly { readonly rule: string; readonly message: string; readonly place: object }[];
  readonly impact: ImpactTally | null;
}

const folder = temporaryFolder();
const manifest = (value: number) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: "${value}"}\n`;
const limit = (most: number) => `package acme.values

# METADATA
# title: Values are small
# custom: {id: acme.small}
deny contains sprintf("more than %d", [${most}]) if to_number(input.data.value) > ${most}
`;
const above = (more = '') => `apiVersion: countersign.dev/v1
policies: {starter: {profile: "off"}}
organisation:
  allow: {exceptions: [acme.other]}
${more}`;
const below = (starter = 'profile: "off"') => `apiVersion: countersign.dev/v1
environments: [{name: prod, path: environments/prod, namespace: shop}]
policies: {starter: {${starter}}}
`;

/** Invariant 2, one storey higher: a repository chooses neither its organisation's policy nor whether that counts. */
describe('an organisation', () => {
  let service: TestService;
  let database: Client;
  let ann: Person;
  let policies: Awaited<ReturnType<typeof createRepository>>;
  let shop: Awaited<ReturnType<typeof createRepository>>;

  const lay = (message: string, files: Record<string, string>) => policies.commit({ author: ann, message, files });
  const push = (message: string, files: Record<string, string>, gone: readonly string[] = []) =>
    shop.commit({ author: ann, message, files, delete: gone });

  beforeAll(async () => {
    ann = await person('Ann', 'ann@example.org');
    const signers = { '.countersign/allowed_signers': `ann@example.org ${ann.publicKey}\n` };
    policies = await createRepository(folder.path('policies'));
    shop = await createRepository(folder.path('shop'));
    const first = await lay('begin', { ...signers, 'countersign.yaml': above(), 'policies/small.rego': limit(5) });
    const begin = await push('begin', { ...signers, 'countersign.yaml': below(), 'environments/prod/a.yaml': manifest(4) }); // prettier-ignore
    service = await startTestService(
      `  - {name: shop, url: ${shop.path}, trust: {commit: ${begin}}, poll: 100ms}`,
      {},
      `organisation: {name: policies, url: ${policies.path}, trust: {commit: ${first}}, poll: 100ms}\n`,
    );
    database = new Client({ connectionString: service.database });
    await database.connect();
    await judged('shop', 'prod', begin, 'allow');
  }, 90_000);

  afterAll(async () => {
    await database?.end();
    await service?.close();
  });

  async function decisions(repository: string, environment: string, head: string): Promise<Decision[]> {
    const { rows } = await database.query<Decision>(
      `SELECT decision.id, outcome, log_index AS index, decision.violations, impact FROM decision JOIN change ON change.id = decision.change
       WHERE decision.repository = $1 AND decision.environment = $2 AND change.head = $3 AND log_index IS NOT NULL ORDER BY decision.time DESC`,
      [repository, environment, head],
    );
    return rows;
  }

  const judged = (repository: string, environment: string, head: string, outcome: string): Promise<Decision> =>
    eventually(
      `${repository} ${environment} at ${head.slice(0, 7)} to be ${outcome}`,
      async () => (await decisions(repository, environment, head)).find((one) => one.outcome === outcome),
      async () => JSON.stringify([await decisions(repository, environment, head), service.said.slice(-3)]),
      120_000,
    );

  it('judges with its rules what its repositories propose, and every entry says by which of its commits', async () => {
    const head = await push('too much', { 'environments/prod/a.yaml': manifest(7) });
    const { violations, index } = await judged('shop', 'prod', head, 'deny');
    expect(violations).toMatchObject([
      { rule: 'acme.small', message: 'more than 5', place: { file: 'organisation:policies/small.rego', line: 6 } },
    ]);
    const data = await service.query<{ entry: { predicate: object } }>(
      'query ($index: Long!) { entry(index: $index) { predicate } }',
      { index: Number(index) },
    );
    const commit = await policies.head();
    expect(data.entry.predicate).toMatchObject({ organisation: { repository: 'policies', commit } });
    // What a developer asks beforehand says the same.
    const asked = ['check', shop.path, '--organisation', policies.path, '--output', 'json'];
    const checked = await runCli(asked);
    expect(checked.code).toBe(1);
    expect(checked.stdout).toContain('"rule":"acme.small"');
    expect((await runCli(asked.filter((word) => !word.includes('organisation') && word !== policies.path))).code).toBe(
      0,
    );
  }, 240_000);

  it('is not weakened below: no clause more, no exception, nothing switched off', async () => {
    const fixed = await push('small again', { 'environments/prod/a.yaml': manifest(4) });
    await judged('shop', 'prod', fixed, 'allow');
    const statement = exceptionText({
      repository: 'shop',
      rule: 'acme.small',
      scope: { environment: 'prod', kind: 'ConfigMap', namespace: 'shop', name: 'a' },
      owner: 'shop team',
      reason: 'sale',
      ticket: 'OPS-7',
      expires: new Date(Date.now() + 3_600_000).toISOString(),
    });
    const signature = await signWithSsh(ann.keyFile, EXCEPTION_NAMESPACE, statement);
    const excepted = '.countersign/exceptions/sale.yaml';
    for (const [files, says, place] of [
      [
        { 'policies/x.rego': 'package acme.values\n\nx := 1\n' },
        /package acme\.values is the organisation's/,
        { file: 'policies/x.rego', line: 1 },
      ],
      [
        { 'policies/data.yaml': 'a: 1\nacme: {values: {}}\n' },
        /data\.acme\.values is the organisation's/,
        { file: 'policies/data.yaml', line: 2 },
      ],
      [
        { [excepted]: statement, [`${excepted}.sig`]: signature },
        /acme\.small is a rule of the organisation/,
        { file: excepted, line: 4 },
      ],
    ] as const) {
      const head = await push('weaken', files);
      const { violations } = await judged('shop', 'governance', head, 'deny');
      expect(violations).toMatchObject([{ message: expect.stringMatching(says) as string, place }]);
      await push('leave it', {}, Object.keys(files));
    }
  }, 240_000);

  it('moves by its own policy, tells what that would have changed, and judges its repositories again', async () => {
    const head = await push('five', { 'environments/prod/a.yaml': manifest(5) });
    await judged('shop', 'prod', head, 'allow');
    const stricter = await lay('stricter', { 'policies/small.rego': limit(3) });
    const { impact } = await judged('policies', 'governance', stricter, 'allow');
    expect(impact?.byRule['acme.small']?.newly).toBeGreaterThan(0);
    expect(Object.keys(impact?.byEnvironment ?? {})).toContain('shop prod');
    const { violations } = await judged('shop', 'prod', head, 'deny');
    expect(violations).toMatchObject([{ message: 'more than 3' }]);
    const mended = await push('smaller', { 'environments/prod/a.yaml': manifest(2) });
    await judged('shop', 'prod', mended, 'allow');
  }, 240_000);

  it('whose change does not compile is denied with its place, and what was in force stays in force everywhere', async () => {
    const broken = await lay('broken', { 'policies/small.rego': 'package acme.values\n\ndeny contains x if y\n' });
    const { violations } = await judged('policies', 'governance', broken, 'deny');
    expect(violations).toMatchObject([
      { rule: 'reading.rego-invalid', place: { file: 'policies/small.rego', line: 3 } },
    ]);
    const head = await push('too much', { 'environments/prod/a.yaml': manifest(9) });
    expect((await judged('shop', 'prod', head, 'deny')).violations).toMatchObject([{ message: 'more than 3' }]);
    await lay('mended', { 'policies/small.rego': limit(3) });
    await judged('shop', 'prod', await push('small', { 'environments/prod/a.yaml': manifest(1) }), 'allow');
  }, 240_000);

  it('is not stopped by a repository that has taken the name of its next rules: nothing is allowed there until it is mended', async () => {
    const squatter = { 'policies/own.rego': 'package acme.next\n\nx := 1\n' };
    const head = await push('a package', squatter);
    await judged('shop', 'governance', head, 'allow');
    await judged('shop', 'prod', head, 'allow');
    const rule = 'package acme.next\n\n# METADATA\n# custom: {id: acme.odd}\ndeny contains "odd" if to_number(input.data.value) == 3\n'; // prettier-ignore
    const next = await lay('the next rule', { 'policies/next.rego': rule });
    await judged('policies', 'governance', next, 'allow');
    const misfit = { message: expect.stringMatching(/does not go with the organisation’s policy .*package acme\.next is/) as string, place: { file: 'policies/own.rego', line: 1 } }; // prettier-ignore
    const told = await judged('shop', 'governance', head, 'deny');
    expect(told.violations).toMatchObject([misfit]);
    const more = await push('one more', { 'environments/prod/a.yaml': manifest(2) });
    expect((await judged('shop', 'prod', more, 'deny')).violations).toMatchObject([misfit]);
    const mended = await push('a package of our own', { 'environments/prod/a.yaml': manifest(3) }, Object.keys(squatter)); // prettier-ignore
    await judged('shop', 'governance', mended, 'allow');
    expect((await judged('shop', 'prod', mended, 'deny')).violations).toMatchObject([{ rule: 'acme.odd' }]);
    // Every decision again, from what the log keeps.
    const replay = await runCli(['replay', '--data', service.data, '--database', service.database, '--output', 'json']);
    expect([replay.code, replay.stderr, JSON.parse(replay.stdout)]).toEqual([0, '', expect.objectContaining({ differ: 0 })]); // prettier-ignore
  }, 240_000);
});
