import { createHash } from 'node:crypto';
import { digestOf } from '../cluster/canonical.js';
import { identityKey, type Json, type ObjectIdentity, type Source } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { PolicyBundle } from './bundle.js';
import type { Decision, Violation } from './decision.js';
import type { Evaluator, RuleResult } from './evaluator.js';
import { covers } from './exception.js';
import type { InputException, PolicyInput } from './input.js';
import { readResult, rulesByPlace, type ResultObject } from './rules.js';

/** Violations of this prefix come from what could not be read, not from a rule: `reading.manifest-malformed`. */
export const READING = 'reading.';

/** What of a proposed change is needed to say what results are about. */
export interface Judged {
  readonly changes: readonly { readonly identity: ObjectIdentity; readonly source: Source }[];
  readonly problems: readonly CountersignError[];
}

/**
 * Judges one proposed change. Never throws for what is wrong with policy or change: what could not be read denies, and what
 * could not be judged gives outcome `error` (invariant 7).
 */
export async function decide(
  evaluator: Evaluator,
  bundle: PolicyBundle,
  input: string,
  change: Judged,
): Promise<Decision> {
  return (await decideMany(evaluator, bundle, [{ input, change }]))[0];
}

/** The same for many changes at less cost each. */
export async function decideMany(
  evaluator: Evaluator,
  bundle: PolicyBundle,
  cases: readonly { readonly input: string; readonly change: Judged }[],
): Promise<readonly Decision[]> {
  let results: readonly (readonly RuleResult[] | CountersignError)[];
  try {
    results = await evaluator.evaluateMany(bundle, cases.map(({ input }) => input)); // prettier-ignore
  } catch (error) {
    results = cases.map(() => toCountersignError(error));
  }
  return cases.map(({ input, change }, i) => decision(bundle, input, change, results[i]));
}

/** The judgement that given results make: a pure function, used again when a decision is replayed. */
export function decision(
  bundle: PolicyBundle,
  input: string,
  change: Judged,
  results: readonly RuleResult[] | CountersignError,
): Decision {
  const digests = {
    bundleDigest: bundle.digest,
    wasmDigest: bundle.wasmDigest,
    inputDigest: createHash('sha256').update(input).digest('hex'),
    resultDigest: resultDigest(results),
  };
  const unread = change.problems.map(unreadable);
  const rulesRun = new Set(bundle.rules.map((rule) => rule.id)).size;
  if (results instanceof CountersignError) return failed(results, unread, digests);
  let found: Violation[];
  try {
    const finder = sourceFinder(change);
    found = results.map((result) => violation(bundle, change, result, finder));
  } catch (error) {
    return failed(toCountersignError(error), unread, digests);
  }
  const said = new Set(found.map(({ rule }) => rule));
  const { counting, excepted, exceptions } = setAside(found, input);
  const violations = [...unread, ...counting.filter(({ kind }) => kind === 'deny')];
  const required = counting.filter(({ kind }) => kind === 'require');
  return {
    outcome: violations.length > 0 ? 'deny' : required.length > 0 ? 'pending' : 'allow',
    violations,
    warnings: counting.filter(({ kind }) => kind === 'warn'),
    required,
    excepted,
    exceptions,
    rulesRun,
    rulesPassed: rulesRun - said.size,
    ...digests,
  };
}

interface SetAside {
  readonly counting: readonly Violation[];
  readonly excepted: readonly Violation[];
  /** Those of the input's exceptions that covered something. */
  readonly exceptions: readonly InputException[];
}

/** A pure function of results and input, so that it replays: which exceptions there are, and what time it is, the input says. */
function setAside(found: readonly Violation[], input: string): SetAside {
  // Most inputs have none, and need not be parsed for it: canonical JSON writes a list that holds any in this way.
  if (found.length === 0 || !input.includes('"exceptions":[{'))
    return { counting: found, excepted: [], exceptions: [] };
  const { exceptions, environment, time } = JSON.parse(input) as PolicyInput;
  const counting: Violation[] = [];
  const excepted: Violation[] = [];
  for (const one of found) {
    const exception = exceptions.find((candidate) => covers(candidate, one, environment.name, time));
    if (exception) excepted.push({ ...one, exception: exception.id });
    else counting.push(one);
  }
  const used = new Set(excepted.map(({ exception }) => exception));
  return { counting, excepted, exceptions: exceptions.filter(({ id }) => used.has(id)) };
}

