import { readFileSync, readdirSync } from 'node:fs';
import { load } from 'js-yaml';
import { parseStrictJson } from '../cluster/canonical.js';
import { isJsonObject, type Json, type JsonObject } from '../cluster/object.js';
import { CountersignError, formatPlace, type Place } from '../errors.js';
import { readSettings } from '../settings.js';
import { STARTER_PREFIX, type PolicySources, type StarterProfile } from './bundle.js';
import { readGatekeeper } from './gatekeeper/gatekeeper.js';
import { given } from './given.js';
import {
  flooredChoice,
  flooredSettings,
  higher,
  ORGANISATION_PREFIX,
  type OrganisationPolicy,
  refuseReserved,
  reservedData,
} from './organisation.js';

export interface StarterSettings {
  readonly profile?: StarterProfile;
  readonly off?: readonly string[];
  /** What the starter rules are told, as `data.countersign.settings`. */
  readonly data?: JsonObject;
  /** Whether rules that read what the input does not have are refused. */
  readonly strict?: boolean;
  /** What lies above it. */
  readonly organisation?: OrganisationPolicy | undefined;
}

/**
 * A policy folder as sources. `files` are texts by path: `*.rego` are rules (`*_test.rego` their tests), `data.yaml`, `data.yml`
 * and `data.json` are data, placed under the folders they lie in below `root` as `opa build` does; Gatekeeper's templates and
 * constraints are read from other YAML; everything else is ignored.
 * The starter rules are added as the settings say; without settings the profile is `baseline`.
 * Throws `rego-invalid`, `constraint-invalid`, `manifest-malformed` and its kin for data that cannot be read or that contradicts other data.
 */
export function policySources(
  files: ReadonlyMap<string, string>,
  starter: StarterSettings = {},
  root = '',
): PolicySources {
  const { organisation } = starter;
  for (const path of files.keys()) {
    const prefix = [STARTER_PREFIX, ORGANISATION_PREFIX].find((reserved) => path.startsWith(reserved));
    if (prefix === undefined) continue;
    throw new CountersignError('rego-invalid', `paths that begin with ${prefix} are reserved`, {
      place: { file: path },
    });
  }
  const choice = flooredChoice({ profile: starter.profile ?? 'baseline', off: starter.off ?? [] }, organisation);
  const all = new Map([...(organisation?.files ?? []), ...files]);
  const rego = new Map([...all].filter(([path]) => path.endsWith('.rego')));
  const profile = choice.floor ? higher(choice.profile, choice.floor.profile) : choice.profile;
  const ours = startersFor(profile, [...rego.values()]);
  for (const [path, text] of ours) rego.set(path, text);

  const data: Record<string, Json> = {};
  const read: DataFile[] = [];
  const add = (file: DataFile) => {
    merge(data, file, read);
    read.push(file);
  };
  if (organisation) dataFiles(organisation.files, organisation.root).forEach(add);
  const reserved = organisation ? reservedData(organisation, data, ours.values()) : [];
  for (const file of dataFiles(files, root)) {
    refuseReserved(file.value, reserved, (names) => placeIn(file, names));
    add(file);
  }
  const settings = flooredSettings(starter.data ?? {}, organisation);
  if (starter.data || organisation)
    add({ path: 'countersign.yaml', text: '', folders: [], value: { countersign: { settings } } });

  const gatekeeper = readGatekeeper(all);
  if (gatekeeper?.inventory && Object.hasOwn(data, 'inventory')) {
    throw new CountersignError(
      'rego-invalid',
      'data.inventory is what Gatekeeper’s templates read, and a data file gives it',
      {
        place: { file: [...all.keys()].find(isData) ?? root },
        remedy: 'Give the data another name',
      },
    );
  }
  return {
    files: rego,
    data,
    dataPlace: (path) => placeOf(read, path),
    starter: choice,
    ...(gatekeeper ? { gatekeeper } : {}),
    ...(starter.strict ? { strict: true } : {}),
  };
}

const isData = (path: string): boolean => /(^|\/)data\.(ya?ml|json)$/.test(path);

interface DataFile {
  readonly path: string;
  readonly text: string;
  /** Under which its content is placed in `value`. */
  readonly folders: readonly string[];
  readonly value: Json;
}

/** Each data file, in the order of their paths, placed under the folders it lies in. */
function dataFiles(files: ReadonlyMap<string, string>, root: string): readonly DataFile[] {
  return [...files]
    .filter(([path]) => isData(path))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, text]) => {
      const folders = foldersOf(path, root);
      return { path, text, folders, value: nested(folders, readData(path, text)) };
    });
}

function placeIn({ text, path: file, folders }: DataFile, path: readonly string[]): Place {
  try {
    return readSettings(text, file).place(path.slice(folders.length));
  } catch {
    return { file }; // with aliases, which data may have and settings may not
  }
}

/** Where the first of the files says something at a path, or something in place of what would be there. */
function placeOf(files: readonly DataFile[], path: readonly string[]): Place | undefined {
  const file = files.find(({ value }) => given(value, path));
  return file && placeIn(file, path);
}

