import { posix } from 'node:path';
import type { ManifestObject, Source } from '../cluster/object.js';
import { inNamespace } from '../cluster/scope.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { TreeEntry, TreeReader } from '../source/repository.js';
import { chartClosure, type Closure, kustomizationClosure } from './closure.js';
import type { Environment } from './environment.js';
import { readFile, type ReadFile, type ManifestCache } from './manifest-cache.js';
import type { RenderedDocument, Renderer, RenderRequest } from './renderer.js';
import { refused } from './kustomization.js';
import { placeIn, placeOf } from './rendered-place.js';
import { atItsLine } from './rendering-fault.js';
import type { TreeIndex } from './tree-index.js';

const CAPACITY = 64 * 1024 * 1024;
const TEXTS = 2_000;
/** Of what is wrong with an input file, what its renderer would not say or not survive. */
const INPUT_FAULTS = ['manifest-malformed', 'manifest-aliases', 'manifest-too-deep', 'manifest-too-large'];

/** As much of an environment as what a folder renders to depends on; `namespace` undefined leaves objects as they are. */
export type RenderedFor = Pick<Environment, 'name' | 'helm'> & { readonly namespace: string | null | undefined };

const OF_FILES = /^(render|manifest|object)-/;

/**
 * Folders of Kustomize and Helm as they were rendered, by the ids of every file they read, the renderer's version and its settings:
 * a commit that touches one of many renders one. The least recently used leave first.
 */
export class RenderedFolders {
  private readonly folders = new Map<string, ReadFile>();
  private readonly texts = new Map<string, string>();
  private used = 0;
  /** How often the renderer was really asked. */
  rendered = 0;

  constructor(private readonly renderer: Renderer) {}

  /** What a folder renders to at a commit. Faults of its files are in the answer; only faults of the repository are thrown. */
  async read(
    repository: TreeReader,
    tree: TreeIndex,
    dir: string,
    environment: RenderedFor,
    cache: ManifestCache,
  ): Promise<ReadFile> {
    try {
      const { request, closure } = await this.request(repository, tree, dir, environment);
      const ids = [...closure.files.values()].map(({ path, id, mode }) => `${mode} ${id} ${path}`).toSorted();
      const key = JSON.stringify([
        this.renderer.version,
        request,
        environment.namespace ?? (environment.namespace === null ? 0 : 1),
        ids,
      ]);
      const known = this.folders.get(key);
      if (known) {
        this.folders.delete(key);
        this.folders.set(key, known);
        return known;
      }
      const read = await this.render(repository, request, closure, environment, cache).catch((thrown: unknown) => {
        const error = toCountersignError(thrown);
        // What was too much today may fit on a machine that is less busy; anything else stays so.
        if (error.code !== 'render-failed' && error.code !== 'render-refused') throw error;
        return { objects: [], otherDocuments: 0, problems: [placed(error, dir)], bytes: 0 };
      });
      this.keep(key, read);
      return read;
    } catch (thrown) {
      const error = toCountersignError(thrown);
      if (!OF_FILES.test(error.code)) throw error;
      return { objects: [], otherDocuments: 0, problems: [placed(error, dir)], bytes: 0 };
    }
  }

  /** Paths of the files that a folder reads; null where that cannot be told. Throws only faults of the repository. */
  async closure(
    repository: TreeReader,
    tree: TreeIndex,
    dir: string,
    environment: RenderedFor,
  ): Promise<ReadonlySet<string> | null> {
    try {
      return new Set((await this.request(repository, tree, dir, environment)).closure.files.keys());
    } catch (thrown) {
      if (!OF_FILES.test(toCountersignError(thrown).code)) throw thrown;
      return null;
    }
  }

  private async request(
    repository: TreeReader,
    tree: TreeIndex,
    dir: string,
    environment: RenderedFor,
  ): Promise<{ request: Omit<RenderRequest, 'files'>; closure: Closure }> {
    const names = new Set(tree.within(dir).map(({ path }) => path.slice(path.lastIndexOf('/') + 1)));
    const isChart = names.has('Chart.yaml') || names.has('Chart.yml');
    const isKustomization = ['kustomization.yaml', 'kustomization.yml', 'Kustomization'].some((name) =>
      names.has(name),
    );
    const at = (name: string) => posix.join(dir, name);
    if (isChart && isKustomization) {
      throw refused(at('Chart.yaml'), 1, 'the folder is a chart and a kustomization', 'List one of the two under "ignore"'); // prettier-ignore
    }
    if (!isChart) {
      const closure = await kustomizationClosure(tree, dir, (entry) => this.text(repository, entry));
      return { request: { op: 'kustomize', dir }, closure };
    }
    if (!names.has('Chart.yaml')) throw refused(at('Chart.yml'), 1, 'Helm reads Chart.yaml only', 'Rename it');
    const { helm } = environment;
    const closure = chartClosure(tree, dir, helm?.values ?? [], 'countersign.yaml');
    const release =
      helm?.release ?? (posix.basename(dir) || environment.name.slice(environment.name.lastIndexOf('/') + 1));
    const namespace = helm?.namespace ?? environment.namespace ?? 'default';
    return { request: { op: 'helm', dir, helm: { ...helm, release, namespace } }, closure };
  }

