import type { Outcome } from '../policy/decision.js';
import { approverOf, selfApproved, signersOf, ticketsOf } from '../review/decision-terms.js';
import { type DecidedChange, trailersOf } from './population.js';
import { Leads, List, type Listed, Tally } from './collectors.js';
import { Sample } from './sample.js';
import type { Counts } from './statistics.js';

/** Exceptions that are listed. */
const MOST_EXCEPTIONS = 100;

/** One change in a list. */
export interface ReportedChange {
  readonly index: number;
  readonly leafHash: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly repository: string;
  readonly environment: string;
  readonly outcome: Outcome;
  readonly head: string;
  readonly title: string;
  readonly signers: readonly string[];
  readonly approvers: readonly string[];
  readonly tickets: readonly string[];
  /** When it was live; null if it never was. */
  readonly liveAt: string | null;
  readonly rules: readonly string[];
}

export interface EmergencyChange extends ReportedChange {
  readonly reason: string | null;
  readonly dueAt: string | null;
  readonly reviewedBy: string | null;
  readonly reviewedAt: string | null;
}

export interface UsedException {
  readonly rule: string;
  readonly ticket: string | null;
  readonly expires: string | null;
  readonly decisions: number;
}

export type OutcomeCounts = Readonly<Record<Outcome, number>>;

/** What a change-management report says, from one pass over its population; in seconds where it says how long. */
export interface ManagementReport {
  readonly decisions: OutcomeCounts;
  readonly deployed: number;
  readonly failedRuns: number;
  readonly commits: number;
  readonly unsignedCommits: number;
  readonly objects: number;
  /** By day, week or month, whichever gives a chart that can be read. */
  readonly course: {
    readonly unit: 'day' | 'week' | 'month';
    readonly bars: readonly ({ readonly from: string } & OutcomeCounts)[];
  };
  readonly environments: readonly EnvironmentFigures[];
  readonly deniedBy: Counts;
  readonly signers: Counts;
  readonly approvers: Counts;
  readonly controls: Counts;
  readonly unapproved: Listed<ReportedChange>;
  readonly selfApproved: Listed<ReportedChange>;
  readonly emergencies: Listed<EmergencyChange>;
  readonly denied: Listed<ReportedChange>;
  readonly exceptions: readonly UsedException[];
  readonly sample: readonly DecidedChange[];
}

export interface EnvironmentFigures {
  readonly repository: string;
  readonly environment: string;
  readonly decisions: OutcomeCounts;
  readonly deployed: number;
  readonly emergencies: number;
  /** From when the head was first seen until it was live, half of them no longer; null without any. */
  readonly medianLead: number | null;
}

/** Goes through a population once, in memory that its environments, rules and people take, not its rows. */
export async function managementReport(
  pages: AsyncIterable<Iterable<DecidedChange>>,
  sampling: { readonly seed: string; readonly size: number },
): Promise<ManagementReport> {
  const gathering = new Gathering(new Sample<DecidedChange>(sampling.seed, sampling.size));
  for await (const page of pages) for (const row of page) gathering.add(row);
  return gathering.report();
}

const none = (): Record<Outcome, number> => ({ allow: 0, deny: 0, pending: 0, error: 0 });

interface Place {
  readonly decisions: Record<Outcome, number>;
  deployed: number;
  emergencies: number;
  readonly leads: Leads;
}

class Gathering {
  readonly #decisions = none();
  readonly #days = new Map<string, Record<Outcome, number>>();
  readonly #places = new Map<string, Place>();
  readonly #deniedBy = new Tally();
  readonly #signers = new Tally();
  readonly #approvers = new Tally();
  readonly #controls = new Tally();
  readonly #unapproved = new List<ReportedChange>();
  readonly #selfApproved = new List<ReportedChange>();
  readonly #emergencies = new List<EmergencyChange>();
  readonly #denied = new List<ReportedChange>();
  readonly #exceptions = new Map<string, { -readonly [K in keyof UsedException]: UsedException[K] }>();
  #deployed = 0;
  #failedRuns = 0;
  #commits = 0;
  #unsigned = 0;
  #objects = 0;

  constructor(private readonly sample: Sample<DecidedChange>) {}

