import type { CountersignError } from '../errors.js';
import { toCountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import { decision as decide, judgedIn } from '../policy/decide.js';
import type { Decision, Outcome, Violation } from '../policy/decision.js';
import type { Evaluator, RuleResult } from '../policy/evaluator.js';
import type { PolicyInput } from '../policy/input.js';
import { type ImpactTally, NO_IMPACT, tallied } from './impact-tally.js';

/** A recorded decision with the input that it was made of. */
export interface PastDecision {
  /** Log index. */
  readonly index: number;
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly time: string;
  readonly outcome: Outcome;
  readonly violations: readonly Violation[];
  readonly required: readonly Violation[];
  /** Canonical JSON; null where it was erased or could never be made. */
  readonly input: string | null;
}

export interface PastRange {
  /** Null: of every repository. */
  readonly repository: string | null;
  /** RFC 3339. */
  readonly since: string;
  /** Log index after which to go on. */
  readonly after: number;
}

/** Reads recorded decisions in the order of the log. Throws `database-unavailable`, `content-corrupt`. */
export interface PastDecisions {
  /** The newest of a repository, in the order of the log. */
  recent(repository: string, count: number): Promise<readonly PastDecision[]>;
  count(range: PastRange): Promise<number>;
  read(range: PastRange, limit: number): Promise<readonly PastDecision[]>;
}

/** How far an analysis is: all that is needed to go on with it. */
export interface ImpactState {
  readonly bundleDigest: string;
  readonly repository: string | null;
  readonly since: string;
  readonly after: number;
  readonly total: number;
  readonly tally: ImpactTally;
}

const PAGE = 256;

export function newImpact(bundle: PolicyBundle, repository: string | null, since: string): ImpactState {
  return { bundleDigest: bundle.digest, repository, since, after: -1, total: 0, tally: NO_IMPACT };
}

/**
 * Judges recorded decisions again by another policy, from the inputs that the log keeps, and tells what would differ. Yields after each
 * page a state from which the same analysis goes on, also in another process; the evaluator's threads share the work, and the next page
 * is read meanwhile.
 */
export async function* analyseImpact(
  past: PastDecisions,
  bundle: PolicyBundle,
  evaluator: Evaluator,
  begun: ImpactState,
): AsyncGenerator<ImpactState> {
  const { repository, since } = begun;
  let state = { ...begun, total: begun.tally.decisions + (await past.count(begun)) };
  yield state;
  const read = (after: number): Promise<readonly PastDecision[]> => past.read({ repository, since, after }, PAGE);
  let next = read(state.after);
  for (let page = await next; page.length > 0; page = await next) {
    const after = page[page.length - 1].index;
    next = read(after);
    next.catch(() => {}); // thrown where it is awaited
    const tally = tallied(state.tally, await judgeAgain(page, bundle, evaluator));
    state = { ...state, after, tally, total: Math.max(state.total, tally.decisions) };
    yield state;
  }
}

/** How many decisions a change of policy is held against before it is let in. */
const RECENT = 200;

/** Decisions that are judged at a time, and milliseconds after which no more are begun: the change itself waits for this. */
const CHUNK = 25;
const PATIENCE = 10_000;

/** What a proposed policy would have done to a repository's newest decisions; of a slow one as many as there is time for. */
export async function recentImpact(
  past: PastDecisions,
  repository: string,
  bundle: PolicyBundle,
  evaluator: Evaluator,
  before = NO_IMPACT,
): Promise<ImpactTally> {
  const decisions = await past.recent(repository, RECENT);
  const deadline = performance.now() + PATIENCE;
  let tally = before;
  for (let end = decisions.length; end > 0 && performance.now() < deadline; end -= CHUNK) {
    tally = tallied(tally, await judgeAgain(decisions.slice(Math.max(0, end - CHUNK), end), bundle, evaluator));
  }
  return tally;
}

/** A past decision and what it would be now. */
export interface Compared {
  readonly past: PastDecision;
  /** Null for what cannot be judged again. */
  readonly now: Pick<Decision, 'outcome' | 'violations' | 'required'> | null;
  /** By whom what changed is owned; the repository where nobody says. */
  readonly teams: readonly string[];
}

export async function judgeAgain(
  page: readonly PastDecision[],
  bundle: PolicyBundle,
  evaluator: Evaluator,
): Promise<readonly Compared[]> {
  const inputs = page.map(({ input }) => input).filter((input) => input !== null);
  let results: readonly (readonly RuleResult[] | CountersignError)[];
  try {
    results = await evaluator.evaluateMany(bundle, inputs);
  } catch (thrown) {
    results = inputs.map(() => toCountersignError(thrown));
  }
  let at = 0;
  return page.map((past) => {
    const { input, repository, violations, outcome } = past;
    if (input === null) return { past, now: null, teams: [repository] };
    const result = results[at++];
    const value = JSON.parse(input) as PolicyInput;
    const teams = [...new Set((value.owners ?? []).flatMap(({ owners }) => owners))];
    const judged = decide(bundle, input, judgedIn(value), result);
    // What could not be read then can be read no better by another policy.
    const unread = violations.filter(({ rule }) => rule.startsWith('reading.'));
    const now = {
      ...judged,
      outcome: unread.length > 0 && judged.outcome !== 'error' ? ('deny' as const) : judged.outcome,
      violations: [...unread, ...judged.violations],
    };
    return { past, now: outcome === 'error' && judged.outcome === 'error' ? null : now, teams: teams.length > 0 ? teams : [repository] }; // prettier-ignore
  });
}
