import type { HelmSettings } from './environment.js';

/** One folder to render with every file that may be read for it, by path from the root of the repository. */
export interface RenderRequest {
  readonly op: 'kustomize' | 'helm';
  /** Folder of the kustomization or chart, '' for the root. */
  readonly dir: string;
  readonly files: ReadonlyMap<string, Buffer>;
  /** For a chart; its `values` are paths from the root of the repository. */
  readonly helm?: HelmSettings & { readonly release: string; readonly namespace: string };
  /** Of a kustomization: only the file of each document, in the same order, without text. As much work as rendering it again. */
  readonly origins?: boolean;
}

/** YAML as `kustomize build` or `helm template` prints it. */
export interface RenderedDocument {
  readonly text: string;
  /** The template that it was made from; of a kustomization, its own file unless `origins` were asked for. */
  readonly file: string;
  /** Who the object of a kustomization was where it is written, before names and namespaces were changed. */
  readonly written?: { readonly kind: string; readonly namespace: string; readonly name: string };
}

/**
 * The port to Kustomize and Helm. Sees the given files and nothing else: no disk, network, program, clock or chance
 * (invariant 8), so that the same request gives the same bytes on every machine. Throws `render-failed` for what they refuse,
 * `render-refused` for what a sandbox cannot give, `render-limit` for what takes too much time or memory.
 */
export interface Renderer {
  /** Changes whenever the same files might render differently. */
  readonly version: string;
  render(request: RenderRequest): Promise<readonly RenderedDocument[]>;
}
