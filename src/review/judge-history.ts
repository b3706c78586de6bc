import type { Environment } from '../change/environment.js';
import type { FileComparison } from '../change/file-comparison.js';
import { type HistoryStep, walkHistory } from '../change/history.js';
import type { ProposedChange, SignatureChecker } from '../change/proposed-change.js';
import type { Redactor } from '../cluster/secret.js';
import type { PolicyBundle } from '../policy/bundle.js';
import { decideMany } from '../policy/decide.js';
import type { Decision } from '../policy/decision.js';
import type { Evaluator } from '../policy/evaluator.js';
import { type InputException, type InputRepository, policyInput } from '../policy/input.js';
import { exceptionsFor } from './exceptions.js';
import type { Law } from './law.js';
import type { HistoryRange, Repository } from '../source/repository.js';

export interface JudgedCommit {
  readonly step: HistoryStep;
  readonly decision: Decision;
}

export interface HistoryParts {
  readonly repository: InputRepository;
  readonly ref: string;
  readonly bundle: PolicyBundle;
  readonly evaluator: Evaluator;
  readonly redactor: Redactor;
  readonly comparer: FileComparison;
  readonly checkSignature: SignatureChecker;
  /** The moment that all of it is judged at. */
  readonly time: Date;
  /** As they count for what stands in for an environment here. */
  readonly exceptions?: readonly InputException[];
}

interface Case {
  readonly step: HistoryStep;
  readonly change: ProposedChange;
  readonly input: string;
}

/** Commits, and characters of their inputs, that go to the evaluator at once, and how many such batches are on the way. */
const BATCH = 48;
const BATCH_CHARACTERS = 1_500_000;
const AHEAD = 3;

/**
 * Judges every commit of a history by one policy, oldest first, each against its first parent. Reading goes on while earlier
 * commits are evaluated; what is in memory is bounded by the batches, however long the history is.
 */
export async function* judgeHistory(
  reader: Repository,
  range: HistoryRange,
  parts: HistoryParts,
): AsyncGenerator<JudgedCommit> {
  const pending: Promise<JudgedCommit[]>[] = [];
  let batch: Case[] = [];
  let characters = 0;
  const send = (): void => {
    const cases = batch;
    if (cases.length > 0) pending.push(judge(cases, parts));
    batch = [];
    characters = 0;
  };
  for await (const step of walkHistory(reader, range, parts.comparer)) {
    const one = asCase(step, parts);
    batch.push(one);
    characters += one.input.length;
    if (batch.length >= BATCH || characters >= BATCH_CHARACTERS) send();
    while (pending.length >= AHEAD) yield* await pending.shift()!;
  }
  send();
  for (const judged of pending) yield* await judged;
}

async function judge(cases: readonly Case[], { evaluator, bundle }: HistoryParts): Promise<JudgedCommit[]> {
  const decisions = await decideMany(evaluator, bundle, cases);
  return cases.map(({ step }, i) => ({ step, decision: decisions[i] }));
}

const HISTORY = 'history';

/** Exceptions of environments, where nobody asks which of them an old commit was for: they count below their environments' folders. */
export function historyExceptions(
  { exceptions, environments }: Pick<Law, 'exceptions' | 'environments'>,
  time: Date,
): readonly InputException[] {
  return environments.flatMap(({ name, path, namespace }) =>
    exceptionsFor(exceptions, name, time).flatMap((exception) => {
      const scope = { path: path === '' ? '**' : `${path}/**`, ...exception.scope, environment: HISTORY };
      // Objects that name no namespace have none here: nobody says which one theirs is.
      const implied = namespace !== null && scope.namespace === namespace;
      return [scope, ...(implied ? [{ ...scope, namespace: '' }] : [])].map((one) => ({ ...exception, scope: one }));
    }),
  );
}

function asCase(
  step: HistoryStep,
  { repository, ref, redactor, checkSignature, time, bundle, exceptions = [] }: HistoryParts,
): Case {
  const { commit, files, changes } = step;
  // Nobody said what deploys where: all of the repository stands in for an environment.
  const environment: Environment = {
    name: HISTORY,
    path: '',
    ref,
    target: null,
    namespace: null,
    labels: {},
    ignore: [],
  };
  const change: ProposedChange = {
    environment,
    base: commit.parents[0] ?? null,
    head: commit.id,
    headTree: commit.tree,
    commits: [{ commit, files, signature: checkSignature(commit) }],
    changes,
    // Only what the commit touches: the whole of every commit would be rendered for nothing but inventories.
    rendered: changes.flatMap(({ identity, after, source }) => (after ? [{ identity, object: after, source }] : [])),
    // Counted by the caller: a file that is no manifest does not deny the commits of a repository that nobody governs yet.
    problems: [],
    otherDocuments: new Map(),
    notRendered: [],
  };
  return {
    step,
    change,
    input: policyInput({ change, repository, time, redactor, exceptions, inventory: bundle.inventory }),
  };
}
