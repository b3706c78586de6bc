import type { Inclusion } from '../audit/ledger.js';
import { verifyInclusion } from '../audit/proof.js';
import type { Trust } from '../audit/policy-file.js';
import type { Environment } from '../change/environment.js';
import { renderedDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import type { ManifestObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';

/** What somebody says is approved. */
export interface ApprovalClaim {
  readonly repository: string;
  readonly environment: Environment;
  readonly head: string;
  /** Everything the environment holds at head, unredacted: what is going to be applied. */
  readonly objects: readonly ManifestObject[];
  /** The decision's entry, with its proof. */
  readonly inclusion: Inclusion;
  /**
   * `repair`: the change was applied before, and is only kept as it was. That goes on under its original allow when the
   * bundle in force is another by now (DESIGN 9, Runs).
   */
  readonly purpose: 'deploy' | 'repair';
}

/** What the gate itself knows, from elsewhere than the claim. */
export interface GateFacts {
  /** Whose log it is. */
  readonly trust: Trust;
  readonly redactor: Redactor;
  /** Digest of the policy bundle in force for the repository. */
  readonly bundleInForce: string;
  /** Log index of the decision that let in what governs the repository; −1 where the service's configuration named it. */
  readonly governedSince: number;
  /** By which exceptions are judged to have ended; the clock's if it is not given. */
  readonly now?: Date;
  /** Log index of the newest decision that allowed a change of this environment. */
  readonly newestAllow: number;
}

const seal = Symbol('made by approve');

/**
 * A change that may be applied. Only `approve` makes one, at run time too: a cast or a copied prototype lacks the private
 * field that `assertApproved` looks for (invariant 1). Its objects are the gate's own frozen copies, so what was digested is
 * what is applied (invariant 9).
 */
export class ApprovedChange {
  readonly #objects: readonly ManifestObject[];

  constructor(
    key: symbol,
    readonly repository: string,
    readonly environment: Environment,
    readonly head: string,
    /** Log index of the decision, and the id in it. */
    readonly decision: number,
    readonly decisionId: string,
    readonly bundleDigest: string,
    readonly renderedDigest: string,
    readonly purpose: ApprovalClaim['purpose'],
    /** RFC 3339: when the first exception ends that the decision used; null if it used none. */
    readonly exceptionsUntil: string | null,
    /** How many approvals counted when it was decided. */
    readonly approvals: number,
    objects: readonly ManifestObject[],
  ) {
    if (key !== seal) throw refused('only the gate makes an approved change');
    this.#objects = objects;
    Object.freeze(this);
  }

  get objects(): readonly ManifestObject[] {
    return this.#objects;
  }

  static isApproved(value: unknown): value is ApprovedChange {
    return typeof value === 'object' && value !== null && #objects in value;
  }
}

/** Throws `not-approved` for anything that did not come out of `approve`. */
export function assertApproved(value: unknown): asserts value is ApprovedChange {
  if (!ApprovedChange.isApproved(value)) throw refused('this change did not pass the gate');
}

/**
 * The gate. Throws `not-approved`, saying which check failed; `proof-invalid` and `note-invalid` come as its cause.
 */
export function approve(claim: ApprovalClaim, facts: GateFacts): ApprovedChange {
  const { repository, head, purpose } = claim;
  const environment = copy(claim.environment);
  // Own copies first: what is checked below must be what is handed out, whatever its giver does to it meanwhile.
  const objects = copy(claim.objects);
  const { entry } = proven(claim.inclusion, facts.trust);
  const decision = entry.predicate;
  const where = `${repository} ${environment.name}`;

  check(entry.type === 'decision', `entry ${entry.index} is a ${entry.type}, not a decision`);
  check(
    decision['outcome'] === 'allow',
    `decision ${entry.index} is ${JSON.stringify(decision['outcome'])}, not allow`,
  );
  // A pull request's verdict tells what a merge would get; nobody deploys by it.
  check(
    !decision['advice'],
    `decision ${entry.index} is advice on ${JSON.stringify(decision['request'])}, not a deployment decision`,
  );
  check(decision['repository'] === repository, `decision ${entry.index} is about another repository than ${where}`);
  check(
    decision['environment'] === environment.name,
    `decision ${entry.index} is about another environment than ${where}`,
  );
  check(
    environment.target !== null && decision['target'] === environment.target,
    `decision ${entry.index} is for target ${JSON.stringify(decision['target'])}, not ${JSON.stringify(environment.target)}`,
  );
  check(
    decision['head'] === head,
    `decision ${entry.index} is about commit ${JSON.stringify(decision['head'])}, not ${head}`,
  );
  check(
    entry.index === facts.newestAllow,
    `decision ${entry.index} is not the newest for ${where}: that is ${facts.newestAllow}`,
  );
  check(
    purpose === 'repair' || decision['bundleDigest'] === facts.bundleInForce,
    `decision ${entry.index} was made under policy ${JSON.stringify(decision['bundleDigest'])}, in force is ${facts.bundleInForce}`,
  );
  // The same bundle may stand beside other signers, owners or environments.
  check(
    purpose === 'repair' || entry.index > facts.governedSince,
    `decision ${entry.index} was made before what governs now was taken up at ${facts.governedSince}`,
  );
  const until = typeof decision['exceptionsUntil'] === 'string' ? decision['exceptionsUntil'] : null;
  check(
    purpose === 'repair' || until === null || Date.parse(until) > (facts.now ?? new Date()).getTime(),
    `decision ${entry.index} used an exception that ended at ${until}`,
  );
  const digest = renderedDigest(objects, facts.redactor);
  check(decision['renderedDigest'] === digest, `the objects to apply for ${where} are not those that were judged`);

  const id = typeof decision['id'] === 'string' ? decision['id'] : '';
  const bundle = typeof decision['bundleDigest'] === 'string' ? decision['bundleDigest'] : '';
  return new ApprovedChange(
    seal,
    repository,
    environment,
    head,
    entry.index,
    id,
    bundle,
    digest,
    purpose,
    until,
    Array.isArray(decision['approvals']) ? decision['approvals'].length : 0,
    objects,
  );
}

function proven(inclusion: Inclusion, trust: Trust): Inclusion {
  try {
    return { ...inclusion, entry: verifyInclusion(inclusion, trust).entry };
  } catch (cause) {
    if (!(cause instanceof CountersignError)) throw cause;
    throw refused(`the decision is not proven to be in the log: ${cause.message}`, cause);
  }
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw refused(otherwise);
}

function refused(message: string, cause?: unknown): CountersignError {
  return new CountersignError('not-approved', message, {
    remedy: 'Nothing was written; the environment stays at its last approved commit',
    cause,
  });
}

function copy<T>(value: T): T {
  return freeze(structuredClone(value));
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) freeze(inner);
    Object.freeze(value);
  }
  return value;
}
