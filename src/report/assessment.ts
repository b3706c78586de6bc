import type { Outcome, Violation } from '../policy/decision.js';
import { approverOf, selfApproved } from '../review/decision-terms.js';
import type { Control } from './controls.js';
import { List, type Listed } from './collectors.js';
import type { DecidedChange } from './population.js';

/** An entry of the log that shows what was counted. */
export interface Shown {
  readonly index: number;
  readonly leafHash: string;
  readonly repository: string;
  readonly environment: string;
  /** RFC 3339, UTC. */
  readonly time: string;
}

/** What a population shows of one control. */
export interface ControlEvidence {
  readonly control: Control;
  /** Decisions under a policy of which a rule answers it, or one that it is like. */
  readonly judged: number;
  /** In which such a rule denied, or asked for more. */
  readonly refused: Listed<Shown>;
  /** That were allowed although such a rule denied, by an exception. */
  readonly excused: Listed<Shown>;
}

/** What a population shows, from one pass over it, in memory that its controls take, not its rows. */
export interface Assessment {
  readonly rows: number;
  /** When the first decision was made; null without any. */
  readonly first: string | null;
  readonly outcomes: Readonly<Record<Outcome, Listed<Shown>>>;
  readonly approved: Listed<Shown>;
  /** Allowed, no emergency, and nobody else approved. */
  readonly unapproved: Listed<Shown>;
  readonly selfApproved: Listed<Shown>;
  readonly emergencies: Listed<Shown>;
  /** Emergency changes that nobody reviewed in time. */
  readonly unreviewed: Listed<Shown>;
  readonly deployed: Listed<Shown>;
  readonly controls: readonly ControlEvidence[];
}

/** `at`: the moment by which reviews are due or not, RFC 3339. */
export async function assess(
  pages: AsyncIterable<Iterable<DecidedChange>>,
  controls: readonly Control[],
  at: string,
): Promise<Assessment> {
  const gathering = new Gathering(controls, at);
  for await (const page of pages) for (const row of page) gathering.add(row);
  return gathering.assessment();
}

class Gathering {
  #rows = 0;
  #first: string | null = null;
  readonly #outcomes = { allow: lists(), deny: lists(), pending: lists(), error: lists() };
  readonly #approved = lists();
  readonly #unapproved = lists();
  readonly #selfApproved = lists();
  readonly #emergencies = lists();
  readonly #unreviewed = lists();
  readonly #deployed = lists();
  /** What the rules of a bundle answer is the same for all of its decisions: they are counted, and it is asked once. */
  readonly #bundles = new Map<string, { count: number; readonly controls: readonly string[] }>();
  readonly #refused = new Map<string, List<Shown>>();
  readonly #excused = new Map<string, List<Shown>>();

  /** By what rules name: the controls that it answers, those that are like it among them. */
  readonly #answered = new Map<string, string[]>();

  constructor(
    private readonly controls: readonly Control[],
    private readonly at: string,
  ) {
    for (const { id, like } of controls) {
      for (const name of new Set([id, ...like])) this.#answered.set(name, [...(this.#answered.get(name) ?? []), id]);
    }
  }

  add(row: DecidedChange): void {
    const { index, leafHash, repository, environment, time, outcome, bundleDigest, controls, duty } = row;
    const shown: Shown = { index, leafHash, repository, environment, time };
    this.#rows += 1;
    if (this.#first === null || time < this.#first) this.#first = time;
    this.#outcomes[outcome].add(shown);
    const bundle = this.#bundles.get(bundleDigest);
    if (bundle) bundle.count += 1;
    else this.#bundles.set(bundleDigest, { count: 1, controls });
    for (const id of this.#named([...row.violations, ...row.required])) listOf(this.#refused, id).add(shown);
    if (row.run?.outcome === 'succeeded') this.#deployed.add(shown);
    const emergency = row.change.operation === 'break_glass';
    if (emergency) this.#emergencies.add(shown);
    if (duty && (duty.closedAt ?? this.at) > duty.dueAt) this.#unreviewed.add(shown);
    if (outcome !== 'allow') return;
    for (const id of this.#named(row.excepted)) listOf(this.#excused, id).add(shown);
    const approved = row.approvals.some((approval) => approverOf(approval) !== null);
    if (approved) this.#approved.add(shown);
    else if (!emergency) this.#unapproved.add(shown);
    if (selfApproved(row.commits, row.approvals)) this.#selfApproved.add(shown);
  }

  /** Each control once, however many rules of a decision name it. */
  #named(violations: readonly Violation[]): ReadonlySet<string> {
    return new Set(violations.flatMap(({ controls }) => controls.flatMap((id) => this.#answered.get(id) ?? [])));
  }

  assessment(): Assessment {
    const { allow, deny, pending, error } = this.#outcomes;
    return {
      rows: this.#rows,
      first: this.#first,
      outcomes: { allow: allow.listed(), deny: deny.listed(), pending: pending.listed(), error: error.listed() },
      approved: this.#approved.listed(),
      unapproved: this.#unapproved.listed(),
      selfApproved: this.#selfApproved.listed(),
      emergencies: this.#emergencies.listed(),
      unreviewed: this.#unreviewed.listed(),
      deployed: this.#deployed.listed(),
      controls: this.controls.map((control) => {
        const ids = [control.id, ...control.like];
        const under = [...this.#bundles.values()].filter(({ controls }) => ids.some((id) => controls.includes(id)));
        return {
          control,
          judged: under.reduce((sum, { count }) => sum + count, 0),
          refused: listOf(this.#refused, control.id).listed(),
          excused: listOf(this.#excused, control.id).listed(),
        };
      }),
    };
  }
}

const lists = (): List<Shown> => new List<Shown>();

function listOf(of: Map<string, List<Shown>>, id: string): List<Shown> {
  const known = of.get(id) ?? lists();
  of.set(id, known);
  return known;
}
