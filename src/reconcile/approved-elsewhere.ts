import type { ObjectIdentity } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import type { ApprovedState } from './admission.js';
import type { ApprovedChange } from './gate.js';
import type { Inventory } from './inventory.js';
import { desiredOf, isKept, type Desired } from './plan.js';

/** What an environment is approved to be that another instance reconciles: for those who ask here what may be written. */
export class ApprovedElsewhere {
  #desired: Desired | null = null;

  constructor(
    private readonly approved: ApprovedChange,
    private readonly inventory: Inventory,
    private readonly redactor: Redactor,
  ) {}

  /** Undefined for what is not governed here. What the server made of it, only the instance knows that wrote it. */
  approvedState(key: string): ApprovedState | undefined {
    const object = this.#readable().get(key);
    if (object && !isKept(object)) return undefined;
    if (object) return { sent: object.sent, expected: undefined };
    return this.inventory.get(key)?.hook === null ? null : undefined;
  }

  governs(test: (identity: ObjectIdentity) => boolean): ObjectIdentity | undefined {
    for (const { identity } of this.inventory.values()) if (test(identity)) return identity;
    return this.approved.objects.map(({ identity }) => identity).find(test);
  }

  /** Nothing, where its annotations cannot be understood: whoever reconciles it says so. */
  #readable(): Desired {
    if (this.#desired) return this.#desired;
    try {
      this.#desired = desiredOf(this.approved, this.inventory, this.redactor);
    } catch {
      this.#desired = new Map();
    }
    return this.#desired;
  }
}
