import { createHash, randomUUID } from 'node:crypto';
import type { ContentDraft, EntryDraft } from '../audit/entry.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { Json, JsonObject, KubernetesObject } from '../cluster/object.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { Decision } from '../policy/decision.js';
import type { RuleResult } from '../policy/evaluator.js';
import type { ImpactTally } from './impact-tally.js';
import { strengthOf } from './approval.js';
import type { Account, ApprovalRecord, ExceptionRecord, FaultRecord, ProtectionRecord, PushRecord } from './records.js';

// What review writes into the log. Predicates hold identities and digests only; anything that may name a person or quote an
// object is salted content (invariants 10, 11).

/** The subjects of an entry about commits, with their trees where those are known. */
function gitSubjects(repository: string, commit: string, tree?: string): EntryDraft['subjects'] {
  return [{ name: `git:${repository}`, digest: { gitCommit: commit, ...(tree ? { gitTree: tree } : {}) } }];
}

export function genesisEntry(genesis: {
  readonly id: string;
  readonly repository: string;
  readonly ref: string;
  readonly commit: string;
  readonly trust: 'commit' | 'key';
  readonly bundle: PolicyBundle;
  readonly organisation?: DecisionFacts['organisation'];
  readonly time: string;
}): EntryDraft {
  const { bundle, organisation, ...rest } = genesis;
  return {
    type: 'genesis',
    subjects: gitSubjects(genesis.repository, genesis.commit),
    predicate: {
      ...rest,
      bundleDigest: bundle.digest,
      wasmDigest: bundle.wasmDigest,
      ...(organisation ? { organisation } : {}),
    },
    contents: policyContents(bundle),
  };
}

/** Who pushed is in its contents only (invariant 11). */
export function pushEntry(push: PushRecord, commits: number): EntryDraft {
  const { id, repository, ref, kind, time } = push;
  const subject = push.new ?? push.old;
  return {
    type: 'push',
    subjects: subject ? gitSubjects(repository, subject) : [],
    predicate: { id, repository, ref, kind, old: push.old, new: push.new, commits, time },
    ...pusherContents(push.pusher),
  };
}

/** The forge said who made a push only when that was in the log already; what was decided until then stays decided. */
export function latePusherEntry({ id: of, repository, ref }: PushRecord, by: Account, time: string): EntryDraft {
  return {
    type: 'push',
    subjects: [],
    predicate: { id: randomUUID(), of, repository, ref, time },
    ...pusherContents(by),
  };
}

function pusherContents(by: Account | null): Pick<EntryDraft, 'contents'> {
  return by ? { contents: { pusher: json({ account: { ...by } }) } } : {};
}

/** Everything a decision commits to, and everything needed to compute it again. */
export interface DecisionFacts {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  /** Where an allowed change may be applied; null: nowhere. */
  readonly target: string | null;
  readonly operation: string;
  readonly ref: string;
  /** Null for advice. */
  readonly push: string | null;
  /** The ref of the request that it is advice on, not a deployment decision. */
  readonly request?: string;
  readonly base: string | null;
  readonly head: string;
  readonly tree: string;
  readonly renderedDigest: string;
  readonly time: string;
  readonly decision: Decision;
  readonly bundle: PolicyBundle;
  /** Whose policy was part of the bundle, and at which commit. */
  readonly organisation?: { readonly repository: string; readonly commit: string };
  /** Ids of the approvals that counted. */
  readonly approvals: readonly string[];
  /** Those of them that were given to another head, which the service merged itself and got this. */
  readonly carried?: readonly { readonly approval: string; readonly from: string }[];
  /** For a change of policy: what it would have done to the newest decisions. */
  readonly impact?: ImpactTally | null;
  /** Until when an emergency change is to be looked at by somebody else; null for any other. */
  readonly reviewDue: string | null;
  /** Canonical JSON of the policy input; null when it could not be made. */
  readonly input: string | null;
  readonly results: readonly RuleResult[];
  /** Redacted. */
  readonly rendered: readonly KubernetesObject[];
}

export function decisionEntry(facts: DecisionFacts): EntryDraft {
  const { decision } = facts;
  return {
    type: 'decision',
    subjects: gitSubjects(facts.repository, facts.head, facts.tree),
    predicate: {
      id: facts.id,
      repository: facts.repository,
      environment: facts.environment,
      target: facts.target,
      operation: facts.operation,
      ref: facts.ref,
      pushEntry: facts.push,
      ...(facts.request === undefined ? {} : { advice: true, request: facts.request }),
      base: facts.base,
      head: facts.head,
      tree: facts.tree,
      renderedDigest: facts.renderedDigest,
      outcome: decision.outcome,
      bundleDigest: decision.bundleDigest,
      wasmDigest: decision.wasmDigest,
      ...(facts.organisation ? { organisation: { ...facts.organisation } } : {}),
      // Input and result quote people and objects: the leaf names them by their salted contents below and nothing else, or
      // whoever holds the leaf could test guesses against it after an erasure (invariant 11).
      rules: [...new Set(decision.violations.map((violation) => violation.rule))],
      error: decision.error ? { code: decision.error.code } : null,
      approvals: facts.approvals,
      ...(facts.carried?.length ? { carried: facts.carried.map((one) => ({ ...one })) } : {}),
      ...(facts.reviewDue === null ? {} : { reviewDue: facts.reviewDue }),
      exceptions: decision.exceptions.map((exception) => exception.id),
      // Until then this decision says what policy says; afterwards a rule counts that did not (the gate looks at it).
      ...(decision.exceptions.length === 0
        ? {}
        : { exceptionsUntil: decision.exceptions.map(({ expires }) => expires).toSorted()[0] }),
      time: facts.time,
    },
    contents: {
      ...policyContents(facts.bundle),
      ...(facts.input === null ? {} : { input: jsonText(facts.input) }),
      result: jsonText(canonicalJson(facts.results as unknown as Json)),
      violations: json(
        withoutUndefined([...decision.violations, ...decision.warnings, ...decision.required, ...decision.excepted]),
      ),
      rendered: json(facts.rendered),
      ...(facts.impact ? { impact: json(withoutUndefined(facts.impact)) } : {}),
    },
  };
}

