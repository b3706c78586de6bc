import type { Environment } from '../change/environment.js';
import { identityKey, type ObjectIdentity } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { Cluster } from './cluster.js';
import { concurrently } from './concurrently.js';
import { withoutIgnored } from './judged.js';
import type { ApplyWrite, HookWrite, Plan } from './plan.js';
import { isServed } from './write.js';

/** Every write that the server can be asked about is tried without effect before it is made: a bad wave changes nothing. */
export class Rehearsal {
  readonly #asked = new Set<string>();
  readonly #replaced = new Set<string>();

  constructor(
    private readonly environment: Environment,
    private readonly cluster: Cluster,
  ) {}

  /** The plan with what can only be deleted and made again, and the first refusal. Objects that need another one of the plan first are left. */
  async of(plan: Plan): Promise<{ readonly plan: Plan; readonly refusal: CountersignError | null }> {
    const namespaces = new Set(
      plan.applies
        .filter(({ op, identity }) => op === 'create' && identity.kind === 'Namespace')
        .map(({ identity }) => identity.name),
    );
    const defines = plan.applies.some(
      ({ op, identity }) => op === 'create' && identity.kind === 'CustomResourceDefinition',
    );
    const askable: (ApplyWrite | HookWrite)[] = [];
    for (const write of [...plan.applies, ...plan.hooks]) {
      if (namespaces.has(write.identity.namespace)) continue;
      const mayBeUnknown = defines || write.desired.directives.mayBeUnknown;
      if (mayBeUnknown && !(await isServed(this.cluster, write.identity))) continue;
      askable.push(write);
    }
    const refusal = await this.#ask(askable);
    return { plan: { ...plan, applies: plan.applies.map((write) => this.#asReplaced(write)) }, refusal };
  }

  /** What could not be asked about until the wave's turn. Throws the first refusal: then none of these is written. */
  async ofBatch(writes: readonly ApplyWrite[]): Promise<void> {
    const unasked = writes.filter(({ identity }) => !this.#asked.has(identityKey(identity)));
    const refusal = await this.#ask(unasked);
    if (refusal) throw refusal;
  }

  #asReplaced(write: ApplyWrite): ApplyWrite {
    return this.#replaced.has(identityKey(write.identity)) ? { ...write, op: 'replace' } : write;
  }

  async #ask(writes: readonly (ApplyWrite | HookWrite)[]): Promise<CountersignError | null> {
    let refusal: CountersignError | null = null;
    await concurrently(writes, async (write) => {
      if (refusal) return;
      this.#asked.add(identityKey(write.identity));
      const live = write.op === 'hook' ? null : write.live;
      try {
        await this.cluster.apply(withoutIgnored(write.desired, live, this.environment), { dryRun: true });
      } catch (thrown) {
        const trouble = toCountersignError(thrown);
        // A hook's object of an earlier run is deleted first.
        if (write.op === 'hook' && isImmutable(trouble, write.identity)) return;
        if (write.op !== 'hook' && live && isImmutable(trouble, write.identity)) {
          if (write.desired.directives.recreate) {
            this.#replaced.add(identityKey(write.identity));
            return;
          }
          refusal ??= new CountersignError('cluster-refused', trouble.message, {
            remedy:
              'That field cannot change. Give the object another name, or annotate it with argocd.argoproj.io/sync-options: Force=true to have it deleted and made again',
            cause: trouble,
          });
          return;
        }
        refusal ??= trouble;
      }
    });
    return refusal;
  }
}

/** The API server has no reason of its own for it: an invalid update, in the words of the kind's own validation. */
function isImmutable({ code, message }: CountersignError, { kind }: ObjectIdentity): boolean {
  if (code !== 'cluster-refused' || !message.includes('(422)')) return false;
  // Of a Secret nothing is quoted but the fields: its type and, once it says so, its data can't change.
  if (kind === 'Secret') return /Invalid in (type|data|immutable)/.test(message);
  return /immutable|forbidden: updates to|may not (be )?change|can ?not be (changed|updated|modified)/i.test(message);
}
