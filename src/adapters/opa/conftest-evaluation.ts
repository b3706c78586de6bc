import { basename, dirname, resolve } from 'node:path';
import { ruleSuffix, conftestCheck, joinChecks, type ConftestAnswer, type ConftestCheck, type ConftestNamespace, type ConftestResult } from '../../policy/conftest.js'; // prettier-ignore
import { CountersignError } from '../../errors.js';
import type { Builtin } from './builtins/builtin.js';
import { builtinOf } from './builtins/registry.js';
import { toPolicyError } from './evaluation.js';
import { GoBuiltins } from './go-builtins.js';
import { PolicyHost } from './host.js';
import { isAnyObject, entriesOf, isNumeric, RegoSet, sorted, toRego, toText, type RegoValue } from './values.js';

/** Policies compiled by Conftest's conventions, as an evaluating thread holds them. */
export interface ConftestBundle {
  readonly module: WebAssembly.Module;
  /** JSON text, an object. */
  readonly data: string;
  readonly namespaces: readonly ConftestNamespace[];
  /** True if a rule may read data.conftest.file. */
  readonly readsFile: boolean;
}

const MAX_PAGES = 4096;

/** Runs Conftest's rules over inputs, in the thread it is made in. */
export class ConftestEvaluation {
  private readonly go = new GoBuiltins(MAX_PAGES);
  private host: PolicyHost | undefined;
  private prints: string[] = [];

  constructor(private readonly bundle: ConftestBundle) {}

  /**
   * What each namespace says of a file; `inputs` are JSON texts.
   * Throws `policy-failed`, `policy-memory`, `policy-result`.
   */
  check(filename: string, inputs: readonly Uint8Array[]): ConftestCheck[] {
    const host = this.instance(filename);
    const found: ConftestCheck[][] = this.bundle.namespaces.map(() => []);
    for (const input of inputs) {
      this.prints = [];
      let sets: RegoValue | undefined;
      try {
        const now = BigInt(Date.now()) * 1_000_000n;
        sets = host.evaluate(host.entrypoints['eval'], { parts: [input] }, { now });
      } catch (error) {
        this.host = undefined;
        throw toPolicyError(error, MAX_PAGES);
      }
      this.bundle.namespaces.forEach((namespace, i) => {
        const answers = answersOf(namespace, (sets as RegoValue[])[i] as RegoValue[]);
        found[i].push(conftestCheck(filename, namespace, answers, this.prints));
        this.prints = [];
      });
    }
    return found.map((checks, i) => joinChecks(checks, filename, this.bundle.namespaces[i].name));
  }

  private instance(filename: string): PolicyHost {
    const { module, data, readsFile } = this.bundle;
    if (this.host && !readsFile) return this.host;
    // The file's name is data in Conftest; a policy that looks at it gets a new instance for each file.
    const full = resolve(filename);
    const file = { name: basename(full), dir: dirname(full) };
    const rest = data.slice(1) === '}' ? '}' : `,${data.slice(1)}`;
    const text = readsFile ? `{"conftest":{"file":${JSON.stringify(file)}}${rest}` : data;
    return (this.host = new PolicyHost(module, {
      builtin: (name) => this.builtin(name),
      maxPages: MAX_PAGES,
      data: text,
    }));
  }

  private builtin(name: string): Builtin | undefined {
    if (name === 'internal.print') return (_context, terms) => this.print(terms as readonly RegoValue[]);
    if (/^parse_(combined_)?config/.test(name)) return undefined;
    return builtinOf(name, (missing) => this.go.builtin(missing));
  }

  /** Each operand is a set of what it may be; the first is the place. */
  private print(terms: readonly RegoValue[]): RegoValue {
    const words = terms.map((term) => {
      const items = term instanceof RegoSet ? term.items : [];
      return items.length === 0 ? '<undefined>' : typeof items[0] === 'string' ? items[0] : toRego(items[0]);
    });
    this.prints.push(`${words[0]}: ${words.slice(1).join(' ')}\n`);
    return true;
  }
}

