import { runCli } from '../../test/support/cli.js';
import { createRepository, person, temporaryFolder, type ScratchRepository } from '../../test/support/git-fixture.js';

const folder = temporaryFolder();
let repository: ScratchRepository;

const application = (name: string, source: string): string =>
  `apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: ${name}}\nspec:\n  source: ${source}\n  destination: {namespace: shop}\n`;
const config = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n';

beforeAll(async () => {
  repository = await createRepository(folder.path('gitops'));
  const own = '{repoURL: "https://git.example.org/gitops.git", path: apps/cart, targetRevision: main}';
  const files = {
    'apps/cart/a.yaml': config,
    'clusters/cart.yaml': application('cart', own),
    'charts/all/templates/app.yaml': application('{{ .Values.name }}', own),
    'charts/all/templates/other.yaml': 'name: {{ .Values.name }}\n',
    'clusters/redis.yaml': application(
      'redis',
      '{repoURL: "https://charts.example.org", chart: redis, targetRevision: "1"}',
    ),
  };
  await repository.commit({ author: await person('Ann', 'ann@example.org'), sign: false, message: 'x', files });
});

describe('countersign environments', () => {
  it('says where to begin in a repository without countersign.yaml', async () => {
    const { code, stdout } = await runCli(['environments', repository.path]);
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^none: [0-9a-f]{12} has no countersign\.yaml; --discover /),
    ]);
  });

  it('discovers what Argo CD knows, and names what it does not understand and what it cannot read', async () => {
    const { code, stdout, stderr } = await runCli(['environments', repository.path, '--discover', '--output', 'json']);
    const { environments, problems } = JSON.parse(stdout) as {
      environments: { name: string; path: string }[];
      problems: { place: { file: string } }[];
    };
    expect([code, stderr]).toEqual([1, '']);
    expect(environments).toEqual([{ name: 'cart', path: 'apps/cart', ref: 'refs/heads/main', namespace: 'shop' }]);
    expect(problems.map(({ place }) => place.file)).toEqual(['charts/all/templates/app.yaml', 'clusters/redis.yaml']);
  });
});
