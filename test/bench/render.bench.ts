// Every kustomization at the tip of a history: how many render, what the others are refused for, time for each, and what a commit that
// touches one of them costs. `make bench ARGS=path` takes a repository or a bundle; where the cache folder has the real kustomize
// (test/support/render-oracles.sh puts it there), what it prints is compared byte for byte.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { cacheFolder } from '../../src/adapters/folder/cache-folder.js';
import { NativeRepository } from '../../src/adapters/git/native.js';
import { SandboxRenderer } from '../../src/adapters/render/renderer.js';
import type { Environment } from '../../src/change/environment.js';
import { ManifestCache } from '../../src/change/manifest-cache.js';
import { RenderedFolders } from '../../src/change/rendered-folders.js';
import type { RenderedDocument, Renderer, RenderRequest } from '../../src/change/renderer.js';
import { TreeIndex } from '../../src/change/tree-index.js';

const SHARED = '../shared/repos/manifests.bundle';
const given = process.argv[2] ?? (existsSync(SHARED) ? SHARED : undefined);
const cache = cacheFolder();
const kustomize = join(cache, 'renderers-v5.8.1-v3.19.5', 'kustomize');
const environment: Environment = { name: 'bench', path: '', ref: '', target: null, namespace: 'default', labels: {}, ignore: [] }; // prettier-ignore

class Listening implements Renderer {
  readonly #inner = new SandboxRenderer();
  readonly version = this.#inner.version;
  said: readonly RenderedDocument[] = [];
  async render(request: RenderRequest): Promise<readonly RenderedDocument[]> {
    const documents = await this.#inner.render(request);
    return request.origins ? documents : (this.said = documents);
  }
  close(): Promise<void> {
    return this.#inner.close();
  }
}

async function measure(source: string, folder: string): Promise<void> {
  execFileSync('git', ['clone', '--quiet', source, join(folder, 'r')], { stdio: 'pipe' });
  const repository = await NativeRepository.open(join(folder, 'r'));
  const renderer = new Listening();
  const folders = new RenderedFolders(renderer);
  const manifests = new ManifestCache();
  const tree = new TreeIndex(await repository.tree(await repository.resolve('HEAD'), ''));
  const dirs = tree
    .under('')
    .filter(({ path }) => /(^|\/)(kustomization\.ya?ml|Kustomization)$/.test(path))
    .map(({ path }) => posix.dirname(path).replace(/^\.$/, ''));
  const read = (dir: string) => folders.read(repository, tree, dir, environment, manifests);
  const refusals = new Map<string, number>();
  const times: number[] = [];
  let slowest = '';
  let equal = 0;
  let different = 0;
  for (const dir of dirs) {
    renderer.said = [];
    const before = folders.rendered;
    const started = performance.now();
    const { problems } = await read(dir);
    const refused = problems.find(({ code }) => code.startsWith('render-') || folders.rendered === before);
    if (refused) {
      const why = `${refused.code}: ${refused.message.replace(/\S*[/.]\S*/g, '…').slice(0, 90)}`;
      refusals.set(why, (refusals.get(why) ?? 0) + 1);
      continue;
    }
    const took = performance.now() - started;
    times.push(took);
    if (took === Math.max(...times)) slowest = dir;
    if (!existsSync(kustomize)) continue;
    const real = spawnSync(kustomize, ['build', join(folder, 'r', dir)], { encoding: 'utf8', maxBuffer: 1 << 28 });
    if (real.stdout === renderer.said.map(({ text }) => text).join('---\n')) equal++;
    else if (different++ < 5) console.log(`✗ ${dir}: kustomize says something else ${real.stderr.slice(0, 200)}`);
  }
  times.sort((a, b) => a - b);
  console.log(`${dirs.length} kustomizations, ${times.length} rendered (median ${times[times.length >> 1].toFixed(0)} ms, slowest ${times.at(-1)!.toFixed(0)} ms: ${slowest})`); // prettier-ignore
  for (const [why, count] of [...refusals].toSorted((a, b) => b[1] - a[1])) console.log(`  ${count} ${why}`);
  console.log(existsSync(kustomize) ? `${different ? '✗' : '✓'} ${equal} byte-equal to kustomize build, ${different} not` : 'the real kustomize is not there to compare with'); // prettier-ignore
  const started = performance.now();
  const before = folders.rendered;
  for (const dir of dirs) await read(dir);
  console.log(
    `all of them again: ${(performance.now() - started).toFixed(0)} ms, ${folders.rendered - before} rendered`,
  );
  await renderer.close();
  await repository.close();
}

if (given === undefined) {
  console.log('no history to measure: give a repository or a bundle');
} else {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  try {
    await measure(given, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
