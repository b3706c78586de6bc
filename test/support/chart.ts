import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dump } from 'js-yaml';
import { SandboxRenderer } from '../../src/adapters/render/renderer.js';
import type { KubernetesObject } from '../../src/cluster/object.js';
import { readManifest } from '../../src/cluster/manifest.js';

const CHART = 'install/chart/countersign';

/** The chart of this repository as `helm template countersign --namespace countersign` prints it; `values` go over its own. */
export async function renderChart(values: object = {}): Promise<string> {
  const files = new Map<string, Buffer>([['values.yaml', Buffer.from(dump(values))]]);
  for (const entry of await readdir(CHART, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(path, await readFile(path));
  }
  const renderer = new SandboxRenderer();
  try {
    const helm = { release: 'countersign', namespace: 'countersign', values: ['values.yaml'] };
    const documents = await renderer.render({ op: 'helm', dir: CHART, files, helm });
    return documents.map(({ text }) => `${text.trim()}\n`).join('');
  } finally {
    await renderer.close();
  }
}

export function objectsIn(text: string): readonly KubernetesObject[] {
  return readManifest('chart.yaml', Buffer.from(text)).objects.map(({ object }) => object);
}
