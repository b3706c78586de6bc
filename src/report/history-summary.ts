import type { Decision, Violation } from '../policy/decision.js';
import type { JudgedCommit } from '../review/judge-history.js';

/** The last line of `countersign history`. */
export interface HistoryLine {
  readonly commits: number;
  readonly objectChanges: number;
  /** allowed + denied = commits. */
  readonly allowed: number;
  readonly denied: number;
  /** Commits that each rule denied. */
  readonly byRule: Readonly<Record<string, number>>;
  /** The same for rules about how a change came about, where those are told but not counted as denials. */
  readonly notCounted: Readonly<Record<string, number>>;
  /** Commits in which an exception kept a rule from denying, by rule; and how many exceptions were used at all. */
  readonly excepted: Readonly<Record<string, number>>;
  readonly exceptionsUsed: number;
  /** Commits that could not be judged; they are among the denied (invariant 7). */
  readonly errors: number;
  /** Versions of files that could not be read. */
  readonly unreadable: number;
  readonly seconds: number;
}

/** Adds up the judgements of a history. */
export class HistorySummary {
  private commits = 0;
  private objectChanges = 0;
  private denied = 0;
  private errors = 0;
  private unreadable = 0;
  private readonly byRule = new Map<string, number>();
  private readonly notCounted = new Map<string, number>();
  private readonly excepted = new Map<string, number>();
  private readonly exceptions = new Set<string>();

  /** `strict`: rules about signatures and approvals deny, too. */
  constructor(private readonly strict: boolean) {}

  /** True if the commit counts as allowed. */
  add({ step, decision }: JudgedCommit): boolean {
    const said = [...decision.violations, ...decision.required];
    const counted = this.counted(decision);
    this.commits++;
    this.objectChanges += step.changes.length;
    this.unreadable += step.unreadable.length;
    if (decision.outcome === 'error') this.errors++;
    count(this.byRule, counted);
    count(this.notCounted, said.filter((violation) => !counted.includes(violation))); // prettier-ignore
    count(this.excepted, decision.excepted);
    for (const { id } of decision.exceptions) this.exceptions.add(id);
    const allowed = counted.length === 0 && decision.outcome !== 'error';
    if (!allowed) this.denied++;
    return allowed;
  }

  /** What of a decision denies here. */
  counted({ violations, required }: Decision): readonly Violation[] {
    const said = [...violations, ...required];
    return this.strict ? said : said.filter((violation) => !isChangeControl(violation));
  }

  line(seconds: number): HistoryLine {
    return {
      commits: this.commits,
      objectChanges: this.objectChanges,
      allowed: this.commits - this.denied,
      denied: this.denied,
      byRule: sorted(this.byRule),
      notCounted: sorted(this.notCounted),
      excepted: sorted(this.excepted),
      exceptionsUsed: this.exceptions.size,
      errors: this.errors,
      unreadable: this.unreadable,
      seconds: Math.round(seconds * 1000) / 1000,
    };
  }
}

/** About how a change came about, not about any object: commits before a policy was there could not have met it. */
function isChangeControl({ kind, object }: Violation): boolean {
  return kind === 'require' || object === undefined;
}

function count(into: Map<string, number>, violations: readonly Violation[]): void {
  for (const rule of new Set(violations.map((violation) => violation.rule))) into.set(rule, (into.get(rule) ?? 0) + 1);
}

function sorted(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)));
}
