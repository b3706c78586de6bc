import { constructFromEvents, parseEvents, YAMLException } from 'js-yaml';
import { z } from 'zod';
import { pathKey, pathPositions } from './cluster/positions.js';
import { CountersignError, formatPlace, type Place } from './errors.js';

/** Something wrong in a settings file, where it is, and what would be right. */
export interface Fault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** A settings file read as YAML, with the line of everything in it. */
export interface SettingsText {
  readonly value: unknown;
  /** The place of a setting; of the nearest one around it where it is not written at all. */
  place(path: readonly PropertyKey[]): Place;
}

/** Reads one YAML document (aliases and duplicate keys are refused). Throws `config-invalid` with the place. */
export function readSettings(text: string, file: string): SettingsText {
  const lines = lineFinder(text);
  try {
    const events = parseEvents(text, { filename: file, maxDepth: 20 });
    const documents = constructFromEvents(events, { source: text, filename: file, maxAliases: 0 });
    if (documents.length > 1) throw invalid('it holds more than one YAML document', { file });
    const positions = pathPositions(events, text);
    const place = (path: readonly PropertyKey[]): Place => {
      for (let length = path.length; length > 0; length--) {
        const position = positions.get(pathKey(path.slice(0, length)));
        if (position) return { file, line: lines(position.at) };
      }
      return { file };
    };
    return { value: documents[0] ?? {}, place };
  } catch (thrown) {
    if (!(thrown instanceof YAMLException)) throw thrown;
    const at = thrown.mark ? { file, line: thrown.mark.line + 1, column: thrown.mark.column + 1 } : { file };
    throw invalid(`it is not valid YAML: ${thrown.reason}`, at);
  }
}

/** Every way in which a value differs from its schema, in words for people; unknown keys with the nearest known one. */
export function faultsOf(error: z.ZodError, schema: z.ZodType): Fault[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: describe(issue) }];
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => ({
      path: [...issue.path, key],
      message: `there is no such setting${suggest(key, known) || ` (there are ${known.join(', ')})`}`,
    }));
  });
}

/** `config-invalid` that names every fault, each with its place; the first one's place is the error's. */
export function faultsError(faults: readonly Fault[], settings: SettingsText, remedy: string): CountersignError {
  const placed = faults
    .map(({ path, message }) => ({ place: settings.place(path), message: `${nameOf(path)}${message}` }))
    .toSorted((a, b) => (a.place.line ?? 0) - (b.place.line ?? 0));
  const [first, ...rest] = placed;
  const message = [first?.message ?? '', ...rest.map((f) => `${formatPlace(f.place)}  ${f.message}`)].join('\n');
  return new CountersignError('config-invalid', message, { place: first?.place, remedy });
}

/** ` (did you mean "x"?)`, where one of the known names is near; else ''. */
export function suggest(name: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)[0];
  return near && near.distance <= Math.ceil(name.length / 3) ? ` (did you mean "${near.candidate}"?)` : '';
}

/** `repositories[0].url: `, as a person would point at it. */
function nameOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '';
  const name = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return `${name.replace(/^\./, '')}: `;
}

function describe(issue: z.core.$ZodIssue): string {
  if (issue.code === 'custom') return issue.message;
  if (issue.code === 'invalid_type') {
    return issue.input === undefined
      ? `it is missing; it must be ${article(issue.expected)}`
      : `it must be ${article(issue.expected)}`;
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    const near = typeof issue.input === 'string' ? suggest(issue.input, values) : '';
    return `it must be ${values.length > 1 ? 'one of ' : ''}${values.join(', ')}${near}`;
  }
  return issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
}

/** The keys that a schema knows at a path. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (let depth = 0; depth <= path.length;) {
    if (at instanceof z.ZodOptional || at instanceof z.ZodNullable || at instanceof z.ZodDefault) at = at.unwrap();
    else if (at instanceof z.ZodPipe) at = at.in;
    else if (depth === path.length) break;
    else if (at instanceof z.ZodArray) [at, depth] = [at.element, depth + 1];
    else if (at instanceof z.ZodObject) [at, depth] = [at.shape[String(path[depth])] as unknown, depth + 1];
    else break;
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function article(type: string): string {
  const name = { array: 'list', object: 'mapping', string: 'text' }[type] ?? type;
  return name === 'text' ? name : `a ${name}`;
}

function invalid(message: string, place: Place): CountersignError {
  return new CountersignError('config-invalid', message, { place, remedy: 'Correct the file' });
}

function lineFinder(text: string): (offset: number) => number {
  const starts = [0];
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) starts.push(i + 1);
  return (offset) => starts.findLastIndex((start) => start <= offset) + 1;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
