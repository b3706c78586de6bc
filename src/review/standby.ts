import { GOVERNANCE } from '../change/environment.js';
import { type ErrorCode, toCountersignError } from '../errors.js';
import { approvedOf } from './followed-environments.js';
import type { FollowedRepository, FollowerParts } from './followed-repository.js';
import type { Governance, Standing } from './governance.js';
import { pauseAfter } from './pace.js';
import type { EnvironmentRecord, RepositoryRecord } from './records.js';
import { describeTrouble } from './trouble.js';

/** What a mirror says that has not fetched yet what another instance has seen. */
const NOT_HERE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'revision-unknown',
  'object-missing',
  'repository-missing',
]);
/** Milliseconds between two looks at the records, where nobody says that something is new. */
const PACE = 2_000;

export type StandbyParts = Pick<
  FollowerParts,
  'ledger' | 'records' | 'mirror' | 'governance' | 'cache' | 'events' | 'organisation'
>;

/**
 * A repository that another instance follows, as that one records it: what governs, where the refs are, what is approved. It judges
 * nothing and records nothing, so any number of instances may do this; by it they answer questions, and reconcile what is theirs.
 */
export class StandbyRepository {
  #inForce: { readonly of: string; readonly governance: Governance } | null = null;
  #tips: ReadonlyMap<string, string> = new Map();
  readonly #told = new Map<string, string>();
  #fault = '';
  #wake: (() => void) | null = null;
  #nudged = false;
  #stopped = true;
  #running: Promise<void> | null = null;

  constructor(
    private readonly repository: FollowedRepository,
    private readonly parts: StandbyParts,
  ) {}

  /** Null until something governs. */
  get standing(): Standing | null {
    return this.#inForce && { governance: this.#inForce.governance, tips: this.#tips };
  }

  /** Something new is recorded. */
  nudge(): void {
    this.#nudged = true;
    this.#wake?.();
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    // What it told before may have been told anew meanwhile, by whoever followed.
    this.#inForce = null;
    this.#told.clear();
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
  }

  async #loop(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      this.#nudged = false;
      try {
        await this.#look();
        [failures, this.#fault] = [0, ''];
      } catch (thrown) {
        failures += 1;
        const trouble = describeTrouble(toCountersignError(thrown));
        if (trouble.message !== this.#fault) this.parts.events.fault(trouble, this.repository.name);
        this.#fault = trouble.message;
      }
      if (this.#stopped || this.#nudged) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pauseAfter(PACE, failures));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }

  async #look(): Promise<void> {
    const { records, events, mirror, governance: reader, organisation } = this.parts;
    const { name } = this.repository;
    const [record] = await records.find('repository', { name });
    if (!record || record.governanceCommit === null) return;
    const { governanceCommit: commit, organisationCommit: above } = record;
    const of = signOf(record);
    const tips = await records.find('tip', { repository: name });
    const moved = tips.some((tip) => this.#tips.get(tip.ref) !== tip.commit);
    this.#tips = new Map(tips.map((tip) => [tip.ref, tip.commit]));
    const known = await records.find('environment', { repository: name });
    if (this.#inForce?.of !== of) {
      const lies = organisation && above !== null ? await organisation.at(above) : undefined;
      const governance = await this.#brought([commit], () => reader.read(mirror.repository, commit, lies));
      this.#inForce = { of, governance };
      events.governs(governance, name);
      events.governed?.(name, governance.environments);
    }
    const { governance } = this.#inForce;
    const defined = new Set([GOVERNANCE, ...governance.environments.map((environment) => environment.name)]);
    for (const gone of known.filter((one) => !defined.has(one.name))) {
      if (this.#isNews(gone.name, 'removed')) events.removed(name, gone.name);
    }
    for (const environment of governance.environments) {
      const one = known.find((candidate) => candidate.name === environment.name);
      if (!one?.approved || !this.#isNews(one.name, `${of} ${newsOf(one)}`)) continue;
      try {
        const approved = await this.#brought([one.approved], () => approvedOf(one, environment, this.parts));
        if (approved && !this.#stopped) events.approved(approved);
      } catch (thrown) {
        this.#told.delete(one.name);
        throw thrown;
      }
    }
    // Last: what nobody has approved is only there to be asked about.
    if (moved) await mirror.bring(new Set(this.#tips.values()));
  }

  #isNews(environment: string, sign: string): boolean {
    if (this.#told.get(environment) === sign) return false;
    this.#told.set(environment, sign);
    return true;
  }

  /** Reads from the mirror, after it has fetched what it lacks. */
  async #brought<T>(commits: readonly string[], read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (thrown) {
      if (!NOT_HERE.has(toCountersignError(thrown).code)) throw thrown;
      await this.parts.mirror.bring(new Set(commits));
      return read();
    }
  }
}

const signOf = ({ governanceCommit, organisationCommit, bundleDigest }: RepositoryRecord): string =>
  [governanceCommit, organisationCommit, bundleDigest].join(' ');
const newsOf = ({ approvedDecision, noLongerCompliant }: EnvironmentRecord): string =>
  `${approvedDecision ?? ''} ${noLongerCompliant}`;
