import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { load } from 'js-yaml';
import { formatOf } from '../../adapters/inputs/formats.js';
import { parseStrictJson } from '../../cluster/canonical.js';
import { isJsonObject, type Json } from '../../cluster/object.js';
import { CountersignError } from '../../errors.js';

/** The files that Conftest would test: those named, and those of a known format below folders. Throws `usage`. */
export function inputFiles(paths: readonly string[], ignore: string): string[] {
  const ignored = ignored_(ignore);
  const files: string[] = [];
  for (const path of paths) {
    if (path === '') continue;
    if (path === '-') files.push(path);
    else if (kindOf(path) === 'folder') walk(path, ignored, new Set(), files);
    else if (!ignored(path)) files.push(path);
  }
  if (files.length === 0)
    throw new CountersignError('usage', 'no files found', { remedy: 'Name files, or folders of them' });
  return [...new Set(files)];
}

function ignored_(pattern: string): (path: string) => boolean {
  if (pattern === '') return () => false;
  let expression: RegExp;
  try {
    expression = new RegExp(pattern);
  } catch (cause) {
    throw new CountersignError('usage', `--ignore ${pattern} is no regular expression`, { cause });
  }
  return (path) => expression.test(path);
}

function kindOf(path: string): 'folder' | 'file' {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'file';
  } catch (cause) {
    throw new CountersignError('usage', `there is nothing at ${path}`, { cause });
  }
}

function walk(folder: string, ignored: (path: string) => boolean, visited: Set<string>, into: string[]): void {
  const name = normalize(folder);
  if (visited.has(name)) return;
  visited.add(name);
  for (const entry of readdirSync(folder, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) walk(path, ignored, visited, into);
    else if (ignored(path)) continue;
    else if (entry.isSymbolicLink()) {
      const real = realpathSync(path);
      if (kindOf(real) === 'folder') walk(real, ignored, visited, into);
      else if (formatOf(real) !== undefined) into.push(real);
    } else if (formatOf(path) !== undefined) into.push(path);
  }
}

/** Every .rego file, its tests too: Conftest compiles them all. */
export function policyFiles(paths: readonly string[]): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const path of paths) {
    for (const file of below(path)) if (file.endsWith('.rego')) files.set(normalize(file), readFileSync(file, 'utf8'));
  }
  if (files.size === 0) {
    throw new CountersignError('usage', `no policies found in ${paths.join(', ')}`, {
      remedy: 'Name their folder with --policy',
    });
  }
  return files;
}

/** Data files by the folders they lie in, below `prefix:` if a path has one, as OPA's loader places them. */
export function dataDocument(paths: readonly string[]): Json {
  const data: Record<string, Json> = {};
  for (const given of paths) {
    const colon = given.includes('://') ? -1 : given.indexOf(':');
    const prefix = colon > 0 ? given.slice(0, colon).split('.') : [];
    const root = colon > 0 ? given.slice(colon + 1) : given;
    for (const file of below(root)) {
      if (!/\.(ya?ml|json)$/.test(file)) continue;
      const folders = normalize(file).slice(normalize(root).length).split('/').slice(0, -1).filter((part) => part !== ''); // prettier-ignore
      const document = readData(file);
      merge(
        data,
        [...prefix, ...folders].reduceRight<Json>((inner, folder) => ({ [folder]: inner }), document),
        file,
      );
    }
  }
  return data;
}

function readData(file: string): Json {
  const text = readFileSync(file, 'utf8');
  if (file.endsWith('.json')) return parseStrictJson(text, { file });
  try {
    return JSON.parse(JSON.stringify(load(text) ?? {})) as Json;
  } catch (cause) {
    throw new CountersignError('manifest-malformed', `malformed YAML: ${(cause as Error).message}`, {
      place: { file },
      cause,
    });
  }
}

function merge(into: Record<string, Json>, from: Json, file: string): void {
  if (!isJsonObject(from)) throw new CountersignError('rego-invalid', 'data must be an object', { place: { file } });
  for (const [key, value] of Object.entries(from)) {
    const existing = Object.hasOwn(into, key) ? into[key] : undefined;
    if (existing === undefined) into[key] = value;
    else if (isJsonObject(existing) && isJsonObject(value)) merge(existing, value, file);
    else {
      throw new CountersignError('rego-invalid', `data.${key} is given twice`, {
        place: { file },
        remedy: 'Keep one of the two',
      });
    }
  }
}

function below(path: string): string[] {
  if (kindOf(path) === 'file') return [path];
  return readdirSync(path, { withFileTypes: true })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const file = join(path, entry.name);
      return entry.isDirectory() || (entry.isSymbolicLink() && kindOf(file) === 'folder') ? below(file) : [file];
    });
}
