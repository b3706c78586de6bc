import { EVENT_ID, YAMLException } from 'js-yaml';
import { CountersignError, type ErrorCode } from '../errors.js';
import { parseStrictJson } from './canonical.js';
import { refuseInexact } from './exact.js';
import { guardAliases } from './aliases.js';
import {
  identityOf,
  isJsonObject,
  type Json,
  type JsonObject,
  type KubernetesObject,
  type ManifestObject,
} from './object.js';
import { eventStart, itemStarts, lineCounter } from './positions.js';
import { readPlainYaml } from './plain-yaml.js';
import { DUPLICATE_KEY, loadYaml } from './yaml.js';

/** How much one manifest file may ask of us (invariant 8). */
export interface ManifestLimits {
  readonly bytes: number;
  /** Levels of nesting, aliases expanded. */
  readonly depth: number;
  readonly documents: number;
  /** Alias nodes in one document. */
  readonly aliases: number;
}

export const defaultLimits: ManifestLimits = { bytes: 10 * 1024 * 1024, depth: 100, documents: 10_000, aliases: 1_000 };

export interface Manifest {
  readonly objects: ManifestObject[];
  /** Documents that are no Kubernetes objects: they have no apiVersion or no kind. */
  readonly otherDocuments: number;
  /** Whether its documents may be read one by one, wherever a line begins with `---`. */
  readonly separable: boolean;
}

interface Located {
  readonly value: Json | undefined;
  readonly line: number;
  /** Lines of the members of `items`, for a list. */
  readonly itemLines: () => readonly number[];
}

/**
 * Manifest text to objects, each with its line; `List` kinds give their items. `.json` is read as JSON, all else as YAML.
 * Throws `manifest-too-large`, `manifest-malformed`, `manifest-duplicate-key`, `manifest-too-deep`, `manifest-aliases`,
 * `manifest-number` and `object-invalid`, each with file, line where known, and remedy. Messages never quote values: a
 * manifest may hold a Secret (invariant 10).
 */
export function readManifest(path: string, bytes: Buffer, limits: Partial<ManifestLimits> = {}): Manifest {
  const bound = { ...defaultLimits, ...limits };
  if (bytes.length > bound.bytes) throw tooLarge(path, bytes.length, bound.bytes);
  const { documents, marks } = path.endsWith('.json') ? readJson(path, bytes) : readYaml(path, bytes, bound);
  const objects: ManifestObject[] = [];
  let otherDocuments = 0;
  let separable = !marks;
  for (const { value, line, itemLines } of documents) {
    if (value === undefined || value === null) continue;
    separable &&= typeof value === 'object';
    if (!isJsonObject(value) || typeof value.apiVersion !== 'string' || typeof value.kind !== 'string')
      otherDocuments++;
    else if (isList(value)) flatten(path, value, line, itemLines(), objects);
    else objects.push(asObject(path, line, value));
  }
  return { objects, otherDocuments, separable };
}

export function tooLarge(path: string, bytes: number, limit: number): CountersignError {
  return new CountersignError('manifest-too-large', `the file has ${bytes} bytes, more than the limit of ${limit}`, {
    place: { file: path },
    remedy: 'Split it, or list it under "ignore" if it is no manifest',
  });
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function decode(path: string, bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    const line = bytes.subarray(0, firstInvalid(bytes)).reduce((n, byte) => (byte === 10 ? n + 1 : n), 1);
    throw new CountersignError('manifest-malformed', 'the file is not UTF-8 text', {
      place: { file: path, line },
      remedy: 'Save it as UTF-8',
    });
  }
}

function firstInvalid(bytes: Buffer): number {
  const replaced = Buffer.from(bytes.toString('utf8'));
  let i = 0;
  while (i < bytes.length && bytes[i] === replaced[i]) i++;
  return i;
}

interface Documents {
  readonly documents: readonly Located[];
  /** Directives, and ends of documents, after which directives may come; line breaks of old Macs, which count for YAML. */
  readonly marks: boolean;
}

