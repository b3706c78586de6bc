import type { Redactor } from '../cluster/secret.js';
import type { Environment } from '../change/environment.js';
import type { ManifestCache } from '../change/manifest-cache.js';
import { objectChanges } from '../change/object-changes.js';
import { proposeChange, type ProposedChange } from '../change/proposed-change.js';
import { render } from '../change/render.js';
import type { CountersignError } from '../errors.js';
import type { PolicyBundle, PolicySources } from '../policy/bundle.js';
import { decide } from '../policy/decide.js';
import type { Decision } from '../policy/decision.js';
import type { Evaluator } from '../policy/evaluator.js';
import {
  type InputApproval,
  type InputPush,
  type InputRepository,
  type Operation,
  policyInput,
} from '../policy/input.js';
import type { Repository, TreeReader } from '../source/repository.js';
import { checkSignature } from '../source/signers.js';
import { withFieldLines } from './field-lines.js';
import { emergencyOf } from './emergency.js';
import { exceptionsFor } from './exceptions.js';
import { attestationInput } from './attestation.js';
import { governanceEnvironment, GovernanceReader, problemsOf } from './governance.js';
import { isGoverned } from './governed-files.js';
import { belongingInput } from './governed-owners.js';
import { localApprovals } from './local-approvals.js';
import type { Law } from './law.js';

export interface CheckParts {
  readonly law: Law;
  readonly evaluator: Evaluator;
  readonly redactor: Redactor;
  readonly cache: ManifestCache;
  readonly repository: InputRepository;
  readonly time: Date;
  /** What the change is for; a push if not given. */
  readonly operation?: Operation;
  /** Where a push is what is judged. */
  readonly push?: InputPush;
  /** What is wrong beyond what reading the environment will find. */
  readonly problems?: readonly CountersignError[];
}

/** A change and what policy says about it; nothing is recorded, and nobody may act on it. */
export interface Checked {
  readonly change: ProposedChange;
  /** Canonical JSON, as policy saw it. */
  readonly input: string;
  readonly decision: Decision;
}

/** Judges what moving an environment from `base` to `head` would do. */
export async function checkCommits(
  reader: Repository,
  environment: Environment,
  range: { readonly base: string | null; readonly head: string },
  parts: CheckParts,
): Promise<Checked> {
  const { law, cache, time, problems = [] } = parts;
  const read = await proposeChange(reader, environment, range.base, range.head, {
    cache,
    checkSignature: (commit) => checkSignature(commit, law.signers, time),
  });
  const change = { ...read, problems: [...problems, ...read.problems] };
  return judge(change, reader, parts, await localApprovals(reader, change, parts));
}

/**
 * Judges what the same does to the repository's governance: what will judge later changes must be readable, and is a change that the
 * policy before it judges (invariant 2). Null where it does nothing. `at` is the commit whose governed files count now.
 */
export async function checkGovernance(
  reader: Repository,
  range: { readonly base: string | null; readonly head: string },
  governed: {
    readonly ref: string;
    readonly at: string;
    readonly compile: (sources: PolicySources) => Promise<PolicyBundle>;
  },
  parts: CheckParts,
): Promise<Checked | null> {
  const { law, problems = [] } = parts;
  const files = await reader.changes(governed.at, range.head);
  if (!files.some(({ path }) => isGoverned(path, law.settings))) return null;
  const proposed = await new GovernanceReader(governed.compile).attempt(reader, range.head, law.organisation);
  const found = [...problems, ...problemsOf(proposed, law)];
  return checkCommits(reader, governanceEnvironment(governed.ref), range, { ...parts, problems: found });
}

/** Judges files that are in no commit, against a commit of `before` if there is one. Rules about commits find none to judge. */
export async function checkFiles(
  files: TreeReader,
  environment: Environment,
  before: { readonly reader: Repository; readonly commit: string } | null,
  parts: CheckParts,
): Promise<Checked> {
  const { cache } = parts;
  const now = await render(files, environment, FILES, cache);
  const was = before ? await render(before.reader, environment, before.commit, cache) : null;
  const change: ProposedChange = {
    environment,
    base: before?.commit ?? null,
    head: FILES,
    headTree: FILES,
    commits: [],
    changes: objectChanges(was?.objects ?? [], now.objects),
    rendered: now.objects,
    problems: now.problems,
    otherDocuments: now.otherDocuments,
    notRendered: now.notRendered,
  };
  return judge(change, files, parts);
}

/** Stands for a commit where there is none. */
export const FILES = '';

async function judge(
  change: ProposedChange,
  tree: TreeReader,
  parts: CheckParts,
  approvals: readonly InputApproval[] = [],
): Promise<Checked> {
  const { law, evaluator, redactor, repository, time, push, operation } = parts;
  const objects = change.rendered.map(({ object }) => object);
  const { attestations, problem } = await attestationInput(tree, change.head, law.attesters, objects);
  if (problem) change = { ...change, problems: [...change.problems, problem] };
  const exceptions = exceptionsFor(law.exceptions, change.environment.name, time);
  const input = policyInput({
    change,
    repository,
    time,
    redactor,
    exceptions,
    approvals,
    inventory: law.bundle.inventory,
    ...belongingInput(change, law),
    attestations,
    ...emergencyOf(change),
    ...(push && { push }),
    ...(operation && { operation }),
  });
  const decision = await decide(evaluator, law.bundle, input, change);
  return { change, input, decision: await withFieldLines(decision, change, tree, redactor) };
}