  private async render(
    repository: TreeReader,
    request: Omit<RenderRequest, 'files'>,
    closure: Closure,
    environment: RenderedFor,
    cache: ManifestCache,
  ): Promise<ReadFile> {
    const files = new Map<string, Buffer>();
    const inputs = new Map<string, ReadFile>();
    for (const entry of closure.files.values()) {
      files.set(entry.path, await repository.blob(entry.id, cache.limits.bytes ?? 10 * 1024 * 1024));
      if (!closure.yaml.has(entry.path)) continue;
      // One base is read by many overlays.
      const read = await cache.read(repository, entry);
      inputs.set(entry.path, read);
      const problems = read.problems.filter((problem) => INPUT_FAULTS.includes(problem.code));
      if (problems.length > 0) return { objects: [], otherDocuments: 0, problems, bytes: 0 };
    }
    this.rendered++;
    const documents = await this.renderer.render({ ...request, files }).catch((thrown: unknown) => {
      throw atItsLine(toCountersignError(thrown), request.dir, files);
    });
    const places = documents.map((document) => placeOf(document, { files, inputs, closure }));
    if (places.includes(undefined)) {
      const origins = await this.renderer.render({ ...request, files, origins: true }).catch(() => []);
      // What Kustomize says of a build with more in it only counts if it is the same build.
      const same = origins.length === documents.length;
      documents.forEach((document, i) => {
        places[i] ??= placeIn(same ? origins[i].file : document.file, document, { files, inputs, closure });
      });
    }
    return assemble(documents, places as readonly Source[], { request, environment, cache });
  }

  private async text(repository: TreeReader, entry: TreeEntry): Promise<string> {
    let text = this.texts.get(entry.id);
    if (text === undefined) {
      text = (await repository.blob(entry.id, 1024 * 1024)).toString();
      this.texts.set(entry.id, text);
      if (this.texts.size > TEXTS) this.texts.delete(this.texts.keys().next().value!);
    }
    return text;
  }

  private keep(key: string, read: ReadFile): void {
    this.folders.set(key, read);
    this.used += cost(key, read);
    for (const [oldest, value] of this.folders) {
      if (this.used <= CAPACITY) break;
      this.folders.delete(oldest);
      this.used -= cost(oldest, value);
    }
  }
}

interface Assembly {
  readonly request: Omit<RenderRequest, 'files'>;
  readonly environment: RenderedFor;
  readonly cache: ManifestCache;
}

/** Rendered text to objects, each with the file and, where it can be told, the line that it was made from. */
function assemble(
  documents: readonly RenderedDocument[],
  places: readonly Source[],
  { request, environment, cache }: Assembly,
): ReadFile {
  const namespace =
    environment.namespace !== undefined && request.helm ? request.helm.namespace : environment.namespace;
  const objects: ManifestObject[] = [];
  const problems: CountersignError[] = [];
  let otherDocuments = 0;
  let bytes = 0;
  documents.forEach(({ text }, i) => {
    const { path, line } = places[i];
    const read = readFile(path, Buffer.from(text), cache.limits);
    bytes += read.bytes;
    otherDocuments += read.otherDocuments;
    // The line in its text is one of what was rendered, which nobody can look up.
    const place = { file: path, ...(line > 1 && { line }) };
    problems.push(...read.problems.map(({ code, message, remedy }) => new CountersignError(code, `rendered: ${message}`, { place, remedy }))); // prettier-ignore
    for (const entry of read.objects) {
      try {
        const object = { ...entry, source: { path, line } };
        objects.push(namespace === undefined ? object : inNamespace(object, namespace));
      } catch (thrown) {
        problems.push(toCountersignError(thrown));
      }
    }
  });
  return { objects, otherDocuments, problems, bytes };
}

function placed(error: CountersignError, dir: string): CountersignError {
  if (error.place) return error;
  const { code, message, remedy, retry, cause } = error;
  return new CountersignError(code, message, { place: { file: dir || '.' }, remedy, retry, cause });
}

function cost(key: string, read: ReadFile): number {
  return key.length + read.bytes * 4 + 400;
}
