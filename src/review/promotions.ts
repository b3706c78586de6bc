import type { Environment } from '../change/environment.js';
import type { ManifestCache } from '../change/manifest-cache.js';
import { type EnvironmentAt, promotion, type Promotion, promotionCommands } from '../change/promotion.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError } from '../errors.js';
import type { Decision } from '../policy/decision.js';
import type { Evaluator } from '../policy/evaluator.js';
import type { Repository } from '../source/repository.js';
import { checkCommits, type Checked, checkFiles, type CheckParts } from './check.js';
import type { Standing } from './governance.js';
import type { ObjectChangeRecord } from './records.js';
import { objectChangeRecords } from './review.js';

/** What a promotion does to the environment that it goes to. Throws `environment-invalid` for two that cannot be promoted. */
export async function checkPromotion(
  repository: Repository,
  from: EnvironmentAt,
  to: EnvironmentAt,
  parts: CheckParts,
): Promise<{ readonly promoted: Promotion; readonly checked: Checked }> {
  const promoted = promotion(repository, from, to);
  const asked = { ...parts, operation: 'promotion' as const };
  const base = to.commit;
  const checked =
    promoted.kind === 'branch'
      ? await checkCommits(repository, to.environment, { base, head: promoted.commit }, asked)
      : await checkFiles(promoted.tree, to.environment, { reader: repository, commit: base }, asked);
  return { promoted, checked };
}

/** One environment as governance in force defines it, and the commit that it is to hold: its pin, else what its ref points to. */
export interface Holding {
  readonly environment: Environment;
  /** Null where its ref is not followed, or not there. */
  readonly commit: string | null;
}

export function holdings({ governance, tips }: Standing): readonly Holding[] {
  return governance.environments.map((environment) => ({
    environment,
    commit: environment.pin?.commit ?? tips.get(environment.ref) ?? null,
  }));
}

export interface PromotionQuestion {
  readonly repository: string;
  readonly from: string;
  readonly to: string;
}

export interface PromotionAnswer {
  readonly from: EnvironmentAt;
  readonly to: EnvironmentAt;
  readonly kind: Promotion['kind'];
  readonly decision: Decision;
  readonly objectChangeCount: number;
  /** The first of them, redacted. */
  readonly objectChanges: readonly ObjectChangeRecord[];
  /** For a shell in a clone: what proposes it; none where nothing would change. */
  readonly commands: readonly string[];
}

interface PromotionParts {
  standing(repository: string): Standing | null;
  reader(repository: string): Repository | undefined;
  readonly evaluator: Evaluator;
  readonly redactor: Redactor;
  readonly cache: ManifestCache;
  readonly now?: () => Date;
}

/** Answers kept. */
const MOST_KEPT = 20;
/** Object changes of one answer. */
const MOST_SHOWN = 500;
/** Questions that wait for the one under way: each may render two whole environments. */
const MOST_WAITING = 16;

/** What promotions would change, by the policy in force in the running service. Nothing is recorded. */
export class Promotions {
  readonly #kept = new Map<string, Promise<PromotionAnswer>>();
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(private readonly parts: PromotionParts) {}

  /** Throws `not-found`, `revision-unknown`, `environment-invalid`; `query-limit` with `retry` while too many are asked for. */
  async ask({ repository, from, to }: PromotionQuestion): Promise<PromotionAnswer> {
    const standing = this.parts.standing(repository);
    const reader = this.parts.reader(repository);
    if (!standing || !reader) {
      throw new CountersignError('not-found', `nothing governs a repository ${repository.slice(0, 80)} here`);
    }
    const [source, target] = [held(standing, from), held(standing, to)];
    const { commit, bundle } = standing.governance;
    const key = JSON.stringify([repository, from, source.commit, to, target.commit, commit, bundle.digest]);
    const known = this.#kept.get(key);
    if (known) return known;
    if (this.#waiting >= MOST_WAITING) {
      throw new CountersignError('query-limit', 'too many promotions are being looked at', {
        remedy: 'Ask again in a moment',
        retry: true,
      });
    }
    const answer = this.#inTurn(() => this.#answer(repository, reader, standing, source, target));
    this.#kept.set(key, answer);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_KEPT) break;
      this.#kept.delete(oldest);
    }
    answer.catch(() => this.#kept.delete(key));
    return answer;
  }

  /** One at a time: what is asked for must not keep what is pushed from being judged. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const done = this.#last.then(work).finally(() => (this.#waiting -= 1));
    // The next one's turn comes whether or not this one could be answered.
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #answer(
    name: string,
    reader: Repository,
    { governance }: Standing,
    from: EnvironmentAt,
    to: EnvironmentAt,
  ): Promise<PromotionAnswer> {
    const { evaluator, redactor, cache, now = () => new Date() } = this.parts;
    const parts = { law: governance, evaluator, redactor, cache, repository: { name, url: '' }, time: now() };
    const { promoted, checked } = await checkPromotion(reader, from, to, parts);
    const { changes } = checked.change;
    return {
      from,
      to,
      kind: promoted.kind,
      decision: checked.decision,
      objectChangeCount: changes.length,
      objectChanges: objectChangeRecords('', changes.slice(0, MOST_SHOWN), redactor),
      commands: changes.length > 0 ? promotionCommands(promoted, from, to) : [],
    };
  }
}

function held(standing: Standing, name: string): EnvironmentAt {
  const all = holdings(standing);
  const found = all.find(({ environment }) => environment.name === name);
  if (!found) {
    throw new CountersignError('environment-invalid', `there is no environment "${name.slice(0, 80)}"`, {
      remedy: `Choose one of ${all.map(({ environment }) => environment.name).join(', ')}`,
    });
  }
  const { environment, commit } = found;
  if (commit !== null) return { environment, commit };
  throw new CountersignError(
    'revision-unknown',
    `${environment.ref} of ${name} is not among the refs that are followed`,
    {
      remedy: 'Push it, or add it under refs: in the configuration',
    },
  );
}
