import { createHmac, randomUUID } from 'node:crypto';
import { allowedSigners, createRepository, person, temporaryFolder } from '../support/git-fixture.js';
import { startTestService, type TestService } from '../support/service.js';
import { eventually } from '../support/world.js';

const folder = temporaryFolder();
const SECRET = 'correct horse battery staple';
let service: TestService | undefined;
afterEach(() => service?.close());

describe('a webhook', () => {
  it('makes the service look at once, and nothing it says of commits is believed', async () => {
    const ann = await person('Ann', 'ann@example.org');
    const repository = await createRepository(folder.path('shop'));
    const files = {
      'countersign.yaml':
        'apiVersion: countersign.dev/v1\nenvironments: [{name: prod, path: environments, namespace: shop}]\n',
      '.countersign/allowed_signers': allowedSigners([ann]),
      'environments/a.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n',
    };
    const first = await repository.commit({ author: ann, message: 'begin', files });
    service = await startTestService(
      `  - {name: shop, url: ${repository.path}, trust: {commit: ${first}}, poll: 1h, webhook: {secretEnv: HOOK}}`,
      { HOOK: SECRET },
    );
    const heads = async () => {
      const { pushes } = await service!.query<{ pushes: { nodes: { new: string; kind: string }[] } }>(
        '{ pushes { nodes { new kind } } }',
      );
      return pushes.nodes.map((push) => push.new);
    };
    await eventually('the first look', async () => (await heads()).length === 1);

    const second = await repository.commit({ author: ann, message: 'more' });
    const body = JSON.stringify({ ref: 'refs/heads/main', before: first, after: 'f'.repeat(40) });
    const post = (secret: string) =>
      fetch(`${service!.url}/webhook/github/shop`, {
        method: 'POST',
        body,
        headers: {
          'content-type': 'application/json',
          'x-github-event': 'push',
          'x-github-delivery': randomUUID(),
          'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
        },
      });
    expect((await post('somebody else’s secret')).status).toBe(401);
    await new Promise((later) => setTimeout(later, 300));
    expect(await heads()).toEqual([first]);
    expect((await post(SECRET)).status).toBe(202);
    await eventually('the push to be seen', async () => (await heads()).includes(second));
    expect((await heads()).toSorted()).toEqual([first, second].toSorted());
    expect(service.said.join('')).not.toContain(SECRET);
  }, 60_000);
});
