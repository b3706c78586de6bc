import { canonicalJson } from '../../cluster/canonical.js';
import { CountersignError, toCountersignError } from '../../errors.js';
import type { BundleOutputs } from '../../policy/bundle.js';
import type { Rule } from '../../policy/decision.js';
import type { RuleResult } from '../../policy/evaluator.js';
import { readResult } from '../../policy/rules.js';
import { BuiltinError, PolicyAbort, type Builtin } from './builtins/builtin.js';
import { parseTime } from './builtins/time.js';
import { isMemory, PolicyHost, type View } from './host.js';
import { throwingRule } from './running-rule.js';
import { splitInput, takeMember } from './split.js';
import { RegoSet, toJson, type RegoValue } from './values.js';

/** One bundle as an evaluating thread holds it. */
export interface LoadedBundle {
  readonly module: WebAssembly.Module;
  /** JSON text. */
  readonly data: string;
  readonly outputs: BundleOutputs;
  /** To tell where one is that fails. */
  readonly rules?: readonly Rule[];
}

export interface EvaluationOptions {
  readonly maxPages: number;
  readonly builtin: (name: string) => Builtin | undefined;
  /** Bytes up to which an input is parsed as a whole. */
  readonly openBelow?: number;
  /** Called before each entry into the guest, so that a watcher sees progress. */
  readonly onStep: () => void;
}

const INVENTORY = Buffer.from('"inventory":');

const ENTRY_POINTS: Readonly<Record<keyof BundleOutputs, string>> = {
  object: 'countersign__run/object',
  change: 'countersign__run/change',
  conftest: 'countersign__run/conftest',
  admission: 'countersign__run/admission',
  gatekeeper: 'countersign__gatekeeper/results',
};

/** A big input makes an instance big for good; a new one is cheap. */
const RECYCLE_ABOVE = 32 * 1024 * 1024;

/** An input, and how to show it to rules of each scope. */
export interface OpenInput {
  readonly time: RegoValue;
  readonly changes: number;
  readonly all: View;
  change(index: number): View;
  /** The change itself, with nothing around it. */
  only(index: number): View;
  /** Undefined where nothing is after the change. */
  after(index: number): View | undefined;
}

/** Parsed, an input takes ten times its size of the guest's memory; a bigger one is shown to it change by change. */
const OPEN_BELOW = 256 * 1024;

/** Runs one bundle's rules over inputs, in the thread it is made in. */
export class Evaluation {
  private host: PolicyHost | undefined;

  constructor(
    private readonly bundle: LoadedBundle,
    private readonly options: EvaluationOptions,
  ) {
    this.host = this.instance();
  }

  /** Throws `policy-failed`, `policy-memory`, `policy-result`. */
  run(text: string): RuleResult[] {
    const results: RuleResult[] = [];
    const { outputs } = this.bundle;
    const whole = Buffer.from(text);
    // Other objects than the one being judged are this input's data, parsed once and not once for each change.
    const { rest, value: inventory } = whole.includes(INVENTORY) ? takeMember(whole, 'inventory') : { rest: whole };
    const usual = this.host;
    try {
      if (inventory) this.host = this.enter(() => this.instance(inventory.toString()));
      const input = this.open(rest);
      const now = timeOf(input.time);
      if (outputs.change.length) this.gather('change', input.all, now, undefined, results);
      if (outputs.object.length) {
        for (let i = 0; i < input.changes; i++) this.gather('object', input.change(i), now, i, results);
      }
      if (outputs.conftest.length) {
        for (let i = 0; i < input.changes; i++) {
          const after = input.after(i);
          if (after) this.gather('conftest', after, now, i, results);
        }
      }
      for (const scope of ['admission', 'gatekeeper'] as const) {
        if (!outputs[scope]?.length) continue;
        for (let i = 0; i < input.changes; i++) this.gather(scope, input.only(i), now, i, results);
      }
    } finally {
      if (inventory) this.host = usual;
    }
    if (this.host && this.host.size > RECYCLE_ABOVE) this.host = undefined;
    return inOrder(results);
  }

  /** Both ways show rules the same, member for member in the same order. */
  private open(input: Buffer): OpenInput {
    if (input.length > (this.options.openBelow ?? OPEN_BELOW)) return splitInput(input);
    const opened = this.enter((host) => host.open(input));
    if (!opened) return splitInput(input);
    return {
      ...opened,
      all: { of: 'all' },
      change: (index) => ({ of: 'change', index }),
      only: (index) => ({ of: 'only', index }),
      after: (index) => (opened.after[index] ? { of: 'after', index } : undefined),
    };
  }

