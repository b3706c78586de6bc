import type { ManifestCache } from '../change/manifest-cache.js';
import { render } from '../change/render.js';
import { identityKey } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import { CountersignError } from '../errors.js';
import type { Cluster } from '../reconcile/cluster.js';
import type { Deployments } from '../reconcile/deployments.js';
import { findOrphans, type OrphanReport } from '../reconcile/orphans.js';
import type { PlannedWrite } from '../reconcile/run-log.js';
import { answerBlame, type BlameAnswer, type BlameQuestion } from '../report/blame-question.js';
import type { Queries } from '../report/queries.js';
import type { Standing } from '../review/governance.js';
import type { TreeReader } from '../source/repository.js';

export interface BlamingParts {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly deployments: Deployments;
  readonly redactor: Redactor;
  readonly cache: ManifestCache;
  /** What a repository is judged by right now. */
  readonly standing: (repository: string) => Standing | null;
  readonly repository: (name: string) => TreeReader | undefined;
}

export interface OrphansQuestion {
  readonly target?: string | undefined;
  readonly namespace?: string | undefined;
}

/** The orphans of one target, which people are told of and nobody deletes. */
export interface TargetOrphans extends OrphanReport {
  readonly target: string;
}

/** Answers what is in governed namespaces that no commit explains: of everybody's, so it is for those who may see all. */
export function openOrphans(
  parts: Pick<BlamingParts, 'clusters'> & { readonly queries: Queries },
): (question: OrphansQuestion) => Promise<readonly TargetOrphans[]> {
  const { queries, clusters } = parts;
  return async ({ target, namespace }) => {
    if (target !== undefined && !clusters.has(target)) throw new CountersignError('not-found', `there is no target ${target.slice(0, 80)}`); // prettier-ignore
    const asked = [...clusters].filter(([name]) => target === undefined || name === target);
    return Promise.all(
      asked.map(async ([name, cluster]) => {
        const rows = await queries.anyOf('liveObject', { target: [name] });
        const namespaces = new Set(
          rows
            .map((row) => (row.group === '' && row.kind === 'Namespace' ? row.name : row.namespace))
            .filter((one) => one !== '' && (namespace === undefined || one === namespace)),
        );
        if (namespaces.size === 0) return { target: name, orphans: [], notRead: [] };
        const running = await queries.anyOf('run', { outcome: ['running'] });
        const planned = running.flatMap((run) => run.planned as unknown as readonly PlannedWrite[]);
        const known = new Set([...rows, ...planned.map(({ identity }) => identity)].map(identityKey));
        return { target: name, ...(await findOrphans(cluster, namespaces, known)) };
      }),
    );
  };
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