function readJson(path: string, bytes: Buffer): Documents {
  const text = decode(path, bytes);
  if (text.trim() === '') return { documents: [], marks: false };
  const starts = new Map<object, number>();
  const value = parseStrictJson(text, { file: path }, starts);
  const lineOf = (item: Json) => (typeof item === 'object' && item !== null ? (starts.get(item) ?? 1) : 1);
  const itemLines = () => (isJsonObject(value) && Array.isArray(value.items) ? value.items.map(lineOf) : []);
  return { documents: [{ value, line: lineOf(value), itemLines }], marks: false };
}

function readYaml(path: string, bytes: Buffer, limits: ManifestLimits): Documents {
  const plain = limits.depth >= defaultLimits.depth ? readPlainYaml(bytes) : undefined;
  // The items of a list have lines of their own, which only the full reader knows.
  if (plain && !(isJsonObject(plain.value) && isList(plain.value))) {
    return { documents: [{ ...plain, itemLines: () => [] }], marks: false };
  }
  const text = decode(path, bytes);
  let loaded: ReturnType<typeof loadYaml>;
  try {
    loaded = loadYaml(text, limits, (events) => guardAliases(events, text, path, limits));
  } catch (error) {
    throw error instanceof YAMLException ? fromYaml(path, text, error) : error;
  }
  const { events, documents, inexact } = loaded;
  if (documents.length > limits.documents) {
    throw new CountersignError('manifest-too-large', `the file has more than ${limits.documents} documents`, {
      place: { file: path },
      remedy: 'Split it',
    });
  }
  const lineOf = lineCounter(text);
  const escapes = text.includes('\\') && /\\(u|U0000)[dD][89a-fA-F]/.test(text);
  const located: Located[] = [];
  for (let i = 0; i < events.length; i++) {
    if (events[i].type !== EVENT_ID.DOCUMENT) continue;
    const root = i + 1;
    const value = documents[located.length] as Json | undefined;
    const line = lineOf(eventStart(events[root]) ?? 0);
    const itemLines = () => itemStarts(events, root, text).map(lineOf);
    located.push({ value, line, itemLines });
    if ((inexact.length > 0 || escapes) && isJsonObject(value) && typeof value.kind === 'string') {
      refuseInexact(value, { path, text, events, root });
    }
  }
  return { documents: located, marks: /^(?:%|\.\.\.)/m.test(text) || /\r(?!\n)/.test(text) };
}

