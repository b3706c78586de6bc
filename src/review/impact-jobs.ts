import { toCountersignError } from '../errors.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { Evaluator } from '../policy/evaluator.js';
import { analyseImpact, type ImpactState, newImpact, type PastDecisions } from './impact.js';
import { type LiveImpact, liveImpact, NOTHING_LIVE } from './impact-live.js';
import type { LiveEnvironments } from './judge-live.js';
import type { Trouble } from './records.js';
import { describeTrouble } from './trouble.js';

/** Where states of analyses are kept, so that another process goes on with them. */
export interface ImpactStates {
  load(start: ImpactState): Promise<ImpactState | null>;
  save(state: ImpactState): Promise<void>;
}

/** How far an analysis is, for whoever asked for it. */
export interface ImpactReport extends ImpactState {
  readonly commit: string;
  readonly progress: 'running' | 'finished' | 'failed';
  readonly trouble: Trouble | null;
  readonly live: LiveImpact;
}

export interface ImpactParts {
  readonly past: PastDecisions;
  readonly live: LiveEnvironments;
  readonly evaluator: Evaluator;
  readonly states: ImpactStates;
  /** What a repository would be judged by at a commit. Throws `not-found`, `revision-unknown`, `rego-invalid` and its kin. */
  readonly bundleOf: (repository: string, commit: string) => Promise<PolicyBundle>;
}

/** Reports that are remembered; the states of older ones are still kept. */
const REMEMBERED = 50;

/** Analyses for those who ask over the network: one at a time, and who asks again is told how far it is. */
export class ImpactJobs {
  readonly #reports = new Map<string, ImpactReport>();
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(private readonly parts: ImpactParts) {}

  /** Begins it if nobody has; resolves at once. A finished one goes on with what came since, if anything did. */
  async ask(repository: string, commit: string, since: string): Promise<ImpactReport> {
    const key = JSON.stringify([repository, commit, since]);
    const known = this.#reports.get(key);
    if (known?.progress === 'running') return known;
    if (known?.progress === 'finished' && (await this.parts.past.count(known)) === 0) return known;
    const bundle = await this.parts.bundleOf(repository, commit);
    const again = this.#reports.get(key);
    if (again?.progress === 'running') return again; // somebody else asked meanwhile
    const start = newImpact(bundle, repository, since);
    const begun = (await this.parts.states.load(start)) ?? start;
    const live = known?.live ?? NOTHING_LIVE;
    const report: ImpactReport = { ...begun, commit, progress: 'running', trouble: null, live };
    if (this.#reports.size >= REMEMBERED) this.#reports.delete(this.#reports.keys().next().value!);
    this.#reports.set(key, report);
    this.#turn = this.#turn.then(() => this.#run(key, report, bundle));
    return report;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
  }

  async #run(key: string, begun: ImpactReport, bundle: PolicyBundle): Promise<void> {
    const { past, live: running, evaluator, states } = this.parts;
    const { commit, progress: _progress, trouble: _trouble, live: _live, ...start } = begun;
    const report = (more: Partial<ImpactReport>): void => {
      this.#reports.set(key, { ...(this.#reports.get(key) ?? begun), ...more, commit });
    };
    try {
      for await (const state of analyseImpact(past, bundle, evaluator, start)) {
        report(state);
        await states.save(state);
        if (this.#closed) return;
      }
      let live = NOTHING_LIVE;
      for await (const one of running.all(begun.repository)) {
        live = await liveImpact(live, one, bundle, evaluator, await running.teams(one));
      }
      report({ live, progress: 'finished' });
    } catch (thrown) {
      report({ progress: 'failed', trouble: describeTrouble(toCountersignError(thrown)) });
    }
  }
}
