import type { JsonObject } from '../cluster/object.js';
import { formatNumber } from './conclusions.js';
import type { LoggedEntry } from './entry.js';
import { invalid } from './evidence.js';
import { TextSet } from './text-set.js';

/** What entries claim of those before them: pushes of decisions, allows of runs, exceptions that counted. Of all that came it keeps little. */
export class Precedence {
  decisions = 0;
  runs = 0;
  finished = 0;
  /** Ids of those that decisions used. */
  readonly exceptions = new Set<unknown>();
  readonly #pushes = new TextSet();
  readonly #allowed = new TextSet();
  /** Ids of exceptions that counted when they were last told of. */
  readonly #counting = new Set<unknown>();
  readonly #open = new Set<string>();

  /** The next entry. Throws `bundle-invalid` for one that names what was not logged before it. */
  read(entry: LoggedEntry): void {
    if (entry.type === 'push') this.#readPush(entry.predicate);
    if (entry.type === 'exception') this.#readException(entry.predicate);
    if (entry.type === 'decision') this.#readDecision(entry);
    if (entry.type === 'run') this.#readRun(entry);
  }

  get unfinished(): string {
    const open = this.runs - this.finished;
    return open === 0 ? 'all finished' : `${formatNumber(open)} not finished when this was exported`;
  }

  #readPush({ id }: JsonObject): void {
    if (typeof id === 'string') this.#pushes.add(id);
  }

  #readException({ id, status }: JsonObject): void {
    if (status === 'accepted') this.#counting.add(id);
    else this.#counting.delete(id);
  }

  #readDecision({ index, predicate }: LoggedEntry): void {
    this.decisions += 1;
    const { outcome, pushEntry, advice, exceptions } = predicate;
    if (typeof pushEntry === 'string' && !this.#pushes.has(pushEntry)) {
      throw invalid(`decision ${index} names a push that was not logged before it`);
    }
    for (const exception of Array.isArray(exceptions) ? exceptions : []) {
      // One that a trial or advice on a request names may lie in what was only proposed; nobody deploys by those.
      if (!advice && !this.#counting.has(exception))
        throw invalid(`decision ${index} used an exception that did not count by what was logged before it`);
      this.exceptions.add(exception);
    }
    // A run under advice is a run under no decision.
    if (outcome === 'allow' && !advice) this.#allowed.add(allow(index, predicate['id'], predicate));
  }

  #readRun({ index, predicate }: LoggedEntry): void {
    const { phase, id } = predicate;
    if (typeof id !== 'string') throw invalid(`entry ${index} is a run without an id`);
    if (phase === 'started') {
      if (!this.#allowed.has(allow(predicate['decision'], predicate['decisionId'], predicate))) {
        throw invalid(
          `run ${id} (entry ${index}) started without an allow for its ${JSON.stringify(predicate['environment'])} and commit logged before it`,
        );
      }
      if (this.#open.has(id)) throw invalid(`run ${id} (entry ${index}) started twice`);
      this.#open.add(id);
      this.runs += 1;
    } else if (this.#open.delete(id)) {
      this.finished += 1;
    } else {
      throw invalid(`run ${id} (entry ${index}) finished without having started`);
    }
  }
}

/** What a run must have in common with the decision that it names. */
function allow(index: unknown, id: unknown, { repository, environment, head }: JsonObject): string {
  return JSON.stringify([index, id, repository, environment, head].map((part) => part ?? null));
}