/** A namespace's part of the entry point: for each rule, then for the exceptions, a list that is empty where it is undefined. */
function answersOf({ name, rules }: ConftestNamespace, values: readonly RegoValue[]): ConftestAnswer[] {
  if (rules.length === 0) return [];
  const excepted = suffixes((values[rules.length] as RegoValue[])[0]);
  return rules.map((rule, i) => ({
    rule,
    results: resultsOf((values[i] as RegoValue[])[0], `data.${name}.${rule}`),
    exceptions: excepted.filter((one) => one === ruleSuffix(rule)).length,
  }));
}

/** `exception[_][_]`, whatever both are. */
function suffixes(exception: RegoValue | undefined): RegoValue[] {
  return members(exception).flatMap(members);
}

function members(value: RegoValue | undefined): readonly RegoValue[] {
  if (value instanceof RegoSet) return value.items;
  if (Array.isArray(value)) return value;
  return isAnyObject(value) ? entriesOf(value).map(([, member]) => member) : [];
}

/** As Conftest reads a rule's value: a text or an object with `msg` is a result, other members are none, and what is no list passes. */
function resultsOf(value: RegoValue | undefined, query: string): ConftestResult[] {
  if (value === undefined) return [];
  const items = value instanceof RegoSet ? sorted(value.items) : Array.isArray(value) ? value : [];
  if (items.length === 0) return [{ msg: '' }];
  const metadata = { query: JSON.stringify(query) };
  const results: ConftestResult[] = [];
  for (const item of items as readonly RegoValue[]) {
    if (typeof item === 'string') results.push({ msg: item, metadata });
    else if (isAnyObject(item)) results.push(fromObject(new Map(entriesOf(item).map(([k, v]) => [typeof k === 'string' ? k : toText(k), v])), metadata, query)); // prettier-ignore
  }
  return results;
}

function fromObject(
  fields: Map<string, RegoValue>,
  query: Readonly<Record<string, string>>,
  rule: string,
): ConftestResult {
  const msg = fields.get('msg');
  if (typeof msg !== 'string') {
    throw new CountersignError('policy-result', `${rule} gave an object whose msg is missing or no text`, {
      remedy: 'Let it give a text, or an object with a text msg',
    });
  }
  const loc = location(fields.get('_loc'));
  fields.delete('msg');
  fields.delete('_loc');
  const metadata: Record<string, string> = {};
  for (const [key, value] of fields) metadata[key] = jsonText(value);
  return { msg, ...(loc ? { loc } : {}), metadata: { ...metadata, ...query } };
}

function location(value: RegoValue | undefined): ConftestResult['loc'] {
  if (!isAnyObject(value)) return undefined;
  const fields = new Map(entriesOf(value).map(([k, v]) => [k, v]));
  const file = fields.get('file');
  const line = fields.get('line');
  const found = {
    file: typeof file === 'string' ? file : '',
    line: line !== undefined && isNumeric(line) ? toRego(line) : '',
  };
  return found.file === '' && found.line === '' ? undefined : found;
}

/** Compact JSON as Go's encoder writes a Rego value: sets as sorted lists, keys sorted, numbers as they are. */
function jsonText(value: RegoValue): string {
  if (typeof value === 'string') return goString(value);
  if (isNumeric(value) || value === null || typeof value === 'boolean') return toRego(value);
  if (value instanceof RegoSet) return `[${sorted(value.items).map(jsonText).join(',')}]`;
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  const fields = entriesOf(value as { readonly [key: string]: RegoValue }).map(
    ([key, member]) => [typeof key === 'string' ? key : jsonText(key), jsonText(member)] as const,
  );
  fields.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${fields.map(([key, member]) => `${goString(key)}:${member}`).join(',')}}`;
}

function goString(text: string): string {
  return JSON.stringify(text);
}
