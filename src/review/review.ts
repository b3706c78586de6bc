import { canonicalJson } from '../cluster/canonical.js';
import { diffObjects } from '../cluster/diff.js';
import type { KubernetesObject } from '../cluster/object.js';
import { renderedDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import type { Environment } from '../change/environment.js';
import type { ManifestCache } from '../change/manifest-cache.js';
import { outsideGrants, type Grant } from '../change/grant.js';
import {
  proposeChange,
  type ChangedCommit,
  type ObjectChange,
  type ProposedChange,
} from '../change/proposed-change.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { decision as decide } from '../policy/decide.js';
import { policyInput } from '../policy/input.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { SyncSettings } from '../policy/gatekeeper/sync.js';
import type { Evaluator, RuleResult } from '../policy/evaluator.js';
import type { Repository } from '../source/repository.js';
import type { Signature } from '../source/signature.js';
import { checkSignature } from '../source/signers.js';
import type { ApprovedBytes } from './approval.js';
import type { Counting } from './counted-approvals.js';
import { decisionTerms } from './decision-terms.js';
import type { DecisionFacts } from './entries.js';
import { withFieldLines } from './field-lines.js';
import type { Governance } from './governance.js';
import { reviewDuty } from './emergency.js';
import { operationOf } from './operation.js';
import { pusherInput } from './pusher.js';
import { exceptionsFor } from './exceptions.js';
import { attestationInput } from './attestation.js';
import { belongingInput } from './governed-owners.js';
import { recordId } from './record-id.js';
import type { ChangeRecord, DecisionRecord, ObjectChangeRecord, PushRecord, ReviewDutyRecord } from './records.js';

export interface ReviewRequest {
  readonly repository: { readonly name: string; readonly url: string };
  readonly reader: Repository;
  readonly environment: Environment;
  readonly governance: Governance;
  /** The push that put `head` on the environment's ref. */
  readonly push: PushRecord;
  /** Where the change begins; null: from nothing. */
  readonly base: string | null;
  readonly head: string;
  /** How the environment was defined when `base` was approved. */
  readonly was?: Environment | null;
  /** The last approved commit, which a push may not throw away; it may be a newer one than `base`. */
  readonly approved?: string | null;
  /** What is wrong with head beyond what reading the environment will find. */
  readonly problems: readonly CountersignError[];
  /** Null for an environment without a target; a string when its target is not configured. */
  readonly grants: readonly Grant[] | null | 'unknown target';
  /** The approvals that count for exactly these bytes; none where nobody is asked. */
  readonly approvals?: (bytes: ApprovedBytes, commits: readonly ChangedCommit[]) => Promise<Counting>;
  /** When the log first saw each commit: what key validity is judged at (invariant 6). */
  readonly firstSeen: (commits: readonly string[]) => Promise<ReadonlyMap<string, Date>>;
  readonly cache: ManifestCache;
  /** Commits of one change; see `proposeChange`. */
  readonly mostCommits?: number | undefined;
  readonly evaluator: Evaluator;
  readonly redactor: Redactor;
  /** Where policy looks at the live cluster; without it, it sees none. */
  readonly live?: LiveInventory | undefined;
  readonly now: () => Date;
}

/**
 * What is in a target right now, of the kinds that policy is told of. Throws `cluster-unavailable`, `cluster-refused`,
 * `inventory-too-large`: what cannot be looked at cannot be judged (invariant 7).
 */
export interface LiveInventory {
  read(target: string, sync: SyncSettings): Promise<readonly KubernetesObject[]>;
}

export interface Reviewed {
  readonly change: ProposedChange;
  readonly push: PushRecord;
  /** What an emergency change that is allowed still owes. */
  readonly duty: ReviewDutyRecord | null;
  readonly facts: Omit<DecisionFacts, 'bundle'>;
  readonly record: {
    readonly change: ChangeRecord;
    readonly objectChanges: readonly ObjectChangeRecord[];
    readonly decision: DecisionRecord;
  };
}

const NOBODY: Counting = { counted: [], uncounted: [] };
/** Until it is known when a commit was first seen. */
const UNCHECKED: Signature = { kind: 'none', status: 'unverified', reason: 'not checked' };

/**
 * Judges what moving an environment from base to head does. Pure but for reading Git and evaluating: nothing is recorded here.
 * What can't be read or judged comes back as a decision that denies or errs, never as an allow (invariant 7); only a repository
 * that can't be read at all throws.
 */
export async function review(request: ReviewRequest): Promise<Reviewed> {
  const { repository, reader, environment, governance, push, base, head, redactor } = request;
  const started = request.now();
  const last = request.approved ?? base;
  // Going back to an earlier commit of the same line is no rewriting where governance itself says so.
  const isBack =
    environment.pin?.commit === head && last !== null && last !== head && (await reader.isAncestor(head, last));
  const rewritten = last !== null && !isBack && !(await reader.isAncestor(last, head));
  const read = await proposeChange(reader, environment, base, head, {
    cache: request.cache,
    checkSignature: () => UNCHECKED,
    was: request.was,
    ...(request.mostCommits === undefined ? {} : { mostCommits: request.mostCommits }),
  });
  const seen = await request.firstSeen(read.commits.map(({ commit }) => commit.id));
  const commits = read.commits.map(({ commit, files }) => ({
    commit,
    files,
    signature: checkSignature(commit, governance.signers, seen.get(commit.id) ?? started),
  }));
  const objects = read.rendered.map(({ object }) => object);
  const { attestations, problem } = await attestationInput(reader, head, governance.attesters, objects);
  const problems = [
    ...(problem ? [problem] : []),
    ...(rewritten ? [rewrittenHistory(environment, last, head)] : []),
    ...request.problems,
    ...read.problems,
    ...grantProblems(request, read),
  ];
  const change = { ...read, commits, problems };
  const forced = push.kind === 'forced' || push.kind === 'rewound';
  const digest = renderedDigest(change.rendered, redactor);
  const { headTree: tree } = change;
  const approved = { repository: repository.name, ref: environment.ref, environment: environment.name };
  const { counted: approvals, uncounted } =
    (await request.approvals?.(
      { ...approved, base, head, tree, renderedDigest: digest, target: environment.target },
      commits,
    )) ?? NOBODY;
  const counted = approvals.map(({ id }) => id);
  const emergency = operationOf(change, last, isBack);
  const { operation } = emergency;
  const live = await liveOf(request);
  const unseen = live instanceof CountersignError;
  const belonging = belongingInput(change, governance);
  const input = policyInput({
    change,
    approvals: approvals.map((approval) => approval.input),
    repository,
    time: started,
    redactor,
    inventory: governance.bundle.inventory,
    live: unseen ? undefined : live,
    exceptions: exceptionsFor(governance.exceptions, environment.name, started),
    ...belonging,
    attestations,
    ...emergency,
    push: {
      ref: push.ref,
      old: push.old,
      new: push.new ?? head,
      forced,
      ...pusherInput(push.pusher, 'webhook', governance.signers.identities),
    },
  });
  const results = unseen ? live : await evaluate(request.evaluator, governance.bundle, input);
  const decision = await withFieldLines(decide(governance.bundle, input, change, results), change, reader, redactor);
  const id = recordId();
  const changeId = recordId();
  const time = request.now();
  const common = { repository: repository.name, environment: environment.name, time: time.toISOString() };
  const duty = decision.outcome === 'allow' ? reviewDuty(emergency, change, time) : null;
  return {
    change,
    push,
    duty: duty && { ...duty, id, change: changeId, repository: repository.name, environment: environment.name, head },
    facts: {
      ...common,
      id,
      target: environment.target,
      operation,
      ref: environment.ref,
      push: push.id,
      base,
      head,
      tree,
      renderedDigest: digest,
      approvals: counted,
      carried: approvals.flatMap(({ id: approval, input: { carriedFrom } }) =>
        carriedFrom === undefined ? [] : [{ approval, from: carriedFrom }],
      ),
      reviewDue: duty?.dueAt ?? null,
      decision,
      input,
      results: results instanceof CountersignError ? [] : results,
      rendered: change.rendered.map(({ object }) => redactor.redact(object)),
    },
    record: {
      change: {
        ...common,
        id: changeId,
        operation,
        ref: environment.ref,
        push: push.id,
        base,
        head,
        tree,
        commits: change.commits.map(({ commit }) => commit.id),
        objectChanges: change.changes.length,
        renderedDigest: digest,
        target: environment.target,
        otherDocuments: [...change.otherDocuments.values()].reduce((sum, count) => sum + count, 0),
        notRendered: change.notRendered,
      },
      objectChanges: objectChangeRecords(changeId, change.changes, redactor),
      decision: {
        ...common,
        id,
        change: changeId,
        outcome: decision.outcome,
        violations: decision.violations,
        warnings: decision.warnings,
        required: decision.required,
        excepted: decision.excepted,
        exceptions: decision.exceptions.map((exception) => exception.id),
        impact: null,
        rulesRun: decision.rulesRun,
        rulesPassed: decision.rulesPassed,
        error: decision.error ?? null,
        bundleDigest: decision.bundleDigest,
        wasmDigest: decision.wasmDigest,
        inputDigest: decision.inputDigest,
        resultDigest: decision.resultDigest,
        approvals: counted,
        uncounted,
        milliseconds: time.getTime() - started.getTime(),
        index: null,
        ...decisionTerms({
          commits: commits.map(({ commit, signature }) => ({ ...commit, signature })),
          approvals: approvals.map((approval) => approval.input),
          owners: belonging.owners ?? [],
          said: [decision.violations, decision.warnings, decision.required, decision.excepted].flat(),
        }),
      },
    },
  };
}

async function liveOf({
  environment,
  governance,
  live,
}: ReviewRequest): Promise<readonly KubernetesObject[] | CountersignError | undefined> {
  // prettier-ignore
  const { sync } = governance.bundle;
  if (!sync || !live || environment.target === null) return undefined;
  try {
    const objects = await live.read(environment.target, sync);
    for (const object of objects) canonicalJson(object); // one that JSON cannot carry exactly must not be judged as another
    return objects;
  } catch (thrown) {
    return toCountersignError(thrown);
  }
}

/** A failed evaluation is a result, too: one that is never acted on. */
async function evaluate(
  evaluator: Evaluator,
  bundle: PolicyBundle,
  input: string,
): Promise<readonly RuleResult[] | CountersignError> {
  try {
    return await evaluator.evaluate(bundle, input);
  } catch (thrown) {
    return toCountersignError(thrown);
  }
}

/** As they may be kept and shown (invariant 10). */
export function objectChangeRecords(
  change: string,
  changes: readonly ObjectChange[],
  redactor: Redactor,
): readonly ObjectChangeRecord[] {
  return changes.map((objectChange, position) => ({
    change,
    position,
    op: objectChange.op,
    ...objectChange.identity,
    before: objectChange.before && redactor.redact(objectChange.before),
    after: objectChange.after && redactor.redact(objectChange.after),
    patch: redactedPatch(objectChange, redactor),
    ...objectChange.source,
  }));
}

function redactedPatch({ before, after, patch }: ObjectChange, redactor: Redactor): ObjectChange['patch'] {
  if (!before || !after) return patch;
  const [old, now] = [redactor.redact(before), redactor.redact(after)];
  return old === before && now === after ? patch : diffObjects(old, now);
}

function grantProblems({ grants, repository, environment }: ReviewRequest, change: ProposedChange): CountersignError[] {
  if (grants === null || environment.target === null) return [];
  if (grants === 'unknown target') {
    return [
      new CountersignError(
        'environment-not-granted',
        `environment ${environment.name} deploys to ${environment.target}, which is no target of this service`,
        {
          place: { file: 'countersign.yaml' },
          remedy: `Add ${environment.target} under targets: in the service's configuration, or name another target`,
        },
      ),
    ];
  }
  return outsideGrants(repository.name, environment.target, grants, change.rendered);
}

/** DESIGN, section 9: a forced push is denied unless the last approved commit is still an ancestor. */
function rewrittenHistory(environment: Environment, base: string, head: string): CountersignError {
  return new CountersignError(
    'history-rewritten',
    `${environment.ref} was rewritten: ${head.slice(0, 7)} does not descend from the approved ${base.slice(0, 7)}`,
    {
      remedy: `Restore it with git push --force origin ${base.slice(0, 12)}:${environment.ref} and add commits on top`,
    },
  );
}
