import {
  constructFromEvents,
  defineMappingTag,
  defineScalarTag,
  type Event,
  JSON_SCHEMA,
  mapTag,
  mergeTag,
  NOT_RESOLVED,
  nullYaml11Tag,
  parseEvents,
  type Schema,
} from 'js-yaml';
import { isExactNumber, setMember } from './canonical.js';

/**
 * YAML scalars as sigs.k8s.io/yaml (go-yaml v2 inside) resolves them, because that is what the API server's clients
 * see: YAML 1.1 booleans, octal with one leading zero, but no sexagesimal numbers and no dates.
 */
const booleans = new Map<string, boolean>([
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map((s) => [s, true] as const),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map((s) => [s, false] as const),
]);

const boolTag = defineScalarTag('tag:yaml.org,2002:bool', {
  implicit: true,
  implicitFirstChars: ['y', 'Y', 't', 'T', 'o', 'O', 'n', 'N', 'f', 'F'],
  resolve: (source) => booleans.get(source) ?? NOT_RESOLVED,
  identify: (data) => typeof data === 'boolean',
});

const signsAndDigits = '-+0123456789'.split('');
const UINT64_MAX = 18446744073709551615n;
const INT64_MIN = -9223372036854775808n;

/** A number that JSON cannot carry exactly. Construction goes on, so that the one who asked can say where it stood. */
export class InexactNumber {
  constructor(readonly text: string) {
    inexact.push(this);
  }
}

/** Those of the text being read; reading is synchronous, so one list is enough. */
let inexact: InexactNumber[] = [];

const intTag = defineScalarTag<number | InexactNumber>('tag:yaml.org,2002:int', {
  implicit: true,
  implicitFirstChars: signsAndDigits,
  resolve: (source) => {
    if (source[0] === '_') return NOT_RESOLVED;
    const plain = source.replaceAll('_', '');
    const negative = plain[0] === '-';
    const digits = (negative || plain[0] === '+' ? plain.slice(1) : plain).toLowerCase();
    let magnitude: bigint;
    if (/^0(x[0-9a-f]+|b[01]+|o[0-7]+)$/.test(digits)) magnitude = BigInt(digits);
    else if (/^0[0-7]+$/.test(digits)) magnitude = BigInt(`0o${digits.slice(1)}`);
    else if (/^(0|[1-9][0-9]*)$/.test(digits)) {
      if (digits.length < 16) return negative ? -Number(digits) || 0 : Number(digits);
      magnitude = BigInt(digits);
    } else return NOT_RESOLVED;
    const value = negative ? -magnitude : magnitude;
    // What fits neither int64 nor uint64 Go tries as a float.
    if (value > UINT64_MAX || value < INT64_MIN) return NOT_RESOLVED;
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : new InexactNumber(source);
  },
  identify: (data) => Number.isInteger(data),
});

const FLOAT = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;

const floatTag = defineScalarTag<number | InexactNumber>('tag:yaml.org,2002:float', {
  implicit: true,
  implicitFirstChars: [...signsAndDigits, '.'],
  resolve: (source) => {
    const plain = source.replaceAll('_', '');
    if (FLOAT.test(plain)) {
      const number = Number(plain);
      if (!Number.isFinite(number)) return NOT_RESOLVED;
      return isExactNumber(number) && (Number.isSafeInteger(number) || !/^[-+]?[0-9]+$/.test(plain))
        ? number
        : new InexactNumber(source);
    }
    return /^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$/.test(source) ? new InexactNumber(source) : NOT_RESOLVED;
  },
  identify: (data) => typeof data === 'number',
});

const binaryTag = defineScalarTag<string>('tag:yaml.org,2002:binary', {
  resolve: (source) => {
    const packed = source.replace(/\s/g, '');
    const bytes = Buffer.from(packed, 'base64');
    if (bytes.toString('base64') !== packed) return NOT_RESOLVED;
    const text = bytes.toString('utf8');
    return Buffer.from(text).equals(bytes) ? text : NOT_RESOLVED;
  },
  identify: () => false,
});

const NUMBER_START = /^[-+.0-9]/;
const nulls: ReadonlySet<string> = new Set(['', '~', 'null', 'Null', 'NULL']);

/** What a scalar without quotes means; undefined where that takes more than the scalar to tell. */
export function resolvePlain(source: string): string | number | boolean | null | undefined {
  if (nulls.has(source)) return null;
  if (source === '<<') return undefined;
  const truth = booleans.get(source);
  if (truth !== undefined) return truth;
  if (!NUMBER_START.test(source)) return source;
  for (const tag of [intTag, floatTag]) {
    const number = tag.resolve(source, false, '');
    if (number !== NOT_RESOLVED) return number instanceof InexactNumber ? undefined : number;
  }
  return source;
}

/** Keys of a mapping that came by merge (`<<`) and may therefore be written over. */
const merged = new WeakMap<object, Set<unknown>>();
let merging: unknown;

/**
 * JSON has string keys only; sigs.k8s.io/yaml writes booleans and integers as text, and we refuse the rest.
 *
 * In Go a merge counts where it stands: it overrides keys written before it and yields to those after. js-yaml lets written
 * keys win always, and asks `has` before each merged key; so `has` answers for merged keys only, and duplicates are found here.
 */
const objectTag = defineMappingTag<Record<string, unknown>>('tag:yaml.org,2002:map', {
  ...mapTag,
  has: (container, key) => {
    const known = merged.get(container)?.has(key) ?? false;
    merging = known ? undefined : key;
    return known;
  },
  addPair: (container, key, value) => {
    if (typeof key !== 'string' && typeof key !== 'boolean' && !Number.isSafeInteger(key)) {
      return 'a key must be a string: put it in quotes';
    }
    const name = typeof key === 'string' ? key : String(key);
    if (merging !== undefined && merging === key) {
      const keys = merged.get(container);
      if (keys) keys.add(name);
      else merged.set(container, new Set([name]));
    } else if (Object.hasOwn(container, name) && !merged.get(container)?.delete(name)) {
      return DUPLICATE_KEY;
    }
    merging = undefined;
    setMember(container, name, value);
    return '';
  },
});

/** The reason of the YAMLException for a key that is written twice. */
export const DUPLICATE_KEY = 'duplicated mapping key';

const schema: Schema = JSON_SCHEMA.withTags(nullYaml11Tag, boolTag, intTag, floatTag, mergeTag, binaryTag, objectTag);

export interface YamlLimits {
  readonly depth: number;
  readonly aliases: number;
}

/**
 * Both halves of reading YAML: the flat events, which know positions, and one value a document. `guard` sees the events before
 * any value is made. `inexact` names numbers that stand somewhere in the documents as InexactNumber. Throws YAMLException.
 */
export function loadYaml(
  text: string,
  limits: YamlLimits,
  guard: (events: Event[]) => void,
): { events: Event[]; documents: unknown[]; inexact: readonly InexactNumber[] } {
  const events = parseEvents(text, { maxDepth: limits.depth });
  guard(events);
  inexact = [];
  merging = undefined;
  // json: true leaves duplicate keys to our own mapping, which refuses them.
  const documents = constructFromEvents(events, { source: text, schema, json: true, maxAliases: limits.aliases });
  return { events, documents, inexact };
}
