import { type Event, EVENT_ID, YAMLException } from 'js-yaml';
import { guardAliases } from '../../cluster/aliases.js';
import { defaultLimits, tooLarge } from '../../cluster/manifest.js';
import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';
import { eventStart, lineCounter, pathKey, pathPositions } from '../../cluster/positions.js';
import { loadYaml } from '../../cluster/yaml.js';
import { CountersignError, type Place } from '../../errors.js';

/** One YAML document of a policy folder, with the place of everything in it. */
export interface PolicyDocument {
  readonly value: JsonObject;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly place: Place;
  /** The place of a field; of the nearest one around it where it is not written at all. */
  readonly placeOf: (path: readonly PropertyKey[]) => Place;
  /** Where the text of a field begins: the row of its first line, and how far a block is indented. */
  readonly textAt: (path: readonly PropertyKey[]) => { readonly row: number; readonly indent: number };
}

/** What is wrong with one place of Gatekeeper's files. */
export interface Fault {
  readonly place: Place;
  readonly message: string;
  readonly remedy: string;
}

/** Thrown while one document is read; collected, so that a person sees everything at once. */
export class Faulty extends Error {
  constructor(readonly faults: readonly Fault[]) {
    super(faults[0]?.message);
  }
}

export function fault(place: Place, message: string, remedy: string): Faulty {
  return new Faulty([{ place, message, remedy }]);
}

/** `constraint-invalid` at the first fault, which names the others. */
export function faultsError(faults: readonly Fault[]): CountersignError {
  const sorted = faults.toSorted(
    (a, b) => compare(a.place.file, b.place.file) || (a.place.line ?? 0) - (b.place.line ?? 0),
  );
  const [first, ...rest] = sorted;
  const others = rest.map(({ place, message }) => `${place.file}:${place.line ?? 1} ${message}`);
  return new CountersignError(
    'constraint-invalid',
    first.message + (others.length > 0 ? ` (also: ${others.join('; ')})` : ''),
    { place: first.place, remedy: first.remedy },
  );
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The documents of a YAML or JSON text that are objects with a kind. Throws `manifest-malformed` and its kin, with the place. */
export function readDocuments(file: string, text: string): PolicyDocument[] {
  const { events, documents, inexact } = load(file, text);
  const found: PolicyDocument[] = [];
  const lineOf = lineCounter(text);
  let index = 0;
  for (let start = 0; start < events.length;) {
    const end = documentEnd(events, start);
    const value = documents[index++] as Json | undefined;
    const own = events.slice(start, end);
    start = end;
    if (value === undefined || !isJsonObject(value)) continue;
    if (inexact.length > 0) {
      throw new CountersignError('manifest-number', 'a number in this file cannot be carried exactly in JSON', {
        place: { file },
        remedy: 'Keep integers within ±(2^53 − 1), or write the value as a string',
      });
    }
    const positions = pathPositions(own, text);
    const first = lineOf(eventStart(own[1]) ?? 0);
    const nearest = (path: readonly PropertyKey[]) => {
      for (let length = path.length; length > 0; length--) {
        const position = positions.get(pathKey(path.slice(0, length)));
        if (position) return position;
      }
      return undefined;
    };
    const add = (object: JsonObject, prefix: readonly PropertyKey[]) => {
      const lineAt = (path: readonly PropertyKey[]) => {
        const position = nearest([...prefix, ...path]);
        return position ? lineOf(position.at) : first;
      };
      const { apiVersion, kind } = object;
      if (typeof apiVersion !== 'string' || typeof kind !== 'string') return;
      const [group, version = ''] = apiVersion.split('/');
      found.push({
        value: object,
        group,
        version,
        kind,
        place: { file, line: lineAt([]) },
        placeOf: (path) => ({ file, line: lineAt(path) }),
        textAt: (path) => {
          const position = nearest([...prefix, ...path]);
          // A block's value begins with the indentation of its first line.
          return position
            ? { row: lineOf(position.value + position.indent), indent: position.indent }
            : { row: first, indent: 0 };
        },
      });
    };
    if (value.kind !== 'List' || !Array.isArray(value.items)) add(value, []);
    else (value.items as readonly Json[]).forEach((item, i) => isJsonObject(item) && add(item, ['items', i]));
  }
  return found;
}

function load(file: string, text: string): ReturnType<typeof loadYaml> {
  if (text.length > defaultLimits.bytes) throw tooLarge(file, Buffer.byteLength(text), defaultLimits.bytes);
  try {
    return loadYaml(text, defaultLimits, (events) => guardAliases(events, text, file, defaultLimits));
  } catch (thrown) {
    if (!(thrown instanceof YAMLException)) throw thrown;
    const { mark, reason } = thrown;
    throw new CountersignError('manifest-malformed', `malformed YAML: ${reason}`, {
      place: { file, ...(mark ? { line: mark.line + 1, column: mark.column + 1 } : {}) },
      remedy: 'Correct the YAML',
      cause: thrown,
    });
  }
}

function documentEnd(events: readonly Event[], start: number): number {
  let depth = 0;
  for (let i = start; i < events.length; i++) {
    const { type } = events[i];
    if (type === EVENT_ID.POP) depth--;
    else if (type === EVENT_ID.DOCUMENT || type === EVENT_ID.MAPPING || type === EVENT_ID.SEQUENCE) depth++;
    if (depth === 0) return i + 1;
  }
  return events.length;
}
