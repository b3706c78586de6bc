import { Client } from 'pg';
import { allowedSigners, createRepository, person, temporaryFolder } from '../support/git-fixture.js';
import { runCli } from '../support/cli.js';
import { startTestService, type TestService } from '../support/service.js';
import { eventually } from '../support/world.js';

interface Decision {
  readonly outcome: string;
  readonly index: string | null;
}

const folder = temporaryFolder();
const MAIN = 'refs/heads/main';
const manifest = (value: number) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: "${value}"}\n`;
const settings = (environments: string) =>
  `apiVersion: countersign.dev/v1\nenvironments: [${environments}]\npolicies: {starter: {off: [change.approvals]}}\n`;
const PROD = '{name: prod, path: environments/prod, namespace: shop}';
const TEST = '{name: test, path: environments/test, namespace: shop-test}';

const constraint = (kind: string) =>
  `apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: ${kind}\nmetadata: {name: distinct}\nspec: {match: {namespaces: [sh*]}}\n`;

describe('when governance moves', () => {
  let service: TestService;
  let database: Client;
  const made = Promise.all([person('Ann', 'ann@example.org'), person('Eve', 'eve@example.org')]);
  const begin = async () => {
    const [ann] = await made;
    const repository = await createRepository(folder.path('shop'));
    const first = await repository.commit({
      author: ann,
      message: 'begin',
      files: {
        'countersign.yaml': settings(`${PROD}, ${TEST}`),
        '.countersign/allowed_signers': allowedSigners([ann]),
        'environments/prod/a.yaml': manifest(1),
        'environments/test/a.yaml': manifest(1),
      },
    });
    return { repository, first };
  };
  let repository: Awaited<ReturnType<typeof begin>>['repository'];

  beforeAll(async () => {
    const { repository: shop, first } = await begin();
    repository = shop;
    service = await startTestService(
      `  - {name: shop, url: ${shop.path}, refs: [${MAIN}], trust: {commit: ${first}}, poll: 100ms}`,
    );
    database = new Client({ connectionString: service.database });
    await database.connect();
    await judged('prod', first);
    await judged('test', first);
  }, 90_000);

  afterAll(async () => {
    await database?.end();
    await service?.close();
  });

  async function decisions(environment: string, head: string): Promise<Decision[]> {
    const rows = await database.query<Decision>(
      `SELECT outcome, log_index AS index FROM decision JOIN change ON change.id = decision.change
       WHERE decision.environment = $1 AND change.head = $2 ORDER BY decision.time`,
      [environment, head],
    );
    return rows.rows;
  }

  const judged = (environment: string, head: string): Promise<Decision> =>
    eventually(
      `a decision on ${environment} at ${head.slice(0, 7)}`,
      async () => (await decisions(environment, head)).find(({ index }) => index !== null),
      async () => service.said.slice(-3).join(''),
    );

  const governs = async (): Promise<string> =>
    (await database.query<{ commit: string }>('SELECT governance_commit AS commit FROM repository')).rows[0].commit;

  it('in its signers only, what their keys signed before is judged again', async () => {
    const [ann, eve] = await made;
    const head = await repository.commit({
      author: eve,
      message: 'by somebody not known yet',
      files: { 'environments/prod/a.yaml': manifest(2) },
    });
    expect(await judged('prod', head)).toMatchObject({ outcome: 'deny' });
    await repository.rewind(`${head}~1`);
    const known = await repository.commit({
      author: ann,
      message: 'Eve is one of us',
      files: { '.countersign/allowed_signers': allowedSigners([ann, eve]) },
    });
    expect(await judged('governance', known)).toMatchObject({ outcome: 'allow' });
    const next = await repository.commit({
      author: eve,
      message: 'again',
      files: { 'environments/prod/a.yaml': manifest(3) },
    });
    expect(await judged('prod', next)).toMatchObject({ outcome: 'allow' });
    const gone = await repository.commit({
      author: ann,
      message: 'Eve has left',
      files: { '.countersign/allowed_signers': allowedSigners([ann]) },
    });
    expect(await judged('governance', gone)).toMatchObject({ outcome: 'allow' });
    expect(await judged('prod', gone)).toBeDefined();
  });

  it('to a folder that nobody judged, all that is in it is a change', async () => {
    const [ann] = await made;
    const pod = `apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: "x:latest", securityContext: {privileged: true}}]}\n`; // prettier-ignore
    const outside = await repository.commit({ author: ann, message: 'unseen', files: { 'elsewhere/p.yaml': pod } });
    expect(await judged('prod', outside)).toMatchObject({ outcome: 'allow' });
    const moved = settings(`${PROD.replace('environments/prod', 'elsewhere')}, ${TEST}`);
    const head = await repository.commit({ author: ann, message: 'look there', files: { 'countersign.yaml': moved } });
    expect(await judged('governance', head)).toMatchObject({ outcome: 'allow' });
    expect(await judged('prod', head)).toMatchObject({ outcome: 'deny' });
    const back = settings(`${PROD}, ${TEST}`);
    const restored = await repository.commit({ author: ann, message: 'back', files: { 'countersign.yaml': back } });
    expect(await judged('prod', restored)).toMatchObject({ outcome: 'allow' });
  });

  it('is allowed and taken up in one step, or not at all: then it is judged anew', async () => {
    const [ann] = await made;
    const before = await governs();
    await database.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the connection is lost' USING ERRCODE = '57P01'; END $$;
      CREATE TRIGGER refuse BEFORE UPDATE OF governance_commit ON repository FOR EACH ROW
        WHEN (OLD.governance_commit IS DISTINCT FROM NEW.governance_commit) EXECUTE FUNCTION refuse();
    `);
    const head = await repository.commit({
      author: ann,
      message: 'test is no more',
      files: { 'countersign.yaml': settings(PROD) },
    });
    await eventually('a failure', async () => service.said.find((line) => line.includes('the connection is lost')));
    expect(await decisions('governance', head)).toEqual([]);
    expect(await governs()).toBe(before);
    await database.query('DROP TRIGGER refuse ON repository');
    expect(await judged('governance', head)).toMatchObject({ outcome: 'allow' });
    expect(await governs()).toBe(head);
    expect(await decisions('governance', head)).toHaveLength(1);
  });

  it('and brings an environment back as it was, that is judged again, for somebody has to hold it', async () => {
    const [ann] = await made;
    const head = await repository.commit({
      author: ann,
      message: 'test is back',
      files: { 'countersign.yaml': settings(`${PROD}, ${TEST}`) },
    });
    expect(await judged('test', head)).toMatchObject({ outcome: 'allow' });
  });

  it('and the place of a decision cannot be written down, that is made good without judging twice', async () => {
    const [ann] = await made;
    await database.query(`
      CREATE TRIGGER refuse BEFORE UPDATE OF log_index ON decision FOR EACH ROW
        WHEN (NEW.environment = 'prod') EXECUTE FUNCTION refuse();
    `);
    const head = await repository.commit({
      author: ann,
      message: 'one more',
      files: { 'environments/prod/a.yaml': manifest(4) },
    });
    await eventually('a decision without its place', async () => (await decisions('prod', head))[0]);
    await database.query('DROP TRIGGER refuse ON decision');
    await judged('prod', head);
    const next = await repository.commit({
      author: ann,
      message: 'and one more',
      files: { 'environments/prod/a.yaml': manifest(5) },
    });
    await judged('prod', next);
    expect(await decisions('prod', head)).toHaveLength(1);
  });

  it("to Gatekeeper's constraints, they judge from then on, and replay; a broken one does not move it", async () => {
    const [ann] = await made;
    const template = `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: onevalue}
spec:
  crd: {spec: {names: {kind: OneValue}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package onevalue
        violation[{"msg": msg}] {
          other := data.inventory.namespace[_]["v1"]["ConfigMap"][name]
          name != input.review.object.metadata.name
          other.data.value == input.review.object.data.value
          msg := sprintf("%v has this value", [name])
        }
`;
    const moved = await repository.commit({
      author: ann,
      message: 'values are distinct',
      files: { 'policies/template.yaml': template, 'policies/constraint.yaml': constraint('OneValue') },
    });
    expect(await judged('governance', moved)).toMatchObject({ outcome: 'allow' });
    const second = (value: number) => manifest(value).replace('name: a', 'name: b');
    const same = await repository.commit({
      author: ann,
      message: 'the same again',
      files: { 'environments/prod/a.yaml': manifest(7), 'environments/prod/b.yaml': second(7) },
    });
    expect(await judged('prod', same)).toMatchObject({ outcome: 'deny' });
    const broken = await repository.commit({
      author: ann,
      message: 'a constraint without its template',
      files: { 'policies/constraint.yaml': constraint('TwoValues'), 'environments/prod/b.yaml': second(8) },
    });
    expect(await judged('governance', broken)).toMatchObject({ outcome: 'deny' });
    expect(await governs()).toBe(moved);
    expect(await judged('prod', broken)).toMatchObject({ outcome: 'allow' });
    // By Open Policy Agent's own SDK, with the same input and Wasm out of the log.
    const replay = ['replay', '--data', service.data, '--database', service.database, '--with', 'opa-wasm'];
    const { code, stdout, stderr } = await runCli([...replay, '--output', 'json']);
    expect([code, stderr, JSON.parse(stdout)]).toEqual([0, '', expect.objectContaining({ differ: 0 })]);
  });

  it('and what could not be judged is judged again by itself', async () => {
    const [ann] = await made;
    const rule = `package countersign.team.early

# METADATA
# custom:
#   id: team.early
#   scope: change
deny contains "never" if {
	some change in input.changes
	time.parse_rfc3339_ns(input.time) < time.parse_rfc3339_ns(change.after.data.until)
	some x in numbers.range(1, 60000)
	some y in numbers.range(1, 60000)
	x * y == 0.5
}
`;
    const rules = await repository.commit({
      author: ann,
      message: 'slow, and the constraint mended',
      files: { 'policies/early.rego': rule, 'policies/constraint.yaml': constraint('OneValue') },
    });
    expect(await judged('governance', rules)).toMatchObject({ outcome: 'allow' });
    await judged('prod', rules);
    let outcomes: string[] = [];
    // Longer where the machine was so busy that it came too late to fail.
    for (const seconds of [3, 20, 40]) {
      const until = new Date(Date.now() + seconds * 1_000).toISOString();
      const head = await repository.commit({
        author: ann,
        message: 'early',
        files: { 'environments/prod/a.yaml': manifest(9).replace('{value: "9"}', `{until: "${until}"}`) },
      });
      await eventually('it to be allowed', async () =>
        (await decisions('prod', head)).some(({ outcome, index }) => outcome === 'allow' && index !== null),
      );
      outcomes = (await decisions('prod', head)).map(({ outcome }) => outcome);
      if (outcomes.length > 1) break;
    }
    // That it failed is recorded once, however often it was tried.
    expect(outcomes).toEqual(['error', 'allow']);
    const gone = await repository.commit({ author: ann, message: 'no longer', delete: ['policies/early.rego'] });
    expect(await judged('prod', gone)).toMatchObject({ outcome: 'allow' });
  });
});
