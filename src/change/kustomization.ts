import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import { defaultLimits } from '../cluster/manifest.js';
import { guardAliases } from '../cluster/aliases.js';
import { loadYaml } from '../cluster/yaml.js';

/** What a kustomization reads besides itself, and the line that says so. */
export interface Reference {
  /** `any` is a file or a folder with a kustomization; `plugin` a file or folder with settings of a generator or transformer. */
  readonly kind: 'any' | 'folder' | 'file' | 'plugin' | 'chart';
  /** As written. For a chart, its folder. */
  readonly path: string;
  readonly line: number;
  /** Of a chart that is fetched when it is not there. */
  readonly remote?: string;
}

/** The references of a kustomization file's text. Throws CountersignError with its place for what must not be rendered. */
export function referencesOf(file: string, text: string): Reference[] {
  const [fields] = documentsOf(file, text);
  if (fields === undefined || fields === null) return [];
  if (!isJsonObject(fields)) throw refused(file, 1, 'the kustomization is no mapping', 'Correct it');
  const references: Reference[] = [];
  const lines = text.split('\n');
  const lineOf = (part: string) => Math.max(1, lines.findIndex((line) => line.includes(part)) + 1);
  const add = (kind: Reference['kind'], path: Json | undefined, remote?: string) => {
    if (typeof path !== 'string' || path === '') return;
    references.push({ kind, path, line: lineOf(path), ...(remote !== undefined && { remote }) });
  };
  for (const path of list(fields.resources)) add('any', path);
  for (const path of list(fields.bases)) add('folder', path);
  for (const path of list(fields.components)) add('folder', path);
  for (const path of [...list(fields.crds), ...list(fields.configurations)]) add('file', path);
  if (isJsonObject(fields.openapi)) add('file', fields.openapi.path);
  for (const field of ['generators', 'transformers', 'validators'] as const) {
    for (const entry of list(fields[field])) {
      if (typeof entry !== 'string') continue;
      if (entry.includes('\n')) references.push(...pluginReferences(file, entry, lineOf(entry.split('\n')[0])));
      else add('plugin', entry);
    }
  }
  for (const reference of settingsFiles(fields)) add('file', reference);
  if (list(fields.helmChartInflationGenerator).length > 0) {
    const what = 'helmChartInflationGenerator';
    throw refused(file, lineOf(what), `${what} fetches charts`, 'Use helmCharts with the chart in this repository');
  }
  const home = isJsonObject(fields.helmGlobals) ? fields.helmGlobals.chartHome : undefined;
  for (const chart of objects(fields.helmCharts)) {
    const { name, version, repo, valuesFile } = chart;
    if (typeof name !== 'string') continue;
    const folder = typeof version === 'string' && version && typeof repo === 'string' && repo ? `${name}-${version}/` : ''; // prettier-ignore
    references.push({
      kind: 'chart',
      path: `${typeof home === 'string' && home ? home : 'charts'}/${folder}${name}`,
      line: lineOf(name),
      ...(typeof repo === 'string' && repo !== '' && { remote: repo }),
    });
    add('file', valuesFile);
    for (const path of list(chart.additionalValuesFiles)) add('file', path);
  }
  return references;
}

/** A ConfigMap or Secret that a kustomization makes, and the line that names it. */
export interface GeneratedObject {
  readonly kind: string;
  readonly name: string;
  readonly file: string;
  readonly line: number;
}

/** Those that it makes itself, not what it adds to others'. The text is one that `referencesOf` could read. */
export function generatedBy(file: string, text: string): GeneratedObject[] {
  if (!text.includes('Generator')) return [];
  const [fields] = documentsOf(file, text);
  if (!isJsonObject(fields)) return [];
  const lines = text.split('\n');
  const found: GeneratedObject[] = [];
  for (const [field, kind] of [
    ['configMapGenerator', 'ConfigMap'],
    ['secretGenerator', 'Secret'],
  ] as const) {
    const start = Math.max(0, lines.findIndex((line) => line.startsWith(field))); // prettier-ignore
    for (const { name, behavior } of objects(fields[field])) {
      if (typeof name !== 'string' || (behavior !== undefined && behavior !== 'create')) continue;
      const at = lines.findIndex((line, i) => i >= start && /name:/.test(line) && line.includes(name));
      found.push({ kind, name, file, line: at < 0 ? start + 1 : at + 1 });
    }
  }
  return found;
}

/** Of a file that configures generators, transformers or validators: those that are Kustomize's own and what they read. */
export function pluginReferences(file: string, text: string, firstLine = 1): Reference[] {
  const references: Reference[] = [];
  for (const document of documentsOf(file, text)) {
    if (!isJsonObject(document)) continue;
    const { apiVersion, kind, metadata } = document;
    const annotations = isJsonObject(metadata) && isJsonObject(metadata.annotations) ? metadata.annotations : {};
    const function_ = Object.keys(annotations).find((name) =>
      /(^|\.)config\.k(ubernetes|8s)\.io\/function$/.test(name),
    );
    if (function_ !== undefined || apiVersion !== 'builtin' || kind === 'HelmChartInflationGenerator') {
      const what = typeof kind === 'string' ? kind : 'a plugin';
      const why = function_ === undefined ? 'a plugin that runs a program' : 'a function that runs a program';
      throw refused(file, firstLine, `${what} is ${why}; none is ever run here`, 'Use what Kustomize has built in');
    }
    for (const path of settingsFiles(document)) references.push({ kind: 'file', path, line: firstLine });
  }
  return references;
}

/** Files that fields of kustomizations and of built-in plugins name. */
function* settingsFiles(fields: JsonObject): Generator<string> {
  if (isText(fields.path) && fields.apiVersion === 'builtin') yield fields.path;
  for (const path of list(fields.paths)) if (isText(path) && !path.includes('\n')) yield path;
  for (const path of list(fields.patchesStrategicMerge)) if (isText(path) && !path.includes('\n')) yield path;
  for (const field of ['patches', 'patchesJson6902', 'replacements'] as const) {
    for (const { path } of objects(fields[field])) if (isText(path)) yield path;
  }
  const generators = [...objects(fields.configMapGenerator), ...objects(fields.secretGenerator)];
  if (fields.apiVersion === 'builtin') generators.push(fields);
  for (const { files, env, envs } of generators) {
    for (const source of list(files)) if (isText(source)) yield source.slice(source.indexOf('=') + 1);
    for (const path of [env, ...list(envs)]) if (isText(path)) yield path;
  }
}

function documentsOf(file: string, text: string): readonly (Json | undefined)[] {
  try {
    const { documents } = loadYaml(text, defaultLimits, (events) => guardAliases(events, text, file, defaultLimits));
    return documents as readonly (Json | undefined)[];
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    const line = (thrown as { mark?: { line: number } }).mark?.line;
    const reason = (thrown as { reason?: string }).reason ?? 'it cannot be read';
    throw new CountersignError('manifest-malformed', `malformed YAML: ${reason}`, {
      place: { file, ...(line !== undefined && { line: line + 1 }) },
      remedy: 'Correct the YAML',
    });
  }
}

function isText(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== '';
}

function list(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : [];
}

function objects(value: Json | undefined): JsonObject[] {
  return list(value).filter(isJsonObject);
}

export function refused(file: string, line: number | undefined, message: string, remedy: string): CountersignError {
  return new CountersignError('render-refused', message, {
    place: { file, ...(line !== undefined && { line }) },
    remedy,
  });
}