function fromYaml(path: string, text: string, error: YAMLException): CountersignError {
  // error.message quotes the lines around the fault, and a line may be a Secret's: only the reason is taken, and no cause.
  const line = error.mark ? error.mark.line + 1 : undefined;
  const column = error.mark ? error.mark.column + 1 : undefined;
  const place = { file: path, line, column };
  const make = (code: ErrorCode, message: string, remedy: string) =>
    new CountersignError(code, message, { place, remedy });
  if (error.reason === DUPLICATE_KEY) {
    const key = /^[^\s:#'"]{1,80}/.exec(text.slice(error.mark?.position ?? text.length))?.[0];
    return make(
      'manifest-duplicate-key',
      `the key ${key ? `"${key}" ` : ''}is written twice in one mapping`,
      'Keep one of the two',
    );
  }
  if (error.reason.startsWith('nesting exceeded')) {
    return make('manifest-too-deep', `YAML is nested too deep (${error.reason})`, 'Flatten it');
  }
  if (/^(aliases exceeded|merge keys exceeded|abnormal merge)/.test(error.reason)) {
    return make('manifest-aliases', `too many aliases or merges (${error.reason})`, 'Write the values out');
  }
  const template = /\{\{/.test(text);
  return make(
    'manifest-malformed',
    `malformed YAML: ${error.reason}`,
    template ? 'If it is a template, list it under "ignore" of its environment' : 'Correct the YAML',
  );
}

function isList(value: JsonObject): boolean {
  return (
    typeof value.kind === 'string' &&
    value.kind.endsWith('List') &&
    Array.isArray(value.items) &&
    (value.kind === 'List' || value.items.every(isJsonObject))
  );
}

/** Items of a typed list (`DeploymentList`) may leave out what the list already says, as kubectl allows. */
function flatten(
  path: string,
  list: JsonObject,
  line: number,
  lines: readonly number[],
  objects: ManifestObject[],
): void {
  (list.items as readonly Json[]).forEach((item, i) => {
    const at = lines[i] ?? line;
    if (!isJsonObject(item)) throw invalid(path, at, 'an item of a List is no object', 'Remove it');
    const typed: JsonObject =
      list.kind === 'List'
        ? {}
        : { apiVersion: list.apiVersion!, kind: (list.kind as string).slice(0, -'List'.length) };
    const object: JsonObject = { ...typed, ...item };
    if (typeof object.apiVersion !== 'string' || typeof object.kind !== 'string') {
      throw invalid(path, at, 'an item of a List has no apiVersion or no kind', 'Add both');
    }
    // A list within a list keeps the line of the outer item: kubectl reads these, people hardly write them.
    if (isList(object)) flatten(path, object, at, [], objects);
    else objects.push(asObject(path, at, object));
  });
}

const ownMetadata = [
  'countersign.dev/commit',
  'countersign.dev/environment',
  'countersign.dev/decision',
  'applyset.kubernetes.io/id',
  'applyset.kubernetes.io/part-of',
];

function isEncrypted({ sops }: JsonObject): boolean {
  return isJsonObject(sops) && ['mac', 'lastmodified', 'version'].some((field) => field in sops);
}

function asObject(path: string, line: number, value: JsonObject): ManifestObject {
  const { metadata } = value;
  const what = `the ${value.kind as string}`;
  // Applied as it is, the API server would drop its `sops` and take the ciphertext for values.
  if (isEncrypted(value)) {
    throw invalid(
      path,
      line,
      `${what} is encrypted with SOPS, and nothing here decrypts it`,
      'Let the cluster make the Secret (External Secrets, Sealed Secrets), or list the file under "ignore"',
    );
  }
  if (!isJsonObject(metadata)) throw invalid(path, line, `${what} has no metadata`, 'Add metadata.name');
  const { name, namespace } = metadata;
  if (name === undefined && metadata.generateName !== undefined) {
    throw invalid(
      path,
      line,
      `${what} has generateName and no name`,
      'Give it a metadata.name: what Git describes needs an identity',
    );
  }
  // The rules of path segments: a slash here would let two objects share one identity.
  if (typeof name !== 'string' || name === '' || name === '.' || name === '..' || /[/%]/.test(name)) {
    const remedy =
      typeof name === 'string'
        ? 'Use a name that Kubernetes allows'
        : 'Add metadata.name, in quotes if it looks like a number';
    throw invalid(path, line, `${what} has no usable metadata.name`, remedy);
  }
  if (namespace !== undefined && namespace !== null && (typeof namespace !== 'string' || /[/%]/.test(namespace))) {
    throw invalid(
      path,
      line,
      `${what} "${name}" has a metadata.namespace that is no name`,
      'Put it in quotes, or correct it',
    );
  }
  if (!/^([^/\s]+\/)?[^/\s]+$/.test(value.apiVersion as string) || !/^[A-Za-z0-9]+$/.test(value.kind as string)) {
    throw invalid(
      path,
      line,
      `the object "${name}" has an apiVersion or kind that is none`,
      'Write apiVersion as group/version, or v1',
    );
  }
  for (const field of ['labels', 'annotations'] as const) {
    const map = metadata[field];
    const own = isJsonObject(map) ? ownMetadata.find((key) => Object.hasOwn(map, key)) : undefined;
    if (own) {
      throw invalid(
        path,
        line,
        `${what} "${name}" sets ${own}, which only Countersign writes`,
        `Remove it from metadata.${field}`,
      );
    }
  }
  const object = value as KubernetesObject;
  return { identity: identityOf(object), object, source: { path, line } };
}

function invalid(file: string, line: number, message: string, remedy: string): CountersignError {
  return new CountersignError('object-invalid', message, { place: { file, line }, remedy });
}
