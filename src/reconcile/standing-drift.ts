import type { Environment } from '../change/environment.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { ObjectIdentity } from '../cluster/object.js';
import type { Finding } from './finding.js';
import { driftMode } from './judged.js';
import { formatPath } from './managed-fields.js';

/** Drift that is recorded and left where it is: told once, and again when it is another. */
export class StandingDrift {
  /** By object, what it is. */
  readonly #reported = new Map<string, string>();
  /** Found changed when this process began, where that is only reported. */
  #foundAtStart: ReadonlySet<string> = new Set();

  /** Objects whose drift stays. */
  get keys(): Iterable<string> {
    return this.#reported.keys();
  }

  /** What was changed while nobody looked is not put right where that is only reported, until Git changes it. */
  foundAtStart({ reconcile }: Environment, findings: readonly Finding[]): void {
    if (this.#foundAtStart.size > 0 || reconcile?.afterOutage !== 'report') return;
    this.#foundAtStart = new Set(findings.map(({ key }) => key));
  }

  isLeft(key: string, identity: ObjectIdentity, environment: Environment | undefined): boolean {
    return this.#foundAtStart.has(key) || (environment !== undefined && driftMode(identity, environment) !== 'correct');
  }

  /** Those of the findings that were not told yet. What is looked at and not found any more is forgotten. */
  untold(looked: ReadonlySet<string>, left: readonly Finding[]): Finding[] {
    for (const key of looked) if (!left.some((finding) => finding.key === key)) this.#reported.delete(key);
    return left.filter((finding) => this.#reported.get(finding.key) !== signOf(finding));
  }

  told(findings: readonly Finding[]): void {
    for (const finding of findings) this.#reported.set(finding.key, signOf(finding));
  }

  /** What Git changed as well was written over. */
  written(keys: Iterable<string>): void {
    const left = new Set(this.#foundAtStart);
    for (const key of keys) {
      this.#reported.delete(key);
      left.delete(key);
    }
    this.#foundAtStart = left;
  }
}

/** What a drift is, whatever else changes in the object meanwhile. */
function signOf({ type, live, differences }: Finding): string {
  const fields = differences.map((one) => [one.type, formatPath(one.path), one.live ?? null]);
  return canonicalJson([type, type === 'modified' ? '' : (live?.metadata.uid ?? ''), fields]);
}
