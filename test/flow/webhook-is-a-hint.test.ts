import {
  allowedSigners,
  createRepository,
  person,
  type Person,
  type ScratchRepository,
  temporaryFolder,
} from '../support/git-fixture.js';
import { startTestService, type TestService } from '../support/service.js';
import { sendGithub } from '../support/webhook.js';
import { eventually } from '../support/world.js';

const folder = temporaryFolder();
const SECRET = 'correct horse battery staple';

interface Seen {
  readonly new: string;
  readonly pusher: string | null;
}

describe('a webhook', () => {
  let service: TestService;
  let repository: ScratchRepository;
  let ann: Person;
  let first: string;

  beforeAll(async () => {
    ann = await person('Ann', 'ann@example.org');
    repository = await createRepository(folder.path('shop'));
    const files = {
      'countersign.yaml': `apiVersion: countersign.dev/v1
environments: [{name: prod, path: environments, namespace: shop}]
policies: {starter: {profile: off}}
`,
      '.countersign/allowed_signers': allowedSigners([ann]),
      '.countersign/identities.yaml': `apiVersion: countersign.dev/v1
people: [{person: ann, principals: [ann@example.org], accounts: {github: [ann-codes]}}]
`,
      'policies/pushed.rego': `package countersign.team.pushed

# METADATA
# custom: {id: team.pushed, scope: change}
warn contains sprintf("%s (%s) pushed, says the %s", [input.push.pusher, input.push.pusherAccount, input.push.pusherVia])
`,
      'environments/a.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n',
    };
    first = await repository.commit({ author: ann, message: 'begin', files });
    service = await startTestService(
      `  - {name: shop, url: ${repository.path}, trust: {commit: ${first}}, poll: 1h, webhook: {secretEnv: HOOK}}`,
      { HOOK: SECRET },
    );
  }, 120_000);
  afterAll(() => service?.close());

  const pushes = async () =>
    (await service.query<{ pushes: { nodes: Seen[] } }>('{ pushes { nodes { new pusher } } }')).pushes.nodes;
  const pusherOf = async (head: string) => (await pushes()).find((push) => push.new === head)?.pusher;
  const post = (secret: string, told: object) =>
    sendGithub(`${service.url}/webhook/github/shop`, secret, 'push', { ref: 'refs/heads/main', ...told });
  const tell = async (before: string, after: string, name = 'ann-codes') => {
    expect(await post(SECRET, { before, after, pusher: { name } })).toBe(202);
  };
  const warned = async (head: string) => {
    const { decisions } = await service.query<{
      decisions: { nodes: { change: { head: string }; warnings: { message: string }[] }[] };
    }>('{ decisions(first: 100, filter: {environment: "prod"}) { nodes { change { head } warnings { message } } } }');
    return decisions.nodes.find(({ change }) => change.head === head)?.warnings.map(({ message }) => message);
  };

  it('makes the service look at once, and nothing it says of commits is believed', async () => {
    const heads = async () => {
      const { pushes } = await service.query<{ pushes: { nodes: { new: string; kind: string }[] } }>(
        '{ pushes { nodes { new kind } } }',
      );
      return pushes.nodes.map((push) => push.new);
    };
    await eventually('the first look', async () => (await heads()).length === 1);

    const second = await repository.commit({ author: ann, message: 'more' });
    const told = { before: first, after: 'f'.repeat(40) };
    expect(await post('somebody else’s secret', told)).toBe(401);
    await new Promise((later) => setTimeout(later, 300));
    expect(await heads()).toEqual([first]);
    expect(await post(SECRET, told)).toBe(202);
    await eventually('the push to be seen', async () => (await heads()).includes(second));
    expect((await heads()).toSorted()).toEqual([first, second].toSorted());
    expect(service.said.join('')).not.toContain(SECRET);
  }, 60_000);

  it('says who pushed from one commit to another, and of no other push', async () => {
    const begun = await repository.head();
    await eventually('the first two to be judged', async () => (await warned(begun)) !== undefined);
    expect((await pushes()).map(({ pusher }) => pusher)).toEqual([null, null]);

    const change = (n: number) =>
      repository.commit({
        author: ann,
        message: `change ${n}`,
        files: { 'environments/a.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a${n}}\n` },
      });
    const second = await change(2);
    await tell(begun, second);
    await eventually('the second to be judged', async () => (await warned(second)) !== undefined);
    expect(await pusherOf(second)).toBe('github:ann-codes');
    expect(await warned(second)).toEqual(['ann (github:ann-codes) pushed, says the webhook']);

    // Two pushes that are seen as one move, of which two webhooks told: nobody made this one.
    const [third, fourth] = [await change(3), await change(4)];
    await tell(third, fourth, 'bo-codes');
    await eventually('both to be judged', async () => (await warned(fourth)) !== undefined);
    await tell(second, third);
    expect(await pusherOf(fourth)).toBeNull();
    expect(await warned(fourth)).toEqual([]);

    // One that comes after the poll that saw its push is recorded beside it.
    await tell(second, fourth, 'cy-codes');
    await eventually('the late word', async () => (await pusherOf(fourth)) === 'github:cy-codes');
    await tell(second, fourth, 'mallory');
    await tell('0'.repeat(40), 'f'.repeat(40), 'mallory');
    const fifth = await change(5);
    await tell(fourth, fifth);
    await eventually('the fifth', async () => (await pusherOf(fifth)) === 'github:ann-codes');
    expect(await pusherOf(fourth)).toBe('github:cy-codes');
  }, 60_000);
});
