import { readdirSync, readFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { SandboxRenderer } from '../../src/adapters/render/renderer.js';
import { FolderTree } from '../../src/adapters/folder/folder-tree.js';
import { canonicalJson } from '../../src/cluster/canonical.js';
import { readManifest } from '../../src/cluster/manifest.js';
import type { Environment } from '../../src/change/environment.js';
import { ManifestCache } from '../../src/change/manifest-cache.js';
import { render } from '../../src/change/render.js';
import { RenderedFolders } from '../../src/change/rendered-folders.js';
import type { RenderedDocument, Renderer, RenderRequest } from '../../src/change/renderer.js';

// expected.yaml of each case is what the real programs print: test/support/render-oracles.sh writes it.
const cases = join(import.meta.dirname, '.');
const sandbox = new SandboxRenderer();
/** Keeps what the renderer said, so that its bytes can be compared, and not only the objects made of them. */
class Listening implements Renderer {
  readonly version = sandbox.version;
  said: readonly RenderedDocument[] = [];
  request: RenderRequest | undefined;
  async render(request: RenderRequest): Promise<readonly RenderedDocument[]> {
    const documents = await sandbox.render(request);
    if (request.origins) return documents;
    this.request = request;
    return (this.said = documents);
  }
}
afterAll(() => sandbox.close());

async function renderCase(root: string, path: string, helm?: Environment['helm']) {
  const listening = new Listening();
  const cache = new ManifestCache(undefined, undefined, new RenderedFolders(listening));
  const environment = { name: 'case', path, ref: '', target: null, namespace: 'shop', labels: {}, ignore: [], helm };
  return {
    rendering: await render(FolderTree.open(root), environment, '', cache),
    said: listening.said,
    request: listening.request,
  };
}

describe('Kustomize in the sandbox', () => {
  it.each(readdirSync(join(cases, 'kustomize')))('gives the bytes of kustomize build: %s', async (name) => {
    const root = join(cases, 'kustomize', name);
    const expected = readFileSync(join(root, 'expected.yaml'), 'utf8');
    const { rendering, said, request } = await renderCase(root, existsSync(join(root, 'overlay')) ? 'overlay' : '');
    expect(rendering.problems).toEqual([]);
    expect(said.map(({ text }) => text).join('---\n')).toBe(expected);
    expect(objectsOf(rendering.objects)).toEqual(objectsOf(readManifest('x.yaml', Buffer.from(expected)).objects));
    // Where each comes from is what Kustomize itself says when asked, unless a patch made it forget; the line is one that names it.
    const origins = await sandbox.render({ ...request!, origins: true });
    expect(origins).toHaveLength(rendering.objects.length);
    const known = rendering.objects.filter((_, i) => !origins[i].file.includes('kustomization'));
    expect(known.map(({ source }) => source.path)).toEqual(origins.map(({ file }) => file).filter((file) => !file.includes('kustomization'))); // prettier-ignore
    const unnamed = rendering.objects.filter(({ source }, i) => {
      const below = readFileSync(join(root, source.path), 'utf8')
        .split('\n')
        .slice(source.line - 1);
      return source.line > 1 && !below.join('\n').includes(said[i].written?.name ?? '?');
    });
    expect(unnamed).toEqual([]);
  });
});

describe('Helm in the sandbox', () => {
  it.each(readdirSync(join(cases, 'helm')))('gives the bytes of helm template: %s', async (name) => {
    const root = join(cases, 'helm', name);
    const expected = readFileSync(join(root, 'expected.yaml'), 'utf8');
    const values = readdirSync(root).filter((file) => file.startsWith('values-'));
    const { rendering, said } = await renderCase(root, 'chart', { values });
    expect(rendering.problems).toEqual([]);
    expect(printed(said)).toBe(expected);
    expect(objectsOf(rendering.objects)).toEqual(objectsOf(readManifest('x.yaml', Buffer.from(expected)).objects));
    for (const { source } of rendering.objects) expect(existsSync(join(root, source.path))).toBe(true);
  });
});

/** As helm template does: what is installed without the white space around it, then hooks as they are. */
function printed(documents: readonly RenderedDocument[]): string {
  const texts = documents.map(({ text }) => text);
  const hooks = texts.filter((text) => text.includes('helm.sh/hook:'));
  return `${texts
    .filter((text) => !hooks.includes(text))
    .join('')
    .trim()}\n${hooks.join('')}`;
}

/** Namespaces are given to objects after rendering, so they are left out here; the bytes were compared before. */
function objectsOf(objects: readonly { readonly object: object }[]): string[] {
  const plain = objects.map(({ object }) => structuredClone(object) as { metadata: { namespace?: string } });
  for (const { metadata } of plain) delete metadata.namespace;
  return plain.map((object) => canonicalJson(object as never)).toSorted();
}
