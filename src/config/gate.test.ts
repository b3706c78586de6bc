import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, withoutSecrets, type Config } from '../config.js';

const COMMIT = 'abcdef12'.repeat(5);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-gates-'));
  await writeFile(join(folder, 'argocd.yaml'), '');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function load(gate: string, above = ''): Promise<Config> {
  const file = join(folder, 'service.yaml');
  const repositories = `  - {name: shop, url: shop.git, refs: [refs/heads/countersign/approved/x/main, refs/heads/live], trust: {commit: ${COMMIT}}}\n  - {name: other, url: other.git, trust: {commit: ${COMMIT}}}\n`; // prettier-ignore
  await writeFile(file, `repositories:\n${repositories}${above}gates:\n  - ${gate}\n`);
  return loadConfig(file, { data: folder, env: { TOKEN: 'hunter2-hunter2' } });
}
const refusal = (gate: string, above = ''): Promise<string> =>
  load(gate, above).then(() => 'taken', (error: Error) => error.message); // prettier-ignore

describe('a gate of service.yaml', () => {
  it('has a folder of branches of its own', async () => {
    const { gates } = await load('{name: prod, grants: [{repository: other, namespaces: [shop]}]}');
    expect(gates).toMatchObject([{ name: 'prod', refs: 'refs/heads/countersign/approved/' }]);
  });

  it('may have it elsewhere, with secrets that are shown nowhere', async () => {
    const config = await load('{name: prod, url: "https://git.example.org/live.git", credentials: {tokenEnv: TOKEN}, ref: "refs/heads/live/*", grants: [{repository: shop}], status: {kubeconfig: argocd.yaml}}'); // prettier-ignore
    expect(config.gates[0]).toMatchObject({ refs: 'refs/heads/live/', remote: { credentials: { token: 'hunter2-hunter2' } }, status: { kubeconfig: join(folder, 'argocd.yaml') } }); // prettier-ignore
    expect(JSON.stringify(withoutSecrets(config))).not.toContain('hunter2');
  });

  it.each([
    ['of all branches', '{name: prod, ref: "refs/heads/*"}', 'a folder of branches'],
    ['of one branch', '{name: prod, ref: refs/heads/main}', 'a folder of branches'],
    ['of tags', '{name: prod, ref: "refs/tags/approved/*"}', 'a folder of branches'],
    ['that leaves its folder', '{name: prod, ref: "refs/heads/a/../*"}', 'a folder of branches'],
    ['with a branch that is judged', '{name: prod, grants: [{repository: shop}]}', 'refs/heads/countersign/approved/x/main is a branch that shop is judged by'], // prettier-ignore
    ['of several repositories elsewhere', '{name: prod, url: live.git, grants: [{repository: shop}, {repository: other}]}', 'a gate of its own'], // prettier-ignore
    ['with credentials for nothing', '{name: prod, credentials: {tokenEnv: TOKEN}}', 'it goes with "url"'],
    ['of a repository that is not there', '{name: prod, grants: [{repository: shpo}]}', 'did you mean "shop"?'],
    ['with a kubeconfig that is not there', '{name: prod, status: {kubeconfig: nowhere.yaml}}', 'there is no file'],
    ['in a pod, where there is none', '{name: prod, status: {kubeconfig: in-cluster}}', 'KUBERNETES_SERVICE_HOST'],
  ])('is refused %s', async (_, gate, words) => {
    expect(await refusal(gate)).toContain(words);
  });

  it('is no target, too', async () => {
    expect(await refusal('{name: prod}', 'targets:\n  - {name: prod, kubeconfig: argocd.yaml}\n')).toContain('is already the name of targets[0]'); // prettier-ignore
  });
});
