import type { RegoCompiler } from '../adapters/opa/compiler.js';
import { PostgresQueries } from '../adapters/postgres/queries.js';
import type { ServiceState } from '../api/state.js';
import type { ManifestCache } from '../change/manifest-cache.js';
import type { Redactor } from '../cluster/secret.js';
import type { OpenRepository } from './following.js';
import { openBlaming, openOrphans } from './inquiries.js';
import type { Evaluator } from '../policy/evaluator.js';
import type { Deployments } from '../reconcile/deployments.js';
import { allCatalogues, catalogueFiles } from '../report/controls.js';
import { explainDecision } from '../review/explain-decision.js';
import type { Standing } from '../review/governance.js';
import { holdings, Promotions } from '../review/promotions.js';
import type { Storage } from './storage.js';
import type { Targets } from './targets.js';

/** What the service answers from more than its records: from Git, clusters and governance as they are now. */
export type Answers = Pick<
  ServiceState,
  'blame' | 'promotion' | 'holdings' | 'controls' | 'tags' | 'orphans' | 'explain'
>;

export interface AnswersParts extends Pick<Storage, 'dataSource' | 'ledger'>, Pick<Targets, 'clusters'> {
  readonly repositories: ReadonlyMap<string, OpenRepository>;
  readonly deployments: Deployments;
  readonly redactor: Redactor;
  readonly cache: ManifestCache;
  readonly compiler: RegoCompiler;
  readonly evaluator: Evaluator;
  /** What a repository is judged by right now. */
  readonly standing: (repository: string) => Standing | null;
}

export function openAnswers(parts: AnswersParts): Answers {
  const { dataSource, ledger, clusters, repositories, deployments, redactor, cache, compiler, evaluator, standing } = parts; // prettier-ignore
  const repository = (name: string) => repositories.get(name)?.mirror.repository;
  const promotions = new Promotions({ standing, reader: repository, evaluator, redactor, cache });
  return {
    blame: openBlaming({ clusters, deployments, redactor, cache, standing, repository }),
    promotion: (question) => promotions.ask(question),
    holdings: (name) => {
      const now = standing(name);
      return now && holdings(now);
    },
    controls: async (name) => {
      const [governance, reader] = [standing(name)?.governance, repository(name)];
      if (!governance || !reader) return null;
      const catalogues = allCatalogues(await catalogueFiles(reader, governance.commit));
      return { catalogues, rules: governance.bundle.rules };
    },
    tags: async (name, commit) => repositories.get(name)?.tags.of(commit) ?? [],
    orphans: openOrphans({ queries: new PostgresQueries(dataSource), clusters }),
    explain: (decision, trace) => explainDecision(decision, ledger, compiler, trace),
  };
}