/** What a recorded input is about, without the repository that it came from. */
export function judgedIn(input: Pick<PolicyInput, 'changes'>): Judged {
  const changes = input.changes.map(({ object, source }) => ({ identity: identityFrom(object), source }));
  return { changes, problems: [] };
}

/** SHA-256, hex, over the canonical JSON of what the rules gave. */
export function resultDigest(results: readonly RuleResult[] | CountersignError): string {
  if (results instanceof CountersignError) return digestOf({ error: results.code });
  return digestOf(results as unknown as Json);
}

function failed(
  error: CountersignError,
  violations: readonly Violation[],
  digests: Pick<Decision, 'bundleDigest' | 'wasmDigest' | 'inputDigest' | 'resultDigest'>,
): Decision {
  const { code, message, place, remedy } = error;
  return {
    outcome: 'error',
    violations,
    warnings: [],
    required: [],
    excepted: [],
    exceptions: [],
    rulesRun: 0,
    rulesPassed: 0,
    error: { code, message, ...(place ? { place } : {}), ...(remedy === undefined ? {} : { remedy }) },
    ...digests,
  };
}

function unreadable(problem: CountersignError): Violation {
  const { code, message, place, remedy } = problem;
  return {
    rule: READING + code,
    kind: 'deny',
    message,
    severity: 'high',
    controls: [],
    place: place ?? { file: '' },
    ...(place ? { source: { path: place.file, line: place.line ?? 1 } } : {}),
    ...(remedy ? { fix: remedy } : {}),
  };
}

function violation(bundle: PolicyBundle, change: Judged, result: RuleResult, find: SourceFinder): Violation {
  const rule = rulesByPlace(bundle).get(`${result.file}:${result.row}`);
  if (!rule) {
    throw new CountersignError(
      'policy-result',
      `a result names a rule that the bundle does not have, at ${result.file}:${result.row}`,
    );
  }
  const said = readResult(result);
  const { object, source } = subject(change, result, said, find);
  return {
    rule: rule.id,
    kind: rule.kind,
    message: said.msg,
    severity: rule.severity,
    controls: rule.controls,
    place: rule.place,
    ...(object ? { object } : {}),
    ...(source ? { source } : {}),
    ...(said.commit === undefined ? {} : { commit: said.commit }),
    ...(said.fix === undefined ? {} : { fix: said.fix }),
    ...(Object.keys(said.details).length > 0 ? { details: said.details } : {}),
  };
}

/** What a result is about: the object being judged, else the one or the file it names. */
function subject(
  change: Judged,
  result: RuleResult,
  said: ResultObject,
  find: SourceFinder,
): { readonly object?: ObjectIdentity; readonly source?: Source } {
  const judged = result.change === undefined ? undefined : change.changes[result.change];
  const named = said.object && identityFrom(said.object);
  const object = named ?? judged?.identity;
  const path = said.path === undefined ? undefined : { path: said.path, line: said.line ?? 1 };
  return { object, source: path ?? (named ? find(named) : undefined) ?? judged?.source };
}

function identityFrom(object: NonNullable<ResultObject['object']>): ObjectIdentity {
  const apiVersion = object.apiVersion ?? '';
  const slash = apiVersion.lastIndexOf('/');
  return {
    group: object.group ?? (slash < 0 ? '' : apiVersion.slice(0, slash)),
    version: object.version ?? apiVersion.slice(slash + 1),
    kind: object.kind ?? '',
    namespace: object.namespace ?? '',
    name: object.name ?? '',
  };
}

type SourceFinder = (identity: ObjectIdentity) => Source | undefined;

function sourceFinder(change: Judged): SourceFinder {
  let sources: Map<string, Source> | undefined;
  return (identity) => {
    sources ??= new Map(change.changes.map((one) => [identityKey(one.identity), one.source]));
    return sources.get(identityKey(identity));
  };
}