/**
 * An approval as it came, and what was made of it; without bytes, what became of it later. Who made it is in its contents only
 * (invariant 11).
 */
export function approvalEntry(
  approval: ApprovalRecord,
  bytes: { readonly text: string; readonly signature: string | null } | null,
  closes: string | null,
): EntryDraft {
  const { id, repository, environment, ref, base, head, tree, renderedDigest, status, via, firstSeen } = approval;
  const { principal, person, key, account, review, reason, change, advice, target } = approval;
  const known = change ?? advice;
  return {
    type: 'approval',
    subjects: known === null || head === null ? [] : gitSubjects(repository, head, tree ?? undefined),
    predicate: {
      id,
      repository,
      // What a rejected statement says is anybody's text.
      ...(known === null ? {} : { environment, ref, base, head, tree, renderedDigest, target }),
      ...(change === null ? {} : { change }),
      ...(advice === null ? {} : { advice }),
      via,
      strength: strengthOf(via),
      status,
      ...(closes === null ? {} : { reviews: closes }),
      time: firstSeen,
    },
    contents: {
      ...(bytes === null ? {} : { statement: jsonText(bytes.text) }),
      ...(bytes?.signature
        ? { signature: { mediaType: 'text/plain', bytes: Buffer.from(bytes.signature), salted: true } }
        : {}),
      verdict: json(withoutUndefined({ principal, person, key, account, review, reason })),
    },
  };
}

/** An exception as it lies in Git, and what was made of it. Who signed it, and why, is in its contents only (invariant 11). */
export function exceptionEntry(
  exception: ExceptionRecord,
  bytes: { readonly text: string; readonly signature: string | null } | null,
  time: string,
): EntryDraft {
  const { id, repository, rule, scope, expires, status, commit, principal, key, refusal } = exception;
  return {
    type: 'exception',
    subjects: gitSubjects(repository, commit),
    predicate: {
      id,
      repository,
      status,
      // What one that never counted says is anybody's text.
      ...(status === 'rejected' ? {} : { rule, scope: scope && { ...scope }, expires }),
      time,
    },
    contents: {
      ...(bytes === null
        ? {}
        : { statement: { mediaType: 'application/yaml', bytes: Buffer.from(bytes.text), salted: true } }),
      ...(bytes?.signature
        ? { signature: { mediaType: 'text/plain', bytes: Buffer.from(bytes.signature), salted: true } }
        : {}),
      verdict: json({ principal, key, reason: refusal }),
    },
  };
}

/** How a forge guards a branch. Its settings name people, so they are content. */
export function protectionEntry({ settings, index: _index, ...predicate }: ProtectionRecord): EntryDraft {
  return { type: 'protection', subjects: [], predicate, contents: { settings: json(settings) } };
}

export function faultEntry(fault: FaultRecord): EntryDraft {
  const { id, repository, environment, time, trouble } = fault;
  return {
    type: 'fault',
    subjects: [],
    predicate: { id, repository, environment, code: trouble.code, time },
    // Messages quote paths and what was found there.
    contents: { trouble: json(withoutUndefined(trouble)) },
  };
}

export function serviceEntry(service: {
  readonly id: string;
  readonly version: string;
  readonly configuration: JsonObject;
  readonly time: string;
}): EntryDraft {
  const { configuration, ...rest } = service;
  const text = canonicalJson(configuration);
  return {
    type: 'service',
    subjects: [],
    predicate: { ...rest, configurationDigest: createHash('sha256').update(text).digest('hex') },
    contents: { configuration: jsonText(text) },
  };
}

const bundleContents = new WeakMap<PolicyBundle, Record<string, ContentDraft>>();

/** Wasm, the rest of the bundle and its Rego beside it: they are the same for many decisions, so none of them is salted. */
function policyContents(bundle: PolicyBundle): Record<string, ContentDraft> {
  const known = bundleContents.get(bundle);
  if (known) return known;
  const { digest, wasmDigest, data, rules, outputs, sources } = bundle;
  const contents = {
    wasm: { mediaType: 'application/wasm', bytes: bundle.wasm, salted: false },
    policy: unsalted({ digest, wasmDigest, data, rules, outputs }),
    ...(sources ? { rego: unsalted(sources) } : {}),
  };
  bundleContents.set(bundle, contents);
  return contents;
}

function unsalted(value: unknown): ContentDraft {
  return { mediaType: 'application/json', bytes: Buffer.from(canonicalJson(withoutUndefined(value))), salted: false };
}

function json(value: unknown): ContentDraft {
  return jsonText(canonicalJson(value as Json));
}

function jsonText(text: string): ContentDraft {
  return { mediaType: 'application/json', bytes: Buffer.from(text), salted: true };
}

/** Optional fields that are absent, as JSON has them. */
function withoutUndefined(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
