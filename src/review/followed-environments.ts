import type { Inclusion, Ledger } from '../audit/ledger.js';
import { GOVERNANCE, type Environment } from '../change/environment.js';
import { render } from '../change/render.js';
import type { ManifestObject } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { changeBase } from './base.js';
import type { Decisions, Proposal } from './decisions.js';
import { sameDefinition } from './environment-record.js';
import type { Approved, ClockedParts } from './followed-repository.js';
import type { Governance } from './governance.js';
import type { Pushes } from './pushes.js';
import type { RecordedExceptions } from './recorded-exceptions.js';
import type { Returns } from './returns.js';
import type { DecisionRecord, EnvironmentRecord, Trouble } from './records.js';

interface Known {
  readonly pushes: Pushes;
  readonly decisions: Decisions;
  readonly exceptions: RecordedExceptions;
  readonly returns: Returns;
}

/** The environments that governance defines: each is judged when something about it is new, and handed over once it is allowed. */
export class FollowedEnvironments {
  /** Refs that are not there, by environment: told once. */
  readonly #unserved = new Map<string, string>();

  constructor(
    private readonly repository: string,
    private readonly parts: Pick<
      ClockedParts,
      'ledger' | 'records' | 'mirror' | 'redactor' | 'cache' | 'events' | 'now'
    >,
    private readonly known: Known,
  ) {}

  /** Other governance defines them from here on. */
  takeUp(governance: Governance): void {
    this.known.decisions.outdate(governance.environments);
    this.#unserved.clear();
    this.#tellRemoved(governance);
    this.parts.events.governed?.(this.repository, governance.environments);
  }

  /** Says again what was approved before this process started. */
  async resume(governance: Governance): Promise<void> {
    // The process that took it up may have died before anybody heard of it.
    this.#tellRemoved(governance);
    this.parts.events.governed?.(this.repository, governance.environments);
    for (const environment of governance.environments) await this.#resume(environment);
  }

