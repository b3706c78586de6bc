import { posix } from 'node:path';
import { CountersignError } from '../errors.js';
import type { TreeEntry } from '../source/repository.js';
import {
  type GeneratedObject,
  generatedBy,
  pluginReferences,
  type Reference,
  referencesOf,
  refused,
} from './kustomization.js';
import type { TreeIndex } from './tree-index.js';

/** Every file that rendering one folder may read. */
export interface Closure {
  readonly files: ReadonlyMap<string, TreeEntry>;
  /** Those that are YAML by their role, so that what is wrong with them can be said with their place. */
  readonly yaml: ReadonlySet<string>;
  /** Of a kustomization: those whose objects it takes, and not only what to do with others. */
  readonly resources: ReadonlySet<string>;
  /** Its ConfigMaps and Secrets that no file holds. */
  readonly generated: readonly GeneratedObject[];
}

/** The text of a file of the tree. */
export type ReadText = (entry: TreeEntry) => Promise<string>;

const KUSTOMIZATIONS = ['kustomization.yaml', 'kustomization.yml', 'Kustomization'];
const MOST_FILES = 5_000;

/**
 * Follows a kustomization's references through the tree of its commit, never further. Throws `render-refused` with file and line
 * for what lies elsewhere (another repository, the network, a link, a submodule, outside the root), `render-failed` for
 * what is missing or goes in a circle.
 */
export async function kustomizationClosure(tree: TreeIndex, dir: string, read: ReadText): Promise<Closure> {
  const walk = new Walk(tree, read);
  await walk.kustomization(dir, []);
  return walk;
}

/** A chart's folder and its values files. */
export function chartClosure(tree: TreeIndex, dir: string, values: readonly string[], settings: string): Closure {
  const walk = new Walk(tree, () => Promise.reject(new CountersignError('internal', 'a chart refers to no file')));
  walk.chart(dir, posix.join(dir, 'Chart.yaml'), 1);
  for (const path of values) walk.file(path, settings);
  return walk;
}

class Walk implements Closure {
  readonly files = new Map<string, TreeEntry>();
  readonly yaml = new Set<string>();
  readonly resources = new Set<string>();
  readonly generated: GeneratedObject[] = [];
  private readonly done = new Set<string>();

  constructor(
    private readonly tree: TreeIndex,
    private readonly read: ReadText,
  ) {}

  async kustomization(dir: string, stack: readonly string[]): Promise<void> {
    if (stack.includes(dir)) {
      const circle = [...stack.slice(stack.indexOf(dir)), dir].map((folder) => folder || '.').join(' → ');
      throw failed(
        this.named(stack.at(-1)!) ?? dir,
        undefined,
        `kustomizations go in a circle: ${circle}`,
        'Break the circle',
      );
    }
    if (this.done.has(dir)) return;
    this.done.add(dir);
    const file = this.named(dir);
    if (file === undefined) throw failed(dir || '.', undefined, 'the folder has no kustomization', 'Add one');
    for (const name of KUSTOMIZATIONS) {
      const other = this.tree.file(posix.join(dir, name));
      if (other) this.add(other, file, undefined, true);
    }
    const text = await this.read(this.tree.file(file)!);
    for (const reference of referencesOf(file, text)) await this.follow(reference, file, dir, [...stack, dir]);
    this.generated.push(...generatedBy(file, text));
  }

  chart(dir: string, by: string, line: number | undefined): void {
    for (const entry of this.tree.under(dir)) {
      const name = dir === '' ? entry.path : entry.path.slice(dir.length + 1);
      this.add(entry, by, line, /^(Chart|values|requirements)\.yaml$/.test(name));
    }
  }

  file(path: string, by: string, line?: number): void {
    this.inside(path, path, by, line);
    const entry = this.tree.file(path);
    if (!entry) throw missing(path, by, line);
    this.add(entry, by, line, /\.(ya?ml|json)$/i.test(path));
  }

