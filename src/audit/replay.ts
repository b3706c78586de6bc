import { canonicalJson, digestOf, parseStrictJson } from '../cluster/canonical.js';
import type { Json, JsonObject, KubernetesObject } from '../cluster/object.js';
import { identityKey, identityOf, isJsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import { decision, judgedIn } from '../policy/decide.js';
import type { Evaluator, RuleResult } from '../policy/evaluator.js';
import type { PolicyInput } from '../policy/input.js';
import { fromUtf8, sha256, toHex } from './crypto.js';
import type { ContentReference, LoggedEntry } from './entry.js';
import { contentsOf } from './statement.js';

/** Reads a content, salt taken off, already checked against its digest; undefined if it was withheld. */
export type ContentReader = (reference: ContentReference) => Promise<Uint8Array | undefined>;

/** What a decision says that judging it again does not confirm. */
export interface Difference {
  readonly index: number;
  readonly why: string;
  /** Results that were recorded and are not given now, and the other way round; empty if the results are not what differs. */
  readonly recorded: readonly Json[];
  readonly now: readonly Json[];
}

export interface ReplayOptions {
  /** Hears of each difference; without it the first is thrown. */
  readonly differs?: (difference: Difference) => void;
  /** Hears of decisions that the evaluator cannot judge, which without it is a difference. */
  readonly unable?: (index: number, why: string) => void;
  /** Lists are compared as sets: for an evaluator that cannot tell them apart. */
  readonly loosely?: boolean;
}

interface Recorded {
  readonly entry: LoggedEntry;
  readonly input: string;
  /** Canonical JSON. */
  readonly result: string;
  readonly rendered: readonly KubernetesObject[] | undefined;
}

const batchSize = 64;
const keptBundles = 8;

/**
 * Judges logged decisions again from what the log names (invariant 4): the same Wasm and the same input must give the same result,
 * an `allow` must follow from it, and the objects must be those whose digest was decided on.
 */
export class Replay {
  replayed = 0;
  /** Decisions that can't be judged again: their contents were withheld, or there was nothing to judge. */
  readonly skipped: number[] = [];
  readonly #bundles = new Map<string, { readonly bundle: PolicyBundle; readonly wasmDigest: string }>();
  #batch: Recorded[] = [];
  #bundle: PolicyBundle | undefined;

  constructor(
    private readonly evaluator: Evaluator,
    private readonly read: ContentReader,
    private readonly options: ReplayOptions = {},
  ) {}

  /** Throws `bundle-invalid` for the first decision that does not replay, or tells `differs` of each. */
  async add(entry: LoggedEntry): Promise<void> {
    try {
      await this.#add(entry);
    } catch (error) {
      this.#report(error);
    }
  }

  async #add(entry: LoggedEntry): Promise<void> {
    const contents = contentsOf(entry.predicate, `entry ${entry.index}`);
    const bundle = await this.#bundleOf(entry, contents);
    const input = await this.#text(entry, contents.get('input'));
    // An `error` is what could not be judged (a time-out, say); it is never acted on, and need not fail again.
    const result = await this.#text(entry, contents.get('result'));
    if (!bundle || input === undefined || result === undefined || entry.predicate['outcome'] === 'error') {
      this.skipped.push(entry.index);
      return;
    }
    const rendered = await this.#text(entry, contents.get('rendered'));
    if (this.#bundle !== bundle || this.#batch.length >= batchSize) await this.flush();
    this.#bundle = bundle;
    const objects = rendered === undefined ? undefined : renderedIn(entry, rendered);
    this.#batch.push({ entry, input, result, rendered: objects });
  }

  async flush(): Promise<void> {
    const [batch, bundle] = [this.#batch, this.#bundle];
    this.#batch = [];
    if (!bundle || batch.length === 0) return;
    const results = await this.evaluator.evaluateMany(bundle, batch.map(({ input }) => input)); // prettier-ignore
    for (const [i, recorded] of batch.entries()) {
      const result = results[i];
      if (result instanceof CountersignError && this.options.unable) {
        this.options.unable(recorded.entry.index, result.message);
        continue;
      }
      try {
        this.#compare(recorded, bundle, result);
        this.replayed += 1;
      } catch (error) {
        this.#report(error);
      }
    }
  }

  #compare(
    { entry, input, result: recorded, rendered }: Recorded,
    bundle: PolicyBundle,
    result: readonly RuleResult[] | CountersignError,
  ): void {
    if (result instanceof CountersignError) throw differs(entry, `could not be judged again: ${result.message}`);
    const now = result as unknown as readonly Json[];
    if (!this.#same(recorded, now)) {
      const before = parse(entry, recorded);
      if (!Array.isArray(before)) throw differs(entry, 'names a result that is no list of what rules gave');
      throw differs(entry, 'gives another result when it is judged again', this.#without(before, now), this.#without(now, before)); // prettier-ignore
    }
    this.#follows(entry, bundle, input, result);
    if (rendered) expect(entry, 'renderedDigest', digestOfRendered(rendered), 'the rendered objects');
  }

  #same(recorded: string, now: readonly Json[]): boolean {
    if (!this.options.loosely) return canonicalJson(now) === recorded;
    return this.#key(JSON.parse(recorded) as Json) === this.#key(now);
  }

  /** What is in the first list and not in the second. */
  #without(list: readonly Json[], other: readonly Json[]): readonly Json[] {
    const keys = new Set(other.map((one) => this.#key(one)));
    return list.filter((one) => !keys.has(this.#key(one)));
  }

  #key(value: Json): string {
    return canonicalJson(this.options.loosely ? unordered(value) : value);
  }

  #report(error: unknown): void {
    if (!(error instanceof DifferenceError) || !this.options.differs) throw error;
    this.options.differs(error.difference);
  }

  /** Whether an allow follows from what the rules gave, with the exceptions that the input says were in force. */
  #follows(entry: LoggedEntry, bundle: PolicyBundle, input: string, result: readonly RuleResult[]): void {
    const named = entry.predicate['exceptions'];
    if (result.length === 0 && (!Array.isArray(named) || named.length === 0)) return;
    const { violations, required, exceptions, outcome } = judgedAgain(entry, bundle, input, result);
    const [against] = [...violations, ...required];
    if (entry.predicate['outcome'] === 'allow' && outcome !== 'allow')
      throw differs(entry, `says allow, but ${against ? against.rule : 'policy'} says otherwise`);
    const used = exceptions.map(({ id }) => id);
    if (Array.isArray(named) && !sameSet(named, used))
      throw differs(entry, 'names other exceptions than those it used');
  }

  async #bundleOf(
    entry: LoggedEntry,
    contents: ReadonlyMap<string, ContentReference>,
  ): Promise<PolicyBundle | undefined> {
    const [wasm, policy] = [contents.get('wasm'), contents.get('policy')];
    if (!wasm || !policy) return undefined;
    const key = `${wasm.sha256} ${policy.sha256}`;
    let known = this.#bundles.get(key);
    if (!known) {
      const [bytes, text] = [await this.read(wasm), await this.#text(entry, policy)];
      if (!bytes || text === undefined) return undefined;
      // Copied out: the evaluator's threads are handed the buffer as it is.
      const bundle = { ...policyIn(entry, text), wasm: new Uint8Array(bytes) };
      known = { bundle, wasmDigest: toHex(sha256(bundle.wasm)) };
      if (this.#bundles.size >= keptBundles) this.#bundles.delete(this.#bundles.keys().next().value!);
      this.#bundles.set(key, known);
    }
    expect(entry, 'wasmDigest', known.wasmDigest, 'the Wasm');
    expect(entry, 'bundleDigest', known.bundle.digest, 'the policy bundle');
    return known.bundle;
  }

  async #text(entry: LoggedEntry, reference: ContentReference | undefined): Promise<string | undefined> {
    const bytes = reference && (await this.read(reference));
    if (!bytes) return undefined;
    const text = fromUtf8(bytes);
    if (text === undefined) throw differs(entry, `names a content ${reference.sha256} that is no text`);
    return text;
  }
}

/** As cluster/rendered.ts computes it, of objects that are redacted already. */
function digestOfRendered(objects: readonly KubernetesObject[]): string {
  const pairs = objects.map((object) => [identityKey(identityOf(object)), digestOf(object)] as const);
  return digestOf(pairs.toSorted(([a, x], [b, y]) => compare(a, b) || compare(x, y)));
}

const sameSet = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((one) => b.includes(one));

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function parse(entry: LoggedEntry, text: string): Json {
  return parseStrictJson(text, { file: `content of entry ${entry.index}` });
}

// What was stored is believed as far as its digest goes: with the service's keys, anything could be logged as a policy or as objects.

function policyIn(entry: LoggedEntry, text: string): Omit<PolicyBundle, 'wasm'> {
  const policy = parse(entry, text);
  if (!isJsonObject(policy) || !Array.isArray(policy['rules']) || !policy['rules'].every(isJsonObject))
    throw differs(entry, 'names a policy that is none');
  return policy as unknown as Omit<PolicyBundle, 'wasm'>;
}

function renderedIn(entry: LoggedEntry, text: string): readonly KubernetesObject[] {
  const objects = parse(entry, text);
  if (!Array.isArray(objects) || !objects.every(isKubernetesObject))
    throw differs(entry, 'names rendered objects that are none');
  return objects;
}

function isKubernetesObject(value: Json): value is KubernetesObject {
  if (!isJsonObject(value) || typeof value['apiVersion'] !== 'string' || typeof value['kind'] !== 'string')
    return false;
  return isJsonObject(value['metadata']) && typeof value['metadata']['name'] === 'string';
}

function judgedAgain(
  entry: LoggedEntry,
  bundle: PolicyBundle,
  input: string,
  result: readonly RuleResult[],
): ReturnType<typeof decision> {
  try {
    return decision(bundle, input, judgedIn(JSON.parse(input) as PolicyInput), result);
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    throw differs(entry, `names an input that nobody could decide on: ${(thrown as Error).message}`);
  }
}

function expect(entry: LoggedEntry, member: string, found: string, what: string): void {
  if (entry.predicate[member] === found) return;
  throw differs(entry, `names ${member} ${JSON.stringify(entry.predicate[member])}, but ${what} give ${found}`);
}

function differs(
  entry: LoggedEntry,
  why: string,
  recorded: readonly Json[] = [],
  now: readonly Json[] = [],
): DifferenceError {
  return new DifferenceError({ index: entry.index, why, recorded, now });
}

class DifferenceError extends CountersignError {
  constructor(readonly difference: Difference) {
    super('bundle-invalid', `decision ${difference.index} ${difference.why}`);
  }
}

/** The same value, every list in it in one order. */
function unordered(value: Json): Json {
  if (Array.isArray(value)) return value.map(unordered).toSorted((a, b) => compare(canonicalJson(a), canonicalJson(b)));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value as JsonObject).map(([key, member]) => [key, unordered(member)]));
}
