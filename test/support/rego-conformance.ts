import type { RegoCompiler } from '../../src/adapters/opa/compiler.js';
import type { PolicyHost } from '../../src/adapters/opa/host.js';
import type { Builtin } from '../../src/adapters/opa/builtins/builtin.js';
import type { RegoValue } from '../../src/adapters/opa/values.js';

/** One of OPA's own conformance cases, as test/support/rego-cases prints it. */
export interface RegoCase {
  readonly note: string;
  readonly category: string;
  readonly query: string;
  readonly modules: readonly string[] | null;
  readonly data?: unknown;
  /** Rego or JSON text. */
  readonly input?: string;
  readonly want?: readonly Record<string, unknown>[];
  readonly defined?: boolean;
  readonly errorCode?: string;
  readonly error?: string;
  readonly strictError: boolean;
  readonly sortBindings: boolean;
  readonly ignoreGenerated: boolean;
  readonly experimental: boolean;
}

/** `order`: right but for the order of what came out of a set. `refused`: needs a builtin that decisions may not use. */
export type RegoOutcome = 'pass' | 'order' | 'fail' | 'refused' | 'exception';

export interface Engine {
  readonly compiler: RegoCompiler;
  readonly PolicyHost: typeof PolicyHost;
  readonly builtin: (name: string) => Builtin;
  /** Evaluates what needs builtins that decisions may not use, too. */
  readonly impure?: boolean;
  readonly compare: (a: RegoValue, b: RegoValue) => number;
  readonly toJson: (v: RegoValue) => unknown;
}

/** Cases that OPA itself excepts for Wasm: its numbers there are 64-bit integers or doubles. */
const EXCEPTIONS = [
  'data/toplevel integer',
  'data/nested integer',
  'strings/format_int: bignum exact',
  'arithmetic/bignum',
  'aggregates/bignum',
  'aggregates/sum integer fast-path overflow',
  'jsonbuiltins/unmarshal number',
];

export async function runRegoCase(engine: Engine, one: RegoCase): Promise<{ outcome: RegoOutcome; why: string }> {
  const found = await attempt(engine, one);
  const excepted = found.outcome === 'fail' && EXCEPTIONS.some((prefix) => one.note.startsWith(prefix));
  return excepted ? { ...found, outcome: 'exception' } : found;
}

async function attempt(engine: Engine, one: RegoCase): Promise<{ outcome: RegoOutcome; why: string }> {
  const files = new Map((one.modules ?? []).map((text, i) => [`module-${i}.rego`, text]));
  let bindings: readonly unknown[];
  try {
    const wasm = await engine.compiler.compileQuery(files, one.query, engine.impure);
    const module = new WebAssembly.Module(wasm as Uint8Array<ArrayBuffer>);
    const data = JSON.stringify(one.data ?? {});
    const host = new engine.PolicyHost(module, { builtin: engine.builtin, maxPages: 2048, data });
    bindings = host
      .bindings(one.input, { now: BigInt(Date.now()) * 1_000_000n })
      .map((binding) => plain(engine, binding));
  } catch (error) {
    const why = (error as Error).message;
    if (
      /refused|undefined function (http\.send|net\.lookup_ip_addr|opa\.runtime|rand\.intn|uuid\.rfc4122)|var opa is unsafe/.test(
        why,
      )
    ) {
      return { outcome: 'refused', why };
    }
    const expected = one.error !== undefined || one.errorCode !== undefined;
    return { outcome: expected ? 'pass' : 'fail', why };
  }
  if (one.want) return compareBindings(engine, one, bindings);
  if (one.defined !== undefined) return verdict(bindings.length > 0 === one.defined, bindings);
  // A strict error is, without strictness, an undefined expression.
  return verdict(one.strictError && bindings.length === 0, bindings);
}

function verdict(good: boolean, got: unknown): { outcome: RegoOutcome; why: string } {
  return { outcome: good ? 'pass' : 'fail', why: good ? '' : `got ${JSON.stringify(got)}` };
}

function compareBindings(
  engine: Engine,
  one: RegoCase,
  got: readonly unknown[],
): { outcome: RegoOutcome; why: string } {
  const same = (a: readonly unknown[], b: readonly unknown[]) => engine.compare(a as RegoValue, b as RegoValue) === 0;
  const norm = (list: readonly unknown[]) => {
    const sorted = list.map((binding) => normal(engine, one, binding as Record<string, unknown>)).toSorted(by(engine));
    return sorted.filter((x, i) => i === 0 || engine.compare(sorted[i - 1] as RegoValue, x as RegoValue) !== 0);
  };
  const [want, have] = [norm(one.want!), norm(got)];
  if (same(want, have)) return { outcome: 'pass', why: '' };
  const loose = (list: readonly unknown[]) => list.map((x) => unordered(engine, x)).toSorted(by(engine));
  const why = `want ${JSON.stringify(want)} got ${JSON.stringify(have)}`.slice(0, 600);
  return { outcome: same(loose(want), loose(have)) ? 'order' : 'fail', why };
}

function by(engine: Engine): (a: unknown, b: unknown) => number {
  return (a, b) => engine.compare(a as RegoValue, b as RegoValue);
}

function normal(engine: Engine, one: RegoCase, binding: Record<string, unknown>): unknown {
  const entries = Object.entries(binding).filter(([name]) => !one.ignoreGenerated || !name.startsWith('__localq'));
  const order = (value: unknown) => (one.sortBindings && Array.isArray(value) ? value.toSorted(by(engine)) : value);
  return Object.fromEntries(entries.map(([name, value]) => [name, order(value)]));
}

function unordered(engine: Engine, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((x) => unordered(engine, x)).toSorted(by(engine));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, x]) => [key, unordered(engine, x)]));
}

/** As JSON, big numbers rounded as the cases' own were by JSON. */
function plain(engine: Engine, value: RegoValue): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (
    value !== null &&
    typeof value === 'object' &&
    'text' in value &&
    Object.keys(value).length === 1 &&
    value.constructor.name === 'RegoNumber'
  ) {
    return Number(value.text);
  }
  if (Array.isArray(value)) return value.map((x: RegoValue) => plain(engine, x));
  if (value !== null && typeof value === 'object' && value.constructor === Object) {
    return Object.fromEntries(Object.entries(value).map(([key, x]) => [key, plain(engine, x as RegoValue)]));
  }
  return plainSet(engine, value);
}

function plainSet(engine: Engine, value: RegoValue): unknown {
  if (value !== null && typeof value === 'object' && 'items' in value && value.constructor.name === 'RegoSet') {
    return (value.items as readonly RegoValue[]).toSorted(engine.compare).map((x) => plain(engine, x));
  }
  return engine.toJson(value);
}
