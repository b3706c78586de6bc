import { closeSync, openSync, readSync } from 'node:fs';
import type { Json } from '../../cluster/object.js';
import { PlainYaml, readPlainYaml } from '../../cluster/plain-yaml.js';
import { loadYaml } from '../../cluster/yaml.js';
import { CountersignError } from '../../errors.js';
import { formatOf, isRead } from './formats.js';
import type { InputParsers } from './program.js';

/** Beyond these Conftest's own parser is asked, which has its own. */
const LIMITS = { depth: 100, aliases: 1000 };
/** Conftest cuts YAML at these lines and no others, and of each part reads the first document. */
const CUT = '\n---\n';
const CUT_BYTES = Buffer.from(CUT);
const FIRST_BUFFER = 1 << 16;

/**
 * Reads configuration files as Conftest does. YAML and JSON are read here as long as they are plain; whatever is special about them goes
 * to the original.
 */
export class InputReader {
  /** `combined`: numbers stay as they are, else they are written as Go's %g. */
  constructor(
    private readonly parsers: InputParsers,
    private readonly combined = false,
  ) {}

  private readonly plain = new PlainYaml((value) => writeNumber(value, this.combined));
  private buffer = Buffer.allocUnsafe(FIRST_BUFFER);

  /**
   * A file's values as JSON texts: the documents of YAML, the members of a list. Valid until the next call. `as` is the format to take
   * it for. Throws `manifest-malformed` with the file, and `usage` for a format that is not read.
   */
  read(path: string, as?: string): readonly Uint8Array[] {
    const format = as ?? formatOf(path);
    if (format === undefined || !isRead(format)) throw unread(path, format);
    const bytes = this.content(path);
    const quick =
      format === 'yaml' ? (this.quickYaml(bytes) ?? this.others(yamlValues(bytes)))
      : format === 'json' ? this.others(jsonValues(bytes))
      : undefined; // prettier-ignore
    if (quick) return quick;
    try {
      return this.parsers.parse(format, path, bytes, this.combined).map((text) => Buffer.from(text));
    } catch (cause) {
      throw new CountersignError('manifest-malformed', `it is no ${format}: ${(cause as Error).message}`, {
        place: { file: path },
        remedy: as ? undefined : 'Correct it, leave it out with --ignore, or name its format with --parser',
        cause,
      });
    }
  }

  private content(path: string): Buffer {
    let file = 0;
    try {
      if (path !== '-') file = openSync(path, 'r');
      for (let length = 0; ;) {
        const read = readSync(file, this.buffer, length, this.buffer.length - length, null);
        if (read === 0) return this.buffer.subarray(0, length);
        length += read;
        if (length === this.buffer.length) this.buffer = Buffer.concat([this.buffer], length * 2);
      }
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EOF') return this.buffer.subarray(0, 0);
      throw new CountersignError('usage', `cannot read it: ${(cause as Error).message}`, {
        place: { file: path },
        cause,
      });
    } finally {
      if (file !== 0) closeSync(file);
    }
  }

  /** undefined unless every part is written as most manifests are. */
  private quickYaml(bytes: Buffer): readonly Uint8Array[] | undefined {
    let cut = bytes.indexOf(CUT_BYTES);
    if (cut < 0) {
      const json = this.plain.write(bytes, 0, bytes.length);
      // The members of a list are documents of their own.
      return json && json[0] !== 0x5b ? [json] : undefined;
    }
    const texts: Uint8Array[] = [];
    for (let from = 0; ; cut = bytes.indexOf(CUT_BYTES, from)) {
      const json = this.plain.write(bytes, from, cut < 0 ? bytes.length : cut);
      if (!json) return undefined;
      texts.push(json.slice()); // the next one takes its place
      if (cut < 0) return texts;
      from = cut + CUT_BYTES.length;
    }
  }

  private others(values: readonly Json[] | undefined): readonly Uint8Array[] | undefined {
    const texts = values?.map((value) => write(value, this.combined));
    if (!texts?.every((text) => text !== undefined)) return undefined;
    return texts.map((text) => Buffer.from(text));
  }
}

function yamlValues(bytes: Buffer): readonly Json[] | undefined {
  const text = bytes.toString();
  if (text.includes('\r') || text.startsWith('%') || text.includes('\ufffd') || text.startsWith('\ufeff'))
    return undefined;
  const parts = text.split(CUT);
  const values: Json[] = [];
  for (const part of parts) {
    const plain = readPlainYaml(Buffer.from(part));
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

function jsonValues(bytes: Buffer): readonly Json[] | undefined {
  const text = bytes.toString();
  if (text.includes('\ufffd')) return undefined;
  try {
    const value = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text) as Json;
    return Array.isArray(value) ? value : [value];
  } catch {
    return undefined;
  }
}

/** undefined for what only the original can write. */
function write(value: Json, combined: boolean): string | undefined {
  if (typeof value === 'number') return writeNumber(value, combined);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const parts: string[] = [];
  const inList = Array.isArray(value);
  for (const [key, member] of Object.entries(value)) {
    const text = write(member, combined);
    if (text === undefined) return undefined;
    parts.push(inList ? text : `${JSON.stringify(key)}:${text}`);
  }
  return inList ? `[${parts.join(',')}]` : `{${parts.join(',')}}`;
}

/** As JSON, or as Go's %g; undefined for what those two would write as different values. */
function writeNumber(value: number, combined: boolean): string | undefined {
  if (!Number.isFinite(value) || Object.is(value, -0)) return undefined;
  const size = Math.abs(value);
  if (combined || size === 0 || (size < 1e6 && size >= 1e-4)) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
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