  #tellRemoved({ environments }: Governance): void {
    const names = new Set([GOVERNANCE, ...environments.map(({ name }) => name)]);
    for (const name of this.known.decisions.environments.keys()) {
      if (!names.has(name)) this.parts.events.removed(this.repository, name);
    }
  }

  /** An environment approved before this process started is held to that again. */
  async #resume(environment: Environment): Promise<void> {
    const record = this.known.decisions.environments.get(environment.name);
    const approved = record && (await approvedOf(record, environment, this.parts));
    if (approved) this.parts.events.approved(approved);
  }

  /** Judges what an environment's ref points to by what is in force, unless that was done before and nothing about it is new. */
  async review(defined: Environment, governance: Governance): Promise<void> {
    const { pushes, decisions, exceptions, returns } = this.known;
    const { records, redactor, now } = this.parts;
    const tip = pushes.tip(defined.ref);
    const before = decisions.environments.get(defined.name);
    if (!tip) {
      return this.#tellUnserved(defined, defined.ref, {
        code: 'revision-unknown',
        message: `${defined.ref} is not among the refs followed in ${this.repository}`,
        remedy: 'Push it, or add it under refs: in the configuration',
      });
    }
    const back = await returns.holding(defined, tip.commit);
    const environment = back ? { ...defined, pin: back } : defined;
    const head = environment.pin?.commit ?? tip.commit;
    if (!(await this.#isOn(head, tip.commit))) {
      return this.#tellUnserved(environment, head, {
        code: 'environment-invalid',
        message: `${environment.name} is pinned to ${head.slice(0, 12)}, which is no commit of ${environment.ref}`,
        remedy: 'Pin it to a commit of that ref, or take the pin out',
      });
    }
    this.#unserved.delete(environment.name);
    const last = before?.headDecision ? (await records.find('decision', { id: before.headDecision }))[0] : undefined;
    const outdated = decisions.isOutdated(environment.name);
    const lapse = before && last && (await exceptions.lapse(governance, before, last, { now: now(), outdated }));
    const judged =
      !lapse &&
      !decisions.isApprovedAnew(environment.name) &&
      !outdated &&
      before !== undefined &&
      before.head === head &&
      last?.bundleDigest === governance.bundle.digest &&
      sameDefinition(before, environment);
    if (judged && !decisions.isToRetry(environment.name, head)) return;
    const proposal = { environment, governance, inForce: true, head };
    if (lapse) {
      // What is live is judged again as the change that needed the exception, whatever waits on top of it.
      await this.#judge({ ...proposal, push: await pushes.find(lapse.push), base: lapse.base, head: lapse.head });
      if (lapse.head === head) return;
    }
    const push = await pushes.find(tip.push);
    const base = await changeBase(before, head, governance, { records, redactor, now: now() });
    await this.#judge({ ...proposal, push, base }, judged);
  }

  async #isOn(commit: string, tip: string): Promise<boolean> {
    if (commit === tip) return true;
    try {
      return await this.parts.mirror.repository.isAncestor(commit, tip);
    } catch (thrown) {
      if (['revision-unknown', 'object-missing'].includes(toCountersignError(thrown).code)) return false;
      throw thrown;
    }
  }

  /** Once for each thing that is missing. */
  #tellUnserved(environment: Environment, what: string, trouble: Trouble): void {
    if (this.#unserved.get(environment.name) === what) return;
    this.#unserved.set(environment.name, what);
    this.parts.events.unserved(this.repository, environment, { place: { file: 'countersign.yaml' }, ...trouble });
  }

  async #judge(proposal: Proposal, again = false): Promise<void> {
    const { decisions } = this.known;
    const { environment, governance, head } = proposal;
    const reviewed = await decisions.review(proposal);
    if (again && decisions.failsAgain(environment.name, reviewed)) return;
    const decision = await decisions.record(environment, reviewed, governance);
    if (decision.outcome !== 'allow') return;
    const { noLongerCompliant = false } = decisions.environments.get(environment.name) ?? {};
    await this.#announce(environment, head, reviewed.change.rendered, decision, noLongerCompliant);
  }

  async #announce(
    environment: Environment,
    head: string,
    objects: readonly ManifestObject[],
    decision: DecisionRecord,
    noLongerCompliant: boolean,
  ): Promise<void> {
    if (environment.target === null) return;
    const { ledger, events } = this.parts;
    const inclusion = await inclusionOf(decision, ledger);
    const { repository } = this;
    events.approved({ repository, environment, head, objects, decision, inclusion, noLongerCompliant });
  }
}

/**
 * What was approved of an environment, as it is recorded, with everything that a reconciler needs; null where nothing is, or nothing
 * that could be applied.
 */
export async function approvedOf(
  record: EnvironmentRecord,
  environment: Environment,
  { ledger, records, mirror, cache }: Pick<ClockedParts, 'ledger' | 'records' | 'mirror' | 'cache'>,
): Promise<Approved | null> {
  const { approved: head, approvedDecision, noLongerCompliant, repository } = record;
  if (!head || !approvedDecision) return null;
  // As it was defined then: another definition may be in force that nobody has allowed this commit under.
  const held = record.approvedDefinition ?? (sameDefinition(record, environment) ? environment : null);
  const [decision] = await records.find('decision', { id: approvedDecision });
  if (!held || !decision || held.target === null) return null;
  const { objects } = await render(mirror.repository, held, head, cache);
  const inclusion = await inclusionOf(decision, ledger);
  return { repository, environment: held, head, objects, decision, inclusion, noLongerCompliant };
}

async function inclusionOf({ id, index }: DecisionRecord, ledger: Ledger): Promise<Inclusion> {
  if (index !== null) return ledger.inclusion(index);
  throw new CountersignError('database-unavailable', `decision ${id} has no place in the log yet`, {
    remedy: 'Look at the database; this is tried again by itself',
    retry: true,
  });
}