  private gather(
    scope: keyof BundleOutputs,
    view: View,
    now: bigint,
    change: number | undefined,
    into: RuleResult[],
  ): void {
    const outputs = this.bundle.outputs[scope] ?? [];
    const sets = this.enter((host) => host.evaluate(entryPoint(host, scope), view, { now }));
    if (!Array.isArray(sets) || sets.length !== outputs.length) {
      throw new CountersignError('policy-failed', `the compiled policy gave no results for scope ${scope}`, {
        remedy: RECOMPILE,
      });
    }
    const excepted = scope === 'conftest' ? exceptions(outputs, sets) : undefined;
    for (let i = 0; i < outputs.length; i++) {
      const { package: pkg, name } = outputs[i];
      if (name === 'exception' && excepted) continue;
      if (excepted?.has(`${pkg} ${suffix(name)}`)) continue;
      for (const member of (sets[i] as RegoSet).items) {
        const [value, file, row] = member as readonly [RegoValue, string, number];
        const result: RuleResult = {
          package: pkg,
          name,
          ...(change === undefined ? {} : { change }),
          value: toJson(value),
          file,
          row,
        };
        readResult(result);
        into.push(result);
      }
    }
  }

  private enter<T>(work: (host: PolicyHost) => T): T {
    this.options.onStep();
    const host = (this.host ??= this.instance());
    try {
      return work(host);
    } catch (error) {
      this.host = undefined;
      throw toPolicyError(error, this.options.maxPages, this.bundle.rules);
    }
  }

  private instance(inventory?: string): PolicyHost {
    const { module, data: plain } = this.bundle;
    const data =
      inventory === undefined ? plain : `{"inventory":${inventory}${plain === '{}' ? '' : ','}${plain.slice(1)}`;
    return new PolicyHost(module, { builtin: this.options.builtin, maxPages: this.options.maxPages, data });
  }
}

/** What OPA's Wasm says where rules contradict each other, in more words. */
const CONFLICTS: Readonly<Record<string, readonly [message: string, remedy: string]>> = {
  'var assignment conflict': [
    'rules conflict: this one gives a value, and another of its name gives another',
    'Let their conditions exclude each other, or write `else`',
  ],
  'object insert conflict': [
    'an object is given two values for one key',
    'Let each key have one value, or collect the values in a set',
  ],
};

const RECOMPILE = 'Its Wasm and the list of its rules do not belong together: compile it again from its sources';

/** Throws `policy-failed`: the guest takes any number for an entry point, and would evaluate another. */
function entryPoint({ entrypoints }: PolicyHost, scope: keyof BundleOutputs): number {
  const name = ENTRY_POINTS[scope];
  if (Object.hasOwn(entrypoints, name)) return entrypoints[name];
  throw new CountersignError('policy-failed', `the compiled policy has no entry point ${name}`, { remedy: RECOMPILE });
}

/** What the guest or a builtin threw, as one of our errors. */
export function toPolicyError(error: unknown, maxPages: number, rules?: readonly Rule[]): CountersignError {
  if (error instanceof CountersignError) return error;
  const { where, place } = throwingRule(error, rules);
  if (isMemory(error)) {
    return new CountersignError(
      'policy-memory',
      `the policy needed more than ${maxPages / 16} MiB for one evaluation${where}`,
      {
        place,
        remedy: 'Look for a rule that builds large values or recurses deeply',
        cause: error,
      },
    );
  }
  if (error instanceof PolicyAbort || error instanceof WebAssembly.RuntimeError || error instanceof BuiltinError) {
    // OPA writes its own errors as file:row:column: message.
    const at = /^(.+?):(\d+):(\d+): (.*)$/s.exec(error.message);
    const said = at?.[4] ?? error.message;
    const [message, remedy] = CONFLICTS[said] ?? [said, 'Correct the policy'];
    return new CountersignError('policy-failed', `the policy could not be evaluated: ${message}${at ? '' : where}`, {
      place: at ? { file: at[1], line: Number(at[2]), column: Number(at[3]) } : place,
      remedy,
      cause: error,
    });
  }
  return toCountersignError(error);
}

function timeOf(time: RegoValue): bigint {
  try {
    return parseTime(time as string);
  } catch (cause) {
    throw new CountersignError('policy-failed', 'the policy input has no time', { cause });
  }
}

/** Conftest: an exception names the suffixes of rules that do not count for this input, '' for a bare name. */
function exceptions(outputs: BundleOutputs['conftest'], sets: readonly RegoValue[]): ReadonlySet<string> {
  const found = new Set<string>();
  for (let i = 0; i < outputs.length; i++) {
    if (outputs[i].name !== 'exception') continue;
    for (const names of (sets[i] as RegoSet).items) {
      for (const name of names instanceof RegoSet ? names.items : Array.isArray(names) ? names : []) {
        if (typeof name === 'string') found.add(`${outputs[i].package} ${name}`);
      }
    }
  }
  return found;
}

function suffix(name: string): string {
  return name.replace(/^(deny|violation|warn)_?/, '');
}

/** The guest's order of set members is its own; this one anybody can compute. */
function inOrder(results: RuleResult[]): RuleResult[] {
  if (results.length < 2) return results;
  const keyed = results.map((r) => ({ r, key: canonicalJson([r.package, r.name, r.file, r.row, r.value as string]) }));
  keyed.sort((a, b) => (a.r.change ?? -1) - (b.r.change ?? -1) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return keyed.map(({ r }) => r);
}
