import { canonicalJson, digestOf, parseStrictJson } from '../cluster/canonical.js';
import type { Json, JsonObject, KubernetesObject } from '../cluster/object.js';
import { identityKey, identityOf } from '../cluster/object.js';
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
  readonly #bundles = new Map<string, PolicyBundle>();
  #batch: Recorded[] = [];
  #bundle: PolicyBundle | undefined;

  constructor(
    private readonly evaluator: Evaluator,
    private readonly read: ContentReader,
  ) {}

  /** Throws `bundle-invalid` for the first decision that does not replay. */
  async add(entry: LoggedEntry): Promise<void> {
    const contents = contentsOf(entry.predicate);
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
    const objects = rendered === undefined ? undefined : (parse(entry, rendered) as unknown as KubernetesObject[]);
    this.#batch.push({ entry, input, result, rendered: objects });
  }

  async flush(): Promise<void> {
    const [batch, bundle] = [this.#batch, this.#bundle];
    this.#batch = [];
    if (!bundle || batch.length === 0) return;
    const results = await this.evaluator.evaluateMany(bundle, batch.map(({ input }) => input)); // prettier-ignore
    for (const [i, { entry, input, result: recorded, rendered }] of batch.entries()) {
      const result = results[i];
      if (result instanceof CountersignError) throw differs(entry, `could not be judged again: ${result.message}`);
      if (canonicalJson(result as unknown as Json) !== recorded)
        throw differs(entry, 'gives another result when it is judged again');
      this.#follows(entry, bundle, input, result);
      if (rendered) expect(entry, 'renderedDigest', digestOfRendered(rendered), 'the rendered objects');
      this.replayed += 1;
    }
  }

  /** Whether an allow follows from what the rules gave, with the exceptions that the input says were in force. */
  #follows(entry: LoggedEntry, bundle: PolicyBundle, input: string, result: readonly RuleResult[]): void {
    const named = entry.predicate['exceptions'];
    if (result.length === 0 && (!Array.isArray(named) || named.length === 0)) return;
    const judged = judgedIn(JSON.parse(input) as PolicyInput);
    const { violations, required, exceptions, outcome } = decision(bundle, input, judged, result);
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
    let bundle = this.#bundles.get(key);
    if (!bundle) {
      const [bytes, text] = [await this.read(wasm), await this.#text(entry, policy)];
      if (!bytes || text === undefined) return undefined;
      // Copied out: the evaluator's threads are handed the buffer as it is.
      bundle = { ...(parse(entry, text) as unknown as PolicyBundle), wasm: new Uint8Array(bytes) };
      if (this.#bundles.size >= keptBundles) this.#bundles.delete(this.#bundles.keys().next().value!);
      this.#bundles.set(key, bundle);
    }
    expect(entry, 'wasmDigest', toHex(sha256(bundle.wasm)), 'the Wasm');
    expect(entry, 'bundleDigest', bundle.digest, 'the policy bundle');
    return bundle;
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

function parse(entry: LoggedEntry, text: string): JsonObject {
  return parseStrictJson(text, { file: `content of entry ${entry.index}` }) as JsonObject;
}

function expect(entry: LoggedEntry, member: string, found: string, what: string): void {
  if (entry.predicate[member] === found) return;
  throw differs(entry, `names ${member} ${JSON.stringify(entry.predicate[member])}, but ${what} give ${found}`);
}

function differs(entry: LoggedEntry, why: string): CountersignError {
  return new CountersignError('bundle-invalid', `decision ${entry.index} ${why}`);
}
