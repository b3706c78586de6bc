import { Client } from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { oneWorld } from '../support/one-world.js';
import { eventually, type World } from '../support/world.js';

const folder = 'environments/production';
const [value, other] = ['hunter2-and-then-some-more', 'correct-horse-battery-staple'];

const secret = (text: string): string => `apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: ${text}}
`;

/** Every spelling in which a value could leave. */
const spellings = (text: string): string[] => [
  text,
  Buffer.from(text).toString('base64'),
  Buffer.from(text).toString('hex'),
];

describe('the values of Secrets', () => {
  const here = oneWorld();

  it('reach the cluster, and nothing else (invariant 10)', async () => {
    const { world } = here;
    await world.live(await world.push({ files: { [`${folder}/secret.yaml`]: secret(value) } }));
    const path = world.path('secrets', 'password');
    const live = (await world.dana.must(path)) as unknown as { data: { password: string } };
    expect(Buffer.from(live.data.password, 'base64').toString()).toBe(value);

    // Changed in Git, changed behind our back, refused by the server, judged under a rule that quotes all it sees.
    const quoting = `package countersign.team.quoting
deny contains sprintf("%v", [change.after]) if {
	some change in input.changes
	change.after.kind == "Secret"
	change.after.metadata.labels.quote
}
`;
    await world.live(
      await world.push({ files: { [`${folder}/secret.yaml`]: secret(other), 'policies/quoting.rego': quoting } }),
    );
    await world.dana.edit(path, { data: { password: Buffer.from('dana-was-here-with-a-value').toString('base64') } });
    await eventually(
      'the edit to be corrected',
      async () => {
        const now = (await world.dana.must(path)) as unknown as { data: { password: string } };
        return Buffer.from(now.data.password, 'base64').toString() === other;
      },
      async () =>
        JSON.stringify(
          [await world.runs(), await world.environment(), await world.dana.must(path), world.said.slice(-5)],
          null,
          1,
        ),
      8_000,
    );
    const quoted = secret('a-third-value-for-quoting').replace(
      '{name: password}',
      '{name: password, labels: {quote: "yes"}}',
    );
    const denied = await world.push({ files: { [`${folder}/secret.yaml`]: quoted } });
    expect(await world.decision(denied)).toMatchObject({ outcome: 'deny' });
    const malformed = await world.push({
      files: { [`${folder}/secret.yaml`]: `${secret('a-fourth-value-malformed')}  - ]a-fourth-value-malformed` },
    });
    expect(await world.decision(malformed)).toMatchObject({ outcome: 'deny' });
    const wrong =
      'apiVersion: v1\nkind: Secret\nmetadata: {name: password}\ndata: {password: "a-fifth-value-not-base64"}\n';
    const refused = await world.push({ files: { [`${folder}/secret.yaml`]: wrong } });
    await world.decision(refused);
    await sleep(1_000);

    const values = [
      value,
      other,
      'dana-was-here-with-a-value',
      'a-third-value-for-quoting',
      'a-fourth-value-malformed',
      'a-fifth-value-not-base64',
    ];
    const places = {
      database: await dump(world),
      export: await exported(world),
      graphql: await everything(world),
      said: world.said.join('\n'),
    };
    const found = Object.entries(places).flatMap(([place, text]) =>
      values.flatMap((one) =>
        spellings(one).flatMap((spelling) => (text.includes(spelling) ? [`${spelling} in the ${place}`] : [])),
      ),
    );
    expect(found).toEqual([]);
    // The change of it is seen all the same.
    expect(places.graphql).toContain('password');
    await world.live(await world.push({ files: { [`${folder}/secret.yaml`]: secret('the-last-value-of-them-all') } }));
  });
});

/** Every row of every table, with bytes as text. */
async function dump(world: World): Promise<string> {
  const database = new Client({ connectionString: world.databaseUrl });
  await database.connect();
  try {
    const { rows } = await database.query<{ name: string }>(
      `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`,
    );
    const texts: string[] = [];
    for (const { name } of rows) {
      const all = await database.query<Record<string, unknown>>(`SELECT * FROM "${name}"`);
      for (const row of all.rows)
        for (const column of Object.values(row))
          texts.push(Buffer.isBuffer(column) ? column.toString('latin1') : (JSON.stringify(column) ?? ''));
    }
    return texts.join('\n');
  } finally {
    await database.end();
  }
}

async function exported(world: World): Promise<string> {
  const { evidence } = await world.export();
  try {
    const texts: string[] = [];
    for (const name of evidence.names) texts.push(Buffer.from(await evidence.read(name, 2 ** 28)).toString('latin1'));
    return texts.join('\n');
  } finally {
    await evidence.close();
  }
}

async function everything(world: World): Promise<string> {
  const answer = await world.query(`{
    changes(first: 100) { nodes { objectChanges(first: 100) { nodes { before after patch } } } }
    decisions(first: 100) { nodes { error { message remedy } violations { message fix details } warnings { message details } } }
    drift(first: 100) { nodes { fields attribution } }
    runs(first: 100) { nodes { planned results trouble { message remedy } } }
    faults(first: 100) { nodes { trouble { message remedy } } }
  }`);
  return JSON.stringify([answer, await world.entries()]);
}
