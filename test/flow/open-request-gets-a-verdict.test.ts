import { allowedSigners, createRepository, person, temporaryFolder } from '../support/git-fixture.js';
import { type ForgeServer, startForgeServer } from '../support/forge-server.js';
import { startTestService, type TestService } from '../support/service.js';
import { sendGithub } from '../support/webhook.js';
import { eventually } from '../support/world.js';

const folder = temporaryFolder();
const SECRET = 'correct horse battery staple';
const manifest = (image: string) =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n  template:\n    spec:\n      containers: [{name: c, image: "${image}"}]\n`;
const pinned = `nginx@sha256:${'0'.repeat(64)}`;
let service: TestService | undefined;
let forge: ForgeServer | undefined;
afterEach(async () => {
  await service?.close();
  await forge?.close();
});

describe('an open request', () => {
  it('is judged against its target, told in a status, logged as advice, and deploys nothing', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const repository = await createRepository(folder.path('shop'));
    const commit = (message: string, files: Record<string, string>, more: object = {}) =>
      repository.commit({ author: ann, message, files, ...more });
    const first = await commit('begin', {
      'countersign.yaml':
        'apiVersion: countersign.dev/v1\nenvironments: [{name: shop/production, path: environments, namespace: shop}]\n',
      '.countersign/allowed_signers': allowedSigners([ann]),
      'environments/cart.yaml': manifest(pinned),
    });
    // As a forge keeps it: the head of a request is on no branch that is followed.
    const requestHead = async (number: number, message: string, files: Record<string, string>): Promise<string> => {
      await repository.checkout('work', 'main');
      const head = await commit(message, files);
      await repository.git('update-ref', `refs/pull/${number}/head`, head);
      await repository.checkout('main');
      return head;
    };
    const bad = await requestHead(7, 'faster', { 'environments/cart.yaml': `# why\n${manifest('nginx:latest')}` });
    const relaxed = await requestHead(8, 'relax', {
      'countersign.yaml': 'environments: {',
    });
    forge = await startForgeServer('github');
    forge.requests = [
      { number: 7, head: bad, target: 'main' },
      { number: 8, head: relaxed, target: 'main' },
      { number: 9, head: bad, target: 'elsewhere' },
    ];
    service = await startTestService(
      `  - {name: shop, url: ${repository.path}, trust: {commit: ${first}}, poll: 200ms, webhook: {secretEnv: HOOK},
     forge: {kind: github, api: "${forge.api}", project: acme/shop, tokenEnv: TOKEN}}`,
      { HOOK: SECRET, TOKEN: forge.token },
    );
    const status = (head: string, context: string, state: string) =>
      eventually(
        `${state} of ${context}`,
        async () =>
          forge!
            .statuses()
            .find((one) => one['commit'] === head && one['context'] === context && one['state'] === state),
        async () => JSON.stringify(forge!.statuses()),
      );
    expect(await status(bad, 'countersign/shop/production', 'failure')).toMatchObject({
      description: expect.stringMatching(
        /^denied: images\.pinned at environments\/cart\.yaml:8: .*nginx:latest/,
      ) as string,
    });
    expect(await status(relaxed, 'countersign/governance', 'failure')).toMatchObject({
      description: expect.stringMatching(/^denied: reading\.config-invalid at countersign\.yaml/) as string,
    });

    interface Shown {
      readonly advice: { readonly nodes: readonly Readonly<Record<string, unknown>>[] };
    }
    const advised = async (filter: string): Promise<Shown['advice']['nodes']> =>
      (
        await service!.query<Shown>(`{ advice(filter: {repository: "shop", ${filter}}) { nodes {
          number head environment outcome violations { rule } description reportedAt endedAt } } }`)
      ).advice.nodes;
    await eventually('the status to be noted', async () => {
      const shown = await advised('open: true');
      return shown.length === 3 && shown.every((one) => one['reportedAt'] !== null);
    });
    expect(await advised('number: 7')).toMatchObject([
      {
        number: 7,
        head: bad,
        environment: 'shop/production',
        outcome: 'deny',
        violations: [{ rule: 'images.pinned' }],
      },
    ]);

    // Mended and pushed again; the forge says so.
    await repository.checkout('work', bad);
    const good = await commit('faster', { 'environments/cart.yaml': `# why\n${manifest(pinned)}` }, { amend: true });
    await repository.git('update-ref', 'refs/pull/7/head', good);
    await repository.checkout('main');
    forge.requests = [{ number: 7, head: good, target: 'main' }];
    const hook = async (): Promise<void> => {
      const told = { action: 'synchronize', number: 7 };
      expect(await sendGithub(`${service!.url}/webhook/github/shop`, SECRET, 'pull_request', told)).toBe(202);
    };
    await hook();
    expect(await status(good, 'countersign/shop/production', 'success')).toMatchObject({ description: 'allowed' });

    await eventually('only what holds to be open', async () => {
      const shown = await advised('open: true');
      return shown.length === 1 && shown[0]['head'] === good && shown[0]['reportedAt'] !== null;
    });
    const over = (await advised('open: false')).map(({ number, head }) => `${String(number)} ${String(head)}`);
    expect(over).toHaveLength(3);
    expect(new Set(over)).toEqual(new Set([`7 ${bad}`, `8 ${relaxed}`]));

    // Asked again, the same is neither judged nor told again.
    const posts = forge.statuses().length;
    const asks = forge.asked.length;
    await hook();
    await eventually('another look', async () => forge!.asked.length > asks);
    await new Promise((later) => setTimeout(later, 300));
    expect(forge.statuses()).toHaveLength(posts);

    const { entries, environment, decisions } = await service.query<{
      entries: { nodes: { type: string; predicate: Record<string, unknown> }[] };
      environment: { head: string; approved: string };
      decisions: { nodes: { change: { head: string } }[] };
    }>(`{ entries(first: 200) { nodes { type predicate } } decisions { nodes { change { head } } }
         environment(repository: "shop", name: "shop/production") { head approved } }`);
    const advice = entries.nodes.filter(({ type, predicate }) => type === 'decision' && predicate['advice'] === true);
    expect(advice.map(({ predicate }) => predicate)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          head: bad,
          outcome: 'deny',
          request: 'refs/pull/7/head',
          operation: 'push',
          pushEntry: null,
          base: first,
        }),
        expect.objectContaining({ head: good, outcome: 'allow', environment: 'shop/production' }),
      ]),
    );
    expect(advice.filter(({ predicate }) => predicate['head'] === good)).toHaveLength(1);
    expect(environment).toEqual({ head: first, approved: first });
    expect(decisions.nodes.map(({ change }) => change.head)).not.toContain(good);

    // A forge that refuses is a fault that anybody can see, and nothing else stops for it.
    forge.instead = { status: 403, body: '{}' };
    await hook();
    await eventually('the fault', async () => {
      const { faults } = await service!.query<{
        faults: { nodes: { index: number | null; trouble: { remedy: string } }[] };
      }>('{ faults(filter: {code: "forge-failed"}) { nodes { index trouble { remedy } } } }');
      return faults.nodes.find((fault) => fault.index !== null && /token/.test(fault.trouble.remedy));
    });
    const next = await commit('more', {
      'environments/other.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: o}\n',
    });
    await eventually('the push to be approved', async () => {
      const { environment: now } = await service!.query<{ environment: { approved: string } }>(
        '{ environment(repository: "shop", name: "shop/production") { approved } }',
      );
      return now.approved === next;
    });
    expect(service.said.join('')).not.toContain(forge.token);
  }, 120_000);
});