  private async follow(reference: Reference, file: string, dir: string, stack: readonly string[]): Promise<void> {
    const { kind, path: written, line, remote } = reference;
    const isRemote = kind === 'any' || kind === 'folder' || kind === 'plugin' ? looksRemote(written) : /^[a-z]+:\/\//i.test(written); // prettier-ignore
    if (isRemote) {
      throw refused(file, line, `${shown(written)} lies in another place; nothing is fetched to render`, 'Copy it into this repository'); // prettier-ignore
    }
    const path = written.startsWith('/') ? written : posix.join(dir, written).replace(/\/$/, '').replace(/^\.$/, '');
    this.inside(path, written, file, line);
    const entry = this.tree.file(path);
    if (kind === 'chart') {
      if (this.tree.isFolder(path)) return this.chart(path, file, line);
      if (remote !== undefined) throw refused(file, line, `the chart ${shown(written)} is fetched from ${shown(remote)}; nothing is fetched to render`, `Commit the chart as ${shown(path)}`); // prettier-ignore
      throw missing(path, file, line);
    }
    if (entry && kind !== 'folder') {
      if (kind === 'any') this.resources.add(path);
      this.add(entry, file, line, kind !== 'file' || /\.(ya?ml|json)$/i.test(path));
      if (kind !== 'plugin') return;
      for (const further of pluginReferences(path, await this.read(entry)))
        await this.follow(further, file, dir, stack);
      return;
    }
    if (kind === 'file' || !this.tree.isFolder(path)) throw missing(path, file, line);
    if (this.named(path) === undefined) {
      throw failed(file, line, `the folder ${shown(written)} has no kustomization`, 'Add one, or name its files');
    }
    await this.kustomization(path, stack);
  }

  private named(dir: string): string | undefined {
    return KUSTOMIZATIONS.map((name) => posix.join(dir, name)).find((path) => this.tree.file(path));
  }

  private inside(path: string, written: string, file: string, line: number | undefined): void {
    if (path.startsWith('/') || path === '..' || path.startsWith('../')) {
      throw refused(file, line, `${shown(written)} lies outside the repository`, 'Keep everything that is rendered in this repository'); // prettier-ignore
    }
    const detour = this.tree.detour(path);
    if (detour) throw isDetour(detour, file, line);
  }

  private add(entry: TreeEntry, file: string, line: number | undefined, yaml: boolean): void {
    const detour = this.tree.detour(entry.path);
    if (detour) throw isDetour(detour, file, line);
    this.files.set(entry.path, entry);
    if (yaml) this.yaml.add(entry.path);
    if (this.files.size > MOST_FILES) {
      throw new CountersignError('render-limit', `rendering would read more than ${MOST_FILES} files`, { place: { file } }); // prettier-ignore
    }
  }
}

/** What Kustomize would take for a repository or a page. */
function looksRemote(path: string): boolean {
  return (
    /^[a-z][a-z0-9+.-]*:\/\//i.test(path) ||
    /^(git::|git@|gh:|[\w.-]+@[\w.-]+:)/i.test(path) ||
    /^(github|gitlab|bitbucket)\.(com|org)[/:]/i.test(path) ||
    /[?&](ref|version|timeout|submodules)=/.test(path)
  );
}

function isDetour(entry: TreeEntry, file: string, line: number | undefined): CountersignError {
  const what = entry.type === 'commit' ? 'a submodule' : 'a symbolic link';
  return refused(file, line, `${shown(entry.path)} is ${what}, which is never followed`, 'Put the files themselves there'); // prettier-ignore
}

function missing(path: string, file: string, line: number | undefined): CountersignError {
  return failed(file, line, `there is no ${shown(path)} in this commit`, 'Correct the path, or commit the file');
}

function failed(file: string, line: number | undefined, message: string, remedy: string): CountersignError {
  return new CountersignError('render-failed', message, {
    place: { file, ...(line !== undefined && { line }) },
    remedy,
  });
}

function shown(path: string): string {
  return path.length > 200 ? `${path.slice(0, 200)}…` : path;
}
