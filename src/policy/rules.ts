import type { ObjectIdentity } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { PolicyBundle } from './bundle.js';
import type { Rule } from './decision.js';
import type { RuleResult } from './evaluator.js';

/** What a rule may give as a result, besides a plain text: an object with a message. What it says more is kept as details. */
export interface ResultObject {
  readonly msg: string;
  /** The object meant, if it is not the one being judged. */
  readonly object?: Partial<ObjectIdentity> & { readonly apiVersion?: string };
  readonly commit?: string;
  readonly path?: string;
  readonly line?: number;
  readonly fix?: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Throws `policy-result`, with the rule's place, for anything but a text or an object whose `msg` is a text. */
export function readResult(result: Pick<RuleResult, 'package' | 'name' | 'value' | 'file' | 'row'>): ResultObject {
  const { value } = result;
  if (typeof value === 'string') return { msg: value, details: {} };
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw nonsense(result, `gave ${describe(value)}`);
  const { msg, object, commit, path, line, fix, ...details } = value as Record<string, unknown>;
  if (typeof msg !== 'string') throw nonsense(result, `gave an object whose msg is ${describe(msg)}`);
  for (const [name, field] of Object.entries({ commit, path, fix })) {
    if (field !== undefined && typeof field !== 'string') throw nonsense(result, `gave ${describe(field)} as ${name}`);
  }
  if (object !== undefined && (typeof object !== 'object' || object === null)) {
    throw nonsense(result, `gave ${describe(object)} as object`);
  }
  if (line !== undefined && !Number.isSafeInteger(line)) throw nonsense(result, `gave ${describe(line)} as line`);
  return { msg, object, commit, path, line, fix, details } as ResultObject;
}

function nonsense(result: Pick<RuleResult, 'package' | 'name' | 'file' | 'row'>, what: string): CountersignError {
  return new CountersignError('policy-result', `the rule ${result.package}.${result.name} ${what}`, {
    place: { file: result.file, line: result.row },
    remedy: 'Let it give a text, or an object with a text msg',
  });
}

function describe(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return String(value);
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : 'a text';
}

/** A bundle's rules by their place, which is how a result names its rule. */
export function rulesByPlace(bundle: PolicyBundle): ReadonlyMap<string, Rule> {
  let known = indexes.get(bundle);
  if (!known) {
    known = new Map(bundle.rules.map((rule) => [`${rule.place.file}:${rule.place.line}`, rule]));
    indexes.set(bundle, known);
  }
  return known;
}

const indexes = new WeakMap<PolicyBundle, ReadonlyMap<string, Rule>>();
