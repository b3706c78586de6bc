import type { ManifestCache } from './change/manifest-cache.js';
import { render } from './change/render.js';
import { identityKey } from './cluster/object.js';
import type { Redactor } from './cluster/secret.js';
import { CountersignError } from './errors.js';
import type { Cluster } from './reconcile/cluster.js';
import type { Deployments } from './reconcile/deployments.js';
import { answerBlame, type BlameAnswer, type BlameQuestion } from './report/blame-question.js';
import type { Queries } from './report/queries.js';
import type { Standing } from './review/governance.js';
import type { TreeReader } from './source/repository.js';

export interface BlamingParts {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly deployments: Deployments;
  readonly redactor: Redactor;
  readonly cache: ManifestCache;
  /** What a repository is judged by right now. */
  readonly standing: (repository: string) => Standing | null;
  readonly repository: (name: string) => TreeReader | undefined;
}

/** Answers who set each field of a live object: from the cluster as it is now, the records, and Git. */
export function openBlaming(parts: BlamingParts): (question: BlameQuestion, queries: Queries) => Promise<BlameAnswer> {
  const { clusters, deployments, redactor, cache } = parts;
  return (question, queries) =>
    answerBlame(question, {
      queries,
      redact: (object) => redactor.redact(object),
      look: async (object) => {
        const cluster = clusters.get(object.target);
        if (!cluster) throw new CountersignError('not-found', `${object.target} is no target of this service any more`);
        const state = deployments.approvedIn(object.target).approvedState(object);
        return { live: await cluster.get(object), sent: state?.sent ?? null, expected: state?.expected };
      },
      objectAt: async (object, commit) => {
        const repository = parts.repository(object.repository);
        const environments = parts.standing(object.repository)?.governance.environments ?? [];
        const environment = environments.find(({ name }) => name === object.environment);
        if (!repository || !environment) return null;
        // A commit that nobody deployed may be unreadable: then the field is the next one's.
        const { objects } = await render(repository, environment, commit, cache).catch(() => ({ objects: [] }));
        const found = objects.find(({ identity }) => identityKey(identity) === identityKey(object));
        return found ? redactor.redact(found.object) : null;
      },
    });
}
