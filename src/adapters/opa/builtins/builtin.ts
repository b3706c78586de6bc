import {
  isAnyObject,
  isInteger,
  RegoNumber,
  RegoSet,
  type PlainObject,
  type RegoObject,
  type RegoValue,
} from '../values.js';

/** What a builtin may know besides its arguments: all of it comes from the input (invariant 4). */
export interface BuiltinContext {
  /** `input.time` in nanoseconds since 1970. */
  readonly now: bigint;
}

/** A host builtin. undefined is Rego's undefined. */
export type Builtin = (context: BuiltinContext, ...args: RegoValue[]) => RegoValue | undefined;
export type Builtins = Readonly<Record<string, Builtin>>;

/** The builtin cannot work with its arguments; the expression that called it is undefined. Never leaves the host. */
export class BuiltinError extends Error {}

/** The evaluation cannot go on. Never leaves the adapter: it becomes `policy-failed` or `policy-memory`. */
export class PolicyAbort extends Error {}

/**
 * How many values, and characters, a builtin of the host may give. V8 ends the whole process, not the thread, when one allocation goes far
 * past the thread's limit; so nothing here may allocate much at once.
 */
const MAX_ITEMS = 1 << 20;
const MAX_CHARACTERS = 1 << 25;

/** Throws PolicyAbort when a list has become longer than any policy needs. */
export function checkItems(count: number | bigint): void {
  if (count > MAX_ITEMS) throw new PolicyAbort(`out of memory: a builtin would give more than ${MAX_ITEMS} values`);
}

export function checkCharacters(count: number): void {
  if (count > MAX_CHARACTERS) throw new PolicyAbort(`out of memory: a builtin would give more than ${MAX_CHARACTERS} characters`); // prettier-ignore
}

export function fail(message: string): never {
  throw new BuiltinError(message);
}

export function text(v: RegoValue | undefined): string {
  return typeof v === 'string' ? v : fail('operand must be a string');
}

export function bigint(v: RegoValue | undefined): bigint {
  if (typeof v === 'bigint') return v;
  if (typeof v === 'number' && Number.isInteger(v)) return BigInt(v);
  if (v instanceof RegoNumber && isInteger(v)) return BigInt(v.text);
  return fail('operand must be an integer');
}

export function array(v: RegoValue | undefined): readonly RegoValue[] {
  return Array.isArray(v) ? v : fail('operand must be an array');
}

/** Members of an array or a set. */
export function members(v: RegoValue | undefined): readonly RegoValue[] {
  return v instanceof RegoSet ? v.items : array(v);
}

export function object(v: RegoValue | undefined): PlainObject | RegoObject {
  return isAnyObject(v) ? v : fail('operand must be an object');
}