  add(row: DecidedChange): void {
    const { outcome, run } = row;
    const live = run?.outcome === 'succeeded' ? run.finishedAt : null;
    this.sample.offer(row);
    this.#decisions[outcome] += 1;
    const day = row.time.slice(0, 10);
    const counts = this.#days.get(day) ?? none();
    counts[outcome] += 1;
    this.#days.set(day, counts);
    const place = this.#place(row);
    place.decisions[outcome] += 1;
    this.#commits += row.commitCount;
    this.#unsigned += row.commits.filter(({ signature }) => signature.status !== 'verified').length;
    this.#objects += row.objectChanges;
    if (live !== null) {
      this.#deployed += 1;
      place.deployed += 1;
      const seen = row.commits[0]?.firstSeen;
      if (seen !== undefined) place.leads.add((Date.parse(live) - Date.parse(seen)) / 1000);
    } else if (run?.outcome === 'failed') this.#failedRuns += 1;
    const change = reported(row, live);
    this.#deniedBy.add(change.rules);
    this.#signers.add(change.signers);
    this.#approvers.add(change.approvers);
    this.#controls.add([row.violations, row.required].flat().flatMap(({ controls }) => controls));
    for (const exception of row.exceptions) this.#use(exception);
    const emergency = row.change.operation === 'break_glass';
    if (emergency) {
      place.emergencies += 1;
      const { duty } = row;
      this.#emergencies.add({ ...change, reason: duty?.reason ?? null, dueAt: duty?.dueAt ?? null, reviewedBy: duty?.by ?? null, reviewedAt: duty?.closedAt ?? null }); // prettier-ignore
    }
    if (outcome === 'deny') this.#denied.add(change);
    if (outcome !== 'allow') return;
    if (change.approvers.length === 0 && !emergency) this.#unapproved.add(change);
    if (selfApproved(row.commits, row.approvals)) this.#selfApproved.add(change);
  }

  #place({ repository, environment }: DecidedChange): Place {
    const key = JSON.stringify([repository, environment]);
    const known = this.#places.get(key);
    if (known) return known;
    const place = { decisions: none(), deployed: 0, emergencies: 0, leads: new Leads() };
    this.#places.set(key, place);
    return place;
  }

  #use({ id, rule, ticket, expires }: DecidedChange['exceptions'][number]): void {
    const known = this.#exceptions.get(id);
    if (known) known.decisions += 1;
    else this.#exceptions.set(id, { rule: rule ?? '', ticket, expires, decisions: 1 });
  }

  report(): ManagementReport {
    return {
      decisions: this.#decisions,
      deployed: this.#deployed,
      failedRuns: this.#failedRuns,
      commits: this.#commits,
      unsignedCommits: this.#unsigned,
      objects: this.#objects,
      course: courseOf(this.#days),
      environments: [...this.#places]
        .map(([key, { leads, ...place }]) => {
          const [repository, environment] = JSON.parse(key) as [string, string];
          return { repository, environment, ...place, medianLead: leads.median() };
        })
        .toSorted((a, b) => (`${a.repository} ${a.environment}` < `${b.repository} ${b.environment}` ? -1 : 1)),
      deniedBy: this.#deniedBy.counts(),
      signers: this.#signers.counts(),
      approvers: this.#approvers.counts(),
      controls: this.#controls.counts(),
      unapproved: this.#unapproved.listed(),
      selfApproved: this.#selfApproved.listed(),
      emergencies: this.#emergencies.listed(),
      denied: this.#denied.listed(),
      exceptions: [...this.#exceptions.values()]
        .toSorted((a, b) => b.decisions - a.decisions)
        .slice(0, MOST_EXCEPTIONS),
      sample: this.sample.rows(),
    };
  }
}

function reported(row: DecidedChange, liveAt: string | null): ReportedChange {
  const { index, leafHash, time, repository, environment, outcome, change, commits, approvals, violations } = row;
  const made = commits.map((commit) => ({ ...commit, trailers: trailersOf(commit) }));
  return {
    index,
    leafHash,
    time,
    repository,
    environment,
    outcome,
    head: change.head,
    title: commits[0]?.message.split('\n', 1)[0] ?? '',
    signers: signersOf(commits),
    approvers: [...new Set(approvals.flatMap((approval) => approverOf(approval) ?? []))],
    tickets: ticketsOf(made),
    liveAt,
    rules: [...new Set(violations.map(({ rule }) => rule))],
  };
}

const DAY = 86_400_000;
/** Bars of a chart that is as wide as a page. */
const MOST_BARS = 62;

function courseOf(days: ReadonlyMap<string, OutcomeCounts>): ManagementReport['course'] {
  const known = [...days.keys()].toSorted();
  if (known.length === 0) return { unit: 'day', bars: [] };
  const [first, last] = [Date.parse(known[0]), Date.parse(known.at(-1)!)];
  const span = (last - first) / DAY + 1;
  const unit = span <= MOST_BARS ? 'day' : span <= MOST_BARS * 7 ? 'week' : 'month';
  const bars = new Map<string, Record<Outcome, number>>();
  // Every day is gone through, so that one without a change is a gap.
  for (let at = first; at <= last; at += DAY) {
    const day = new Date(at).toISOString().slice(0, 10);
    const from = startOf(unit, at);
    const bar = bars.get(from) ?? none();
    for (const outcome of ['allow', 'deny', 'pending', 'error'] as const) bar[outcome] += days.get(day)?.[outcome] ?? 0;
    bars.set(from, bar);
  }
  return { unit, bars: [...bars].map(([from, counts]) => ({ from, ...counts })) };
}

/** The Monday of the week (ISO 8601), or the first of the month. */
function startOf(unit: 'day' | 'week' | 'month', at: number): string {
  const day = new Date(at).toISOString().slice(0, 10);
  if (unit === 'day') return day;
  if (unit === 'month') return `${day.slice(0, 7)}-01`;
  const monday = at - ((new Date(at).getUTCDay() + 6) % 7) * DAY;
  return new Date(monday).toISOString().slice(0, 10);
}
