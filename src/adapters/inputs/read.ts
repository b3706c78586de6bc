import { readFileSync } from 'node:fs';
import type { Json } from '../../cluster/object.js';
import { readPlainYaml } from '../../cluster/plain-yaml.js';
import { loadYaml } from '../../cluster/yaml.js';
import { CountersignError } from '../../errors.js';
import { formatOf, isRead } from './formats.js';
import type { InputParsers } from './program.js';

/** Beyond these Conftest's own parser is asked, which has its own. */
const LIMITS = { depth: 100, aliases: 1000 };

/**
 * A configuration file's values as Conftest reads them, as JSON texts: the documents of YAML, the members of a list. YAML and
 * JSON are read here as long as they are plain; whatever is special about them goes to the original.
 * Throws `manifest-malformed` with the file, and `usage` for a format that is not read.
 */
export function readInput(path: string, parsers: InputParsers, as?: string, combined = false): readonly string[] {
  const format = as ?? formatOf(path);
  if (format === undefined || !isRead(format)) throw unread(path, format);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path === '-' ? 0 : path);
  } catch (cause) {
    throw new CountersignError('usage', `cannot read it: ${(cause as Error).message}`, {
      place: { file: path },
      cause,
    });
  }
  const quick = format === 'yaml' ? quickYaml(bytes) : format === 'json' ? quickJson(bytes) : undefined;
  if (quick) {
    const texts = quick.map((value) => write(value, combined));
    if (texts.every((text) => text !== undefined)) return texts;
  }
  try {
    return parsers.parse(format, path, bytes, combined);
  } catch (cause) {
    throw new CountersignError('manifest-malformed', `it is no ${format}: ${(cause as Error).message}`, {
      place: { file: path },
      remedy: as ? undefined : 'Correct it, leave it out with --ignore, or name its format with --parser',
      cause,
    });
  }
}

function quickYaml(bytes: Buffer): readonly Json[] | undefined {
  const text = bytes.toString();
  if (text.includes('\r') || text.startsWith('%') || text.includes('\ufffd') || text.startsWith('\ufeff'))
    return undefined;
  // Conftest cuts at these lines and no others, and of each part reads the first document.
  const parts = text.split('\n---\n');
  const values: Json[] = [];
  for (const part of parts) {
    const plain = readPlainYaml(part);
    if (plain) {
      values.push(plain.value);
      continue;
    }
    try {
      const { documents, inexact } = loadYaml(part, LIMITS, () => undefined);
      if (inexact.length > 0 || documents.length > 1) return undefined;
      values.push((documents[0] ?? null) as Json);
    } catch {
      return undefined;
    }
  }
  return parts.length === 1 && Array.isArray(values[0]) ? values[0] : values;
}

function quickJson(bytes: Buffer): readonly Json[] | undefined {
  const text = bytes.toString();
  if (text.includes('\ufffd')) return undefined;
  try {
    const value = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text) as Json;
    return Array.isArray(value) ? value : [value];
  } catch {
    return undefined;
  }
}

/** JSON, with numbers as Go's %g unless files are combined. Undefined for what only the original can write. */
function write(value: Json, combined: boolean): string | undefined {
  const kind = numbers(value);
  if (kind === 'odd') return undefined;
  return kind === 'plain' || combined ? JSON.stringify(value) : asGo(value);
}

type Numbers = 'plain' | 'large' | 'odd';

/** Whether all numbers are written alike by JSON and by Go. */
function numbers(value: Json): Numbers {
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || Object.is(value, -0)) return 'odd';
    const size = Math.abs(value);
    return size < 1e6 && (size >= 1e-4 || size === 0) ? 'plain' : 'large';
  }
  if (typeof value !== 'object' || value === null) return 'plain';
  let found: Numbers = 'plain';
  for (const member of Array.isArray(value) ? value : Object.values(value)) {
    const kind = numbers(member);
    if (kind === 'odd') return kind;
    if (kind === 'large') found = kind;
  }
  return found;
}

function asGo(value: Json): string {
  if (typeof value === 'number') {
    const size = Math.abs(value);
    if (size === 0 || (size < 1e6 && size >= 1e-4)) return String(value);
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(asGo).join(',')}]`;
  return `{${Object.entries(value)
    .map(([key, member]) => `${JSON.stringify(key)}:${asGo(member)}`)
    .join(',')}}`;
}

function unread(path: string, format: string | undefined): CountersignError {
  return new CountersignError(
    'usage',
    format === undefined ? 'its format is not known' : `${format} is not read here`,
    {
      place: { file: path },
      remedy:
        format === undefined ? 'Name its format with --parser' : 'Convert it first, or leave it out with --ignore',
    },
  );
}