let starters: ReadonlyMap<string, string> | undefined;

/** The Rego that ships with Countersign, its tests not included. */
export function starterFiles(): ReadonlyMap<string, string> {
  return (starters ??= new Map([...readStarterFolder()].filter(([path]) => !path.endsWith('_test.rego'))));
}

/**
 * The files whose rules run, and what those and other rules use: to compile all of it for nothing takes seconds. Also with profile
 * `off`, what ships with Countersign is there to be used. Taken is what is named, or added to, by a file that is there already;
 * everything, where a name is computed.
 */
function startersFor(profile: StarterProfile, texts: readonly string[]): ReadonlyMap<string, string> {
  if (profile === 'strict') return starterFiles();
  const running = profile === 'off' ? [] : [...starterFiles()].filter(([, text]) => hasBaseline(text));
  const taken = new Map(running);
  for (let queue = [...texts, ...taken.values()]; queue.length > 0;) {
    const { computed, names } = namedIn(queue.pop()!);
    for (const [path, starter] of starterFiles()) {
      if (taken.has(path)) continue;
      const own = packageOf(starter);
      // `data.countersign.lib` is all of its packages, and `data.countersign.lib.image.pinned` one rule of one.
      if (!computed && !names.some((name) => `${own}.`.startsWith(`${name}.`) || name.startsWith(`${own}.`))) continue;
      taken.set(path, starter);
      queue.push(starter);
    }
  }
  return new Map([...taken].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether a starter file has a rule of profile `baseline`: said of each that is not, by itself or for its whole package. */
function hasBaseline(text: string): boolean {
  const [head = '', body = ''] = text.split(/^package .*$/m);
  const count = (pattern: RegExp): number => body.match(pattern)?.length ?? 0;
  if (/^# {3}profile: strict$/m.test(head)) return count(/^# {3}profile: baseline$/gm) > 0;
  return count(/^(deny|warn|require) contains /gm) > count(/^# {3}profile: strict$/gm);
}

function namedIn(text: string): { readonly computed: boolean; readonly names: readonly string[] } {
  const names = [...text.matchAll(/\bdata\.([\w.]+)/g)].map(([, path]) => path);
  return { computed: /\bdata\s*\[/.test(text), names: [packageOf(text), ...names] };
}

const packageOf = (text: string): string => /^package\s+(\S+)/m.exec(text)?.[1] ?? '';

/** Beside src/ and dist/ alike. */
export const STARTER_FOLDER = new URL('../../policies/', import.meta.url);

/** With its tests. */
export function readStarterFolder(): ReadonlyMap<string, string> {
  const names = readdirSync(STARTER_FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rego'),
  );
  return new Map(
    names.toSorted().map((name) => [STARTER_PREFIX + name, readFileSync(new URL(name, STARTER_FOLDER), 'utf8')]),
  );
}

function readData(path: string, text: string): Json {
  const place = { file: path };
  if (path.endsWith('.json')) return parseStrictJson(text, place);
  try {
    // Through JSON: what policy reads is JSON, and dates or anchors must not give anything else.
    return parseStrictJson(JSON.stringify(load(text) ?? {}), place);
  } catch (cause) {
    if (cause instanceof CountersignError) throw cause;
    const { reason, mark } = cause as { reason?: string; mark?: { line: number } };
    throw new CountersignError('manifest-malformed', `malformed YAML: ${reason ?? String(cause)}`, {
      place: { ...place, line: mark ? mark.line + 1 : undefined },
      remedy: 'Correct the file',
      cause,
    });
  }
}

function foldersOf(path: string, root: string): string[] {
  const below = root !== '' && path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
  return below.split('/').slice(0, -1);
}

function nested(folders: readonly string[], value: Json): Json {
  return folders.reduceRight<Json>((inner, folder) => ({ [folder]: inner }), value);
}

/** Throws `rego-invalid`, with both places, where one of the files that were read says it already. */
function merge(
  into: Record<string, Json>,
  file: DataFile,
  read: readonly DataFile[],
  from = file.value,
  at: readonly string[] = [],
): void {
  if (!isJsonObject(from)) {
    throw new CountersignError('rego-invalid', 'data is not an object', {
      place: { file: file.path, line: 1 },
      remedy: 'Write keys and values at its top',
    });
  }
  for (const [key, value] of Object.entries(from)) {
    const existing = Object.hasOwn(into, key) ? into[key] : undefined;
    const path = [...at, key];
    if (existing === undefined) into[key] = structuredClone(value);
    else if (isJsonObject(existing) && isJsonObject(value)) merge(existing, file, read, value, path);
    else {
      const first = placeOf(read, path);
      const also = first ? `, here and at ${formatPlace(first)}` : '';
      throw new CountersignError('rego-invalid', `data.${path.join('.')} is given twice${also}`, {
        place: placeIn(file, path),
        remedy: 'Keep one of the two',
      });
    }
  }
}
