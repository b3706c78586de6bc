import { isJsonObject, type Json, type JsonObject, type ManifestObject } from '../cluster/object.js';
import { globMatcher } from './glob.js';
import { member, only, unsupported } from './foreign-object.js';

type Parameters = Readonly<Record<string, string>>;

/** Applications above this many are refused: one template and one list make them, however small both are. */
const MOST = 1_000;

/**
 * The Applications that an ApplicationSet makes: of lists of elements, and of folders of this repository. Throws
 * `environment-invalid` for every other generator, by its name, and for templates that are more than names in braces.
 */
export function applicationsOf(entry: ManifestObject, folders: ReadonlySet<string>): ManifestObject[] {
  const spec = member(entry.object, 'spec');
  const timing = ['goTemplateOptions', 'strategy', 'syncPolicy', 'preservedFields', 'ignoreApplicationDifferences'];
  only(entry, spec, 'spec', [...timing, 'goTemplate', 'generators', 'template']);
  const generators = Array.isArray(spec.generators) ? spec.generators.filter(isJsonObject) : [];
  const sets = generators.flatMap((generator) => parametersOf(entry, generator, folders, spec.goTemplate === true));
  if (sets.length > MOST) throw unsupported(entry, `more than ${MOST} Applications is not understood`);
  const template = member(spec, 'template');
  return sets.map((parameters) => {
    const object = filled(template, (text) => fill(entry, text, parameters)) as JsonObject;
    const { name } = member(object, 'metadata');
    if (typeof name !== 'string') throw unsupported(entry, 'a template without metadata.name is not understood');
    return { ...entry, identity: { ...entry.identity, name }, object: { ...entry.object, ...object } };
  });
}

function parametersOf(
  entry: ManifestObject,
  generator: JsonObject,
  folders: ReadonlySet<string>,
  goTemplate: boolean,
): Parameters[] {
  only(entry, generator, 'a generator', ['list', 'git']);
  if (generator.list !== undefined) {
    const list = member(generator, 'list');
    only(entry, list, 'the list generator', ['elements']);
    return (Array.isArray(list.elements) ? list.elements : []).filter(isJsonObject).map(flat);
  }
  const git = member(generator, 'git');
  only(entry, git, 'the git generator', ['repoURL', 'revision', 'directories', 'requeueAfterSeconds']);
  const directories = (Array.isArray(git.directories) ? git.directories : []).filter(isJsonObject);
  const matchers = directories.map(({ path, exclude }) => {
    if (typeof path !== 'string' || /[[\\{]/.test(path)) throw unsupported(entry, `the folder pattern ${JSON.stringify(path)} is not understood`); // prettier-ignore
    return { matches: globMatcher(path), exclude: exclude === true };
  });
  const chosen = [...folders].filter(
    (folder) =>
      folder !== '' &&
      matchers.some(({ matches, exclude }) => !exclude && matches(folder)) &&
      !matchers.some(({ matches, exclude }) => exclude && matches(folder)),
  );
  return chosen.toSorted().map((folder) => ofFolder(folder, goTemplate));
}

function ofFolder(path: string, goTemplate: boolean): Parameters {
  const parts = path.split('/');
  const base = parts.at(-1)!;
  const normalized = base.toLowerCase().replace(/[^a-z0-9.-]/g, '-');
  const found: Record<string, string> = {
    [goTemplate ? 'path.path' : 'path']: path,
    'path.basename': base,
    'path.basenameNormalized': normalized,
  };
  if (!goTemplate) parts.forEach((part, i) => (found[`path[${i}]`] = part));
  return found;
}

/** Members of members by their names with dots between them. */
function flat(element: JsonObject): Parameters {
  const found: Record<string, string> = {};
  const add = (value: Json | undefined, name: string): void => {
    if (isJsonObject(value)) for (const [key, inner] of Object.entries(value)) add(inner, `${name}.${key}`);
    else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') found[name] = `${value}`; // prettier-ignore
  };
  for (const [key, value] of Object.entries(element)) add(value, key);
  return found;
}

function filled(value: Json | undefined, fillText: (text: string) => string): Json | undefined {
  if (typeof value === 'string') return fillText(value);
  if (Array.isArray(value)) return value.map((one) => filled(one, fillText) as Json);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, filled(one, fillText) as Json]));
}

function fill(entry: ManifestObject, text: string, parameters: Parameters): string {
  return text.replace(/\{\{\s*(.*?)\s*\}\}/g, (whole, written: string) => {
    const name = written.replace(/^\./, '');
    if (!Object.hasOwn(parameters, name)) throw unsupported(entry, `${whole} in its template is not understood`);
    return parameters[name];
  });
}
