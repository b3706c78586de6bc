import type { Trust } from '../audit/policy-file.js';
import { identityKey, type ManifestObject } from '../cluster/object.js';
import { objectDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError } from '../errors.js';
import { governedSince } from '../review/base.js';
import type { Approved } from '../review/followed-repository.js';
import type { Records } from '../review/records.js';
import type { Gate, RefHistory } from './approved-ref.js';
import type { Cluster } from './cluster.js';
import { approve, type ApprovedChange, type GateFacts } from './gate.js';
import type { RecordedRuns } from './recorded-runs.js';

export interface RecordedGateParts {
  /** By target name. */
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** Where others apply what is approved, by target and repository. */
  readonly gateOf?: (target: string, repository: string) => { readonly gate: Gate; readonly url: string } | undefined;
  /** For reading. */
  readonly records: Records;
  /** For reading. */
  readonly runs: RecordedRuns;
  /** For reading. */
  readonly refs?: RefHistory;
  readonly redactor: Redactor;
  /** Our own log's key: what the gate holds a decision's checkpoint against. */
  readonly trust: Trust;
}

/** The gate, with its facts from the records. */
export class RecordedGate {
  constructor(private readonly parts: RecordedGateParts) {}

  /** Through the gate, here as at the instance that applies it; null where it is neither in force nor live. */
  async pass(approved: Approved): Promise<ApprovedChange | null> {
    const { environment, head, objects, inclusion, repository, decision } = approved;
    const { parts } = this;
    const { target } = environment;
    const gated = target === null ? undefined : parts.gateOf?.(target, repository);
    if (target === null || (!parts.clusters.has(target) && !gated)) {
      throw new CountersignError('environment-not-granted', `${String(target)} is no target of this service`, {
        remedy: "Add it under targets: in the service's configuration",
      });
    }
    const facts = await this.#gateFacts(repository, environment.name);
    const { bundleDigest, exceptionsUntil } = inclusion.entry.predicate;
    const inForce =
      bundleDigest === facts.bundleInForce && inclusion.entry.index > facts.governedSince && !hasEnded(exceptionsUntil);
    // Under another bundle than it was judged by, or without an exception that it needed, what was never applied is not applied
    // now; what was, is kept.
    const live = inForce || (await this.isLive({ repository, environment, head, objects, decisionId: decision.id }));
    if (!live) return null;
    const purpose = inForce ? 'deploy' : 'repair';
    return approve(
      { repository, environment, head, objects, inclusion, purpose },
      { ...facts, trust: parts.trust, redactor: parts.redactor },
    );
  }

  /** From the records, not from whoever says that something is approved. */
  async #gateFacts(
    repository: string,
    name: string,
  ): Promise<Pick<GateFacts, 'bundleInForce' | 'governedSince' | 'newestAllow'>> {
    const [[governed], [environment]] = await Promise.all([
      this.parts.records.find('repository', { name: repository }),
      this.parts.records.find('environment', { repository, name }),
    ]);
    const id = environment?.approvedDecision;
    const [decision] = id ? await this.parts.records.find('decision', { id }) : [];
    return {
      bundleInForce: governed?.bundleDigest ?? '',
      governedSince: await governedSince(repository, this.parts.records),
      newestAllow: decision?.index ?? -1,
    };
  }

  /**
   * What waited for its cluster was judged under the bundle that was in force then. It is applied under the one in force now, or
   * not before that one has allowed it (invariant 1).
   */
  async requireInForce(waiting: ApprovedChange): Promise<void> {
    const { bundleInForce, governedSince: since } = await this.#gateFacts(waiting.repository, waiting.environment.name);
    const ended = hasEnded(waiting.exceptionsUntil);
    const { decision } = waiting;
    const same = waiting.bundleDigest === bundleInForce && decision > since;
    if ((same && !ended) || (await this.isLive(waiting))) return;
    const why = ended
      ? 'used an exception that has ended'
      : 'was made under another policy, or other signers, than are in force';
    throw new CountersignError('not-approved', `decision ${decision} ${why}`, {
      remedy: 'Nothing was written; push a commit that the policy in force allows',
    });
  }

  /** Whether the target has exactly this as our runs left it; an approved commit that changed no object had no run of its own. */
  async isLive(
    change: Pick<ApprovedChange, 'repository' | 'environment' | 'head' | 'objects' | 'decisionId'>,
  ): Promise<boolean> {
    const { repository, environment, objects, decisionId } = change;
    const { records, runs, redactor, refs } = this.parts;
    const gated = this.parts.gateOf?.(environment.target ?? '', repository)?.gate;
    // A ref is at a commit whichever decision allowed it.
    if (gated)
      return (await refs!.left(repository, environment.name, gated.refOf(environment.name))).at === change.head;
    const inventory = await runs.inventory(repository, environment.name, environment.target ?? '');
    const same = ({ identity, object }: ManifestObject): boolean =>
      inventory.get(identityKey(identity))?.digest === objectDigest(object, redactor);
    if (objects.length > 0 && objects.length === inventory.size && objects.every(same)) return true;
    return (await records.find('run', { decision: decisionId, outcome: 'succeeded' })).length > 0;
  }
}

function hasEnded(until: unknown): boolean {
  return typeof until === 'string' && Date.parse(until) <= Date.now();
}
