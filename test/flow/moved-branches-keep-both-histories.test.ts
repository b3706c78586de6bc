import { allowedSigners, createRepository, person, temporaryFolder } from '../support/git-fixture.js';
import { startTestService, type TestService } from '../support/service.js';
import { eventually } from '../support/world.js';

interface Seen {
  readonly id: string;
  readonly message: string;
  readonly parents: readonly string[];
}
interface Push {
  readonly ref: string;
  readonly kind: string;
  readonly old: string | null;
  readonly new: string | null;
  readonly oldCommit: Seen | null;
  readonly newCommit: Seen | null;
  readonly entry: { readonly type: string; readonly predicate: Readonly<Record<string, unknown>> } | null;
}
interface Decision {
  readonly outcome: string;
  readonly index: number | null;
  readonly violations: readonly { readonly rule: string; readonly message: string }[];
  readonly change: { readonly head: string; readonly push: { readonly kind: string } | null };
}

const folder = temporaryFolder();
const MAIN = 'refs/heads/main';
const rule = `package countersign.history

# METADATA
# title: What was pushed stays
# custom:
#   id: history.kept
#   scope: change
deny contains result if {
	input.push.forced
	result := {"msg": sprintf("%s was rewritten", [input.push.ref])}
}
`;
const manifest = (value: number) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: "${value}"}\n`;
const rules = ({ violations }: Decision) => violations.map((violation) => violation.rule);
let service: TestService | undefined;
afterEach(() => service?.close());

describe('a branch that moves', () => {
  it('in any way is in the log with how it moved; both histories stay, and a policy can forbid it', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const repository = await createRepository(folder.path('shop'));
    const commit = (message: string, value: number, more: object = {}) =>
      repository.commit({ author: ann, message, files: { 'environments/a.yaml': manifest(value) }, ...more });
    const settings =
      'apiVersion: countersign.dev/v1\nenvironments: [{name: prod, path: environments, namespace: shop}]\n';
    await repository.commit({
      author: ann,
      message: 'begin',
      files: {
        'countersign.yaml': settings,
        '.countersign/allowed_signers': allowedSigners([ann]),
        'policies/history.rego': rule,
      },
    });
    const first = await commit('first', 1);
    service = await startTestService(
      `  - {name: shop, url: ${repository.path}, refs: [${MAIN}, refs/heads/side], trust: {commit: ${first}}, poll: 100ms}`,
    );
    const decision = (head: string, kind: string): Promise<Decision> =>
      eventually(`a decision on the ${kind} ${head.slice(0, 7)}`, async () => {
        const { decisions } = await service!.query<{ decisions: { nodes: Decision[] } }>(
          '{ decisions(filter: {environment: "prod"}) { nodes { outcome index violations { rule message } change { head push { kind } } } } }',
        );
        return decisions.nodes.find(
          ({ index, change }) => index !== null && change.head === head && change.push?.kind === kind,
        );
      });
    expect((await decision(first, 'created')).outcome).toBe('allow');
    const approved = await commit('approved', 2);
    expect((await decision(approved, 'advanced')).outcome).toBe('allow');

    const lost = await commit('unsigned', 3, { sign: false });
    expect((await decision(lost, 'advanced')).outcome).toBe('deny');
    const forced = await commit('another', 4, { amend: true });
    // What was approved is still an ancestor: nothing but the policy forbids it.
    expect(rules(await decision(forced, 'forced'))).toEqual(['history.kept']);
    await repository.rewind(first);
    expect(rules(await decision(first, 'rewound'))).toEqual(
      expect.arrayContaining(['history.kept', 'reading.history-rewritten']),
    );
    await repository.git('branch', 'side', approved);
    const pushes = async (): Promise<Push[]> => {
      const answer = await service!.query<{ pushes: { nodes: Push[] } }>(
        `{ pushes { nodes { ref kind old new oldCommit { id message parents } newCommit { id message parents }
           entry { type predicate } } } }`,
      );
      return answer.pushes.nodes;
    };
    const moved = (kind: string): Promise<Push> =>
      eventually(`a ${kind} ref`, async () => (await pushes()).find((push) => push.kind === kind && push.entry));
    await eventually('the new branch', async () => (await pushes()).find(({ ref }) => ref === 'refs/heads/side'));
    await repository.git('branch', '-D', 'side');

    expect(await moved('deleted')).toMatchObject({ ref: 'refs/heads/side', old: approved, new: null, newCommit: null });
    const seen = [await moved('forced'), await moved('rewound')];
    expect(seen).toMatchObject([
      { oldCommit: { id: lost, message: 'unsigned\n' }, newCommit: { id: forced, parents: [approved] } },
      { oldCommit: { id: forced, message: 'another\n' }, newCommit: { id: first } },
    ]);
    for (const { kind, ref, old, new: now, entry } of seen) {
      expect(entry).toMatchObject({ type: 'push', predicate: { kind, ref, old, new: now } });
    }
    // Each commit of the history that was thrown away is still there to be read.
    const { commit: kept } = await service.query<{ commit: Seen }>(
      'query ($id: String!) { commit(repository: "shop", id: $id) { id message parents } }',
      { id: lost },
    );
    expect(kept).toEqual({ id: lost, message: 'unsigned\n', parents: [approved] });
  }, 90_000);
});
