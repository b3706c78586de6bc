import { checkCharacters } from './builtins/builtin.js';
import { isInteger, isNumeric, RegoNumber, toRego, type RegoValue } from './values.js';

const VERB = /%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(?:\[(\d+)\])?([a-zA-Z%]|$)/gu;
/** Go refuses wider fields too; here it also keeps a policy from filling memory outside the cap. */
const MAX_WIDTH = 1_000_000;

interface Spec {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly verb: string;
}

/** Rego's sprintf, byte for byte as Go's fmt prints what OPA passes to it: integers, floats, and everything else as text. */
export function sprintf(format: string, args: readonly RegoValue[]): string {
  let next = 0;
  let out = '';
  let last = 0;
  let indexed = false;
  for (const match of format.matchAll(VERB)) {
    out += format.slice(last, match.index);
    last = match.index + match[0].length;
    const [, flags = '', widthText, precisionText, index, verb = ''] = match;
    if (verb === '') return `${out}%!(NOVERB)`;
    if (verb === '%') {
      out += '%';
      continue;
    }
    if (index) {
      next = Number(index) - 1;
      indexed = true;
    }
    const number = (text: string | undefined) =>
      text === '*' ? Number(args[next++]) : text === undefined ? undefined : Number(text || 0);
    const spec: Spec = { flags, width: clamp(number(widthText)), precision: clamp(number(precisionText)), verb };
    const arg = args[next];
    if (next < 0 || next >= args.length || arg === undefined) {
      out += `%!${verb}${index ? '(BADINDEX)' : '(MISSING)'}`;
      continue;
    }
    next++;
    out += pad(one(spec, arg), spec);
    checkCharacters(out.length);
  }
  out += format.slice(last);
  if (!indexed && next < args.length) out += `%!(EXTRA ${args.slice(next).map(describe).join(', ')})`;
  return out;
}

function clamp(n: number | undefined): number | undefined {
  return n === undefined || Number.isNaN(n) ? undefined : Math.min(n, MAX_WIDTH);
}

function one(spec: Spec, arg: RegoValue): string {
  if (arg instanceof RegoNumber && !Number.isFinite(Number(arg.text))) return text(spec, arg.text);
  if (!isNumeric(arg)) return text(spec, typeof arg === 'string' ? arg : toRego(arg));
  if (isInteger(arg)) return whole(spec, BigInt(arg instanceof RegoNumber ? arg.text : arg));
  return fraction(spec, Number(arg instanceof RegoNumber ? arg.text : arg));
}

function text(spec: Spec, value: string): string {
  switch (spec.verb) {
    case 'v':
    case 's':
      return spec.precision === undefined ? value : Array.from(value).slice(0, spec.precision).join('');
    case 'q':
      return spec.flags.includes('#') && !value.includes('`') ? `\`${value}\`` : quote(value);
    case 'x':
      return Buffer.from(value).toString('hex');
    case 'X':
      return Buffer.from(value).toString('hex').toUpperCase();
  }
  return `%!${spec.verb}(string=${value})`;
}

function whole(spec: Spec, value: bigint): string {
  const size = value < 0n ? -value : value;
  const big = value >= 1n << 63n || value < -(1n << 63n);
  const digits = wholeDigits(spec, size, big);
  if (digits !== undefined) return signed(spec, digits, value < 0n, true);
  switch (spec.verb) {
    case 'c':
      return String.fromCodePoint(Number(value));
    case 'q':
      return `'${String.fromCodePoint(Number(value))}'`;
    case 'U':
      return `U+${size.toString(16).toUpperCase().padStart(4, '0')}`;
  }
  return `%!${spec.verb}(${big ? '*big.Int' : 'int'}=${value})`;
}

function wholeDigits(spec: Spec, size: bigint, big: boolean): string | undefined {
  const alternate = spec.flags.includes('#');
  switch (spec.verb) {
    case 's':
      return big ? size.toString() : undefined;
    case 'v':
    case 'd':
      return size.toString();
    case 'b':
      return size.toString(2);
    case 'o':
      return (alternate ? '0' : '') + size.toString(8);
    case 'O':
      return `0o${size.toString(8)}`;
    case 'x':
      return (alternate ? '0x' : '') + size.toString(16);
    case 'X':
      return (alternate ? '0X' : '') + size.toString(16).toUpperCase();
  }
  return undefined;
}

function fraction(spec: Spec, value: number): string {
  const negative = value < 0 || Object.is(value, -0);
  const size = Math.abs(value);
  const precision = spec.precision === undefined ? undefined : Math.min(spec.precision, 100);
  switch (spec.verb) {
    case 'v':
    case 'g':
    case 'G':
      return signed(
        spec,
        precision === undefined ? shortest(size) : String(Number(size.toPrecision(precision || 1))),
        negative,
      );
    case 'f':
    case 'F':
      return signed(spec, size.toFixed(precision ?? 6), negative);
    case 'e':
      return signed(spec, twoDigits(size.toExponential(precision ?? 6)), negative);
    case 'E':
      return signed(spec, twoDigits(size.toExponential(precision ?? 6)).toUpperCase(), negative);
  }
  return `%!${spec.verb}(float64=${negative ? '-' : ''}${shortest(size)})`;
}

/** Go writes an exponent with at least two digits. */
function twoDigits(s: string): string {
  return s.replace(/e([+-])(\d)$/, 'e$10$2');
}

/** Go's %v of a float64: the shortest digits, with an exponent below 1e-4 and from 1e6. */
function shortest(size: number): string {
  if (size === 0) return '0';
  const [mantissa = '', exponentText] = size.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 6)
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  return size >= 1e-6 ? String(size) : size.toFixed(20).replace(/0+$/, '');
}

function signed(spec: Spec, digits: string, negative: boolean, precisionIsDigits = false): string {
  const sign = negative ? '-' : spec.flags.includes('+') ? '+' : spec.flags.includes(' ') ? ' ' : '';
  if (precisionIsDigits && spec.precision !== undefined) return sign + digits.padStart(spec.precision, '0');
  const zeros = spec.flags.includes('0') && !spec.flags.includes('-') && spec.width !== undefined;
  return sign + (zeros ? digits.padStart(spec.width - sign.length, '0') : digits);
}

function pad(value: string, spec: Spec): string {
  if (spec.width === undefined) return value;
  const missing = spec.width - Array.from(value).length;
  if (missing <= 0) return value;
  return spec.flags.includes('-') ? value + ' '.repeat(missing) : ' '.repeat(missing) + value;
}

function describe(arg: RegoValue): string {
  if (isNumeric(arg)) return `${isInteger(arg) ? 'int' : 'float64'}=${toRego(arg)}`;
  return `string=${typeof arg === 'string' ? arg : toRego(arg)}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/** Go's strconv.Quote. */
function quote(value: string): string {
  let out = '"';
  for (const char of value) {
    const code = char.codePointAt(0)!;
    if (ESCAPES[char] !== undefined) out += ESCAPES[char];
    else if (code < 32 || code === 127) out += `\\x${hex(code, 2)}`;
    else if (char === ' ' || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(char)) out += char;
    else out += code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
  }
  return `${out}"`;
}

function hex(n: number, width: number): string {
  return n.toString(16).padStart(width, '0');
}
