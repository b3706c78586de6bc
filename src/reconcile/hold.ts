import type { ReconcileSettings } from '../change/reconcile-settings.js';
import { CountersignError } from '../errors.js';
import { closedWindow, suspension, type Held } from './windows.js';

/** What people hold an environment by, as governance has it now, whatever is approved under it. */
export class Hold {
  #settings: ReconcileSettings | undefined;
  #suspended = false;
  #until = Infinity;

  configure(settings: ReconcileSettings | undefined): void {
    this.#settings = settings;
  }

  /** True while nothing at all is written. */
  get isSuspended(): boolean {
    return this.#suspended;
  }

  /** When what holds it may have ended, in milliseconds since the epoch. */
  get until(): number {
    return this.#until;
  }

  /** Why nothing new may be written now, or nothing at all. `resumed`: it was suspended the last time. */
  look(
    isApplied: boolean,
    now: number,
    waits: Held | null = null,
  ): { readonly held: Held | null; readonly resumed: boolean } {
    const suspended = suspension(this.#settings, now);
    const resumed = this.#suspended && suspended === null;
    this.#suspended = suspended !== null;
    const held = suspended ?? (isApplied ? null : (closedWindow(this.#settings, now) ?? waits));
    this.#until = held?.until ?? Infinity;
    return { held, resumed };
  }
}

export function heldTrouble(environment: string, { reason, remedy }: Held): CountersignError {
  return new CountersignError('suspended', `nothing is changed in ${environment}: ${reason}`, {
    remedy: remedy ?? 'Lift it in countersign.yaml: countersign resume',
  });
}
