import { CountersignError } from '../../errors.js';
import { ask } from '../ask.js';
import type { ApprovedBytes } from '../../review/approval.js';

export interface Said {
  readonly rule: string;
  readonly message: string;
  readonly fix: string | null;
}

/** A change, or an open request, as the service shows it: what an approver looks at. */
export interface Waiting extends ApprovedBytes {
  /** The forge's number of the request; absent for what was pushed. */
  readonly request?: number;
  readonly outcome: string;
  readonly commits: readonly {
    readonly id: string;
    readonly message: string;
    readonly author: { readonly name: string; readonly email: string };
    readonly signature: { readonly status: string; readonly principal: string | null };
  }[];
  readonly commitIds: readonly string[];
  readonly objectChangeCount: number;
  readonly objects: readonly {
    readonly op: string;
    readonly object: { readonly kind: string; readonly namespace: string; readonly name: string };
    readonly patch: readonly { readonly op: string; readonly path: string; readonly value?: unknown }[];
    readonly source: { readonly path: string; readonly line: number };
  }[];
  readonly violations: readonly Said[];
  readonly warnings: readonly Said[];
  readonly required: readonly Said[];
}

const DECISION = `outcome violations { rule message fix } warnings { rule message fix } required { rule message fix }
  change { repository environment target ref base head tree renderedDigest commitIds objectChangeCount
    commits { id message author { name email } signature { status principal } }
    objectChanges(first: 500) { nodes { op object { kind namespace name } patch source { path line } } } }`;

const ADVICE = `number outcome violations { rule message fix } required { rule message fix }
  repository environment target environmentTarget base head tree renderedDigest commitIds objectChangeCount
  commits { id message author { name email } signature { status principal } }
  objectChanges(first: 500) { nodes { op object { kind namespace name } patch source { path line } } }`;

interface AdviceAnswer extends Omit<Waiting, 'request' | 'ref' | 'target' | 'objects' | 'warnings'> {
  readonly number: number;
  /** The ref that it would be merged into. */
  readonly target: string;
  readonly environmentTarget: string | null;
  readonly objectChanges: { readonly nodes: Waiting['objects'] };
}

interface Answer {
  readonly outcome: string;
  readonly violations: readonly Said[];
  readonly warnings: readonly Said[];
  readonly required: readonly Said[];
  readonly change: Omit<Waiting, 'outcome' | 'violations' | 'warnings' | 'required' | 'objects'> & {
    readonly objectChanges: { readonly nodes: Waiting['objects'] };
  };
}

/** What the clone can tell of a commit. */
interface Clone {
  readonly path: string;
  treeOf(commit: string): Promise<string | null>;
  commits(base: string | null, head: string): Promise<readonly string[]>;
}

export interface Choice {
  readonly environment: string | undefined;
  /** After the fact: emergency changes that were let through. */
  readonly review: boolean;
  /** The number of a pull or merge request. */
  readonly request: number | undefined;
}

/** The change to approve. Throws `usage` when it is not clear which, `not-found` when none waits. */
export async function waiting(url: string, choice: Choice, clone: Clone): Promise<Waiting> {
  const { environment: name, review, request } = choice;
  const pushed = request !== undefined ? [] : review ? await owing(url) : await pending(url);
  const changes = (await Promise.all(pushed.map((id) => details(url, id)))).flat();
  const all = [...changes, ...(review ? [] : await requested(url, request))];
  const here: Waiting[] = [];
  for (const one of all) {
    // One service may follow many repositories; this clone is of one of them.
    if (name === undefined ? (await clone.treeOf(one.head)) !== null : one.environment === name) here.push(one);
  }
  const what = review ? 'is to be looked at afterwards' : 'waits for an approval';
  if (here.length === 1) return here[0];
  const names = [...new Set((here.length > 0 ? here : all).map(nameOf))].join(', ');
  if (here.length === 0) {
    const which = name === undefined ? 'no change that this clone knows' : `nothing of ${name}`;
    throw new CountersignError('not-found', `${which} ${what} at ${url}`, {
      remedy: names
        ? `What does: ${names}; perhaps git fetch first${all.some((one) => one.request) ? ' (and the head of the request)' : ''}`
        : 'Look with { environments { nodes { name headOutcome } } }',
    });
  }
  throw new CountersignError('usage', `more than one change ${what}: ${names}`, {
    remedy: here.some((one) => one.request) ? 'Name the environment, and the request with --request' : 'Name the environment', // prettier-ignore
  });
}

/** `shop/production`, or `shop/production of request 7`. */
export function nameOf({ environment, request }: Waiting): string {
  return request === undefined ? environment : `${environment} of request ${request}`;
}

/** Open requests that wait. */
async function requested(url: string, number: number | undefined): Promise<Waiting[]> {
  const { advice } = await ask<{ advice: { nodes: { number: number; environment: string; head: string }[] } }>(
    url,
    `query ($number: Int) { advice(first: 100, filter: {open: true, outcome: [pending], number: $number}) { nodes { number environment head } } }`,
    { number: number ?? null },
  );
  const found = await Promise.all(
    advice.nodes.map((one) =>
      ask<{ advice: { nodes: AdviceAnswer[] } }>(
        url,
        `query ($number: Int, $environment: String, $head: String) {
          advice(first: 1, filter: {open: true, number: $number, environment: $environment, head: $head}) { nodes { ${ADVICE} } } }`,
        one,
      ),
    ),
  );
  return found
    .flatMap(({ advice: { nodes } }) => nodes)
    .map(({ number: request, target: ref, environmentTarget: target, objectChanges, ...rest }) => ({
      ...rest,
      request,
      ref,
      target,
      warnings: [],
      objects: objectChanges.nodes,
    }));
}

async function pending(url: string): Promise<string[]> {
  const { environments } = await ask<{
    environments: { nodes: { headOutcome: string | null; headDecision: { id: string } | null }[] };
  }>(url, '{ environments(first: 500) { nodes { headOutcome headDecision { id } } } }');
  return environments.nodes.flatMap(({ headOutcome, headDecision }) =>
    headOutcome === 'pending' && headDecision ? [headDecision.id] : [],
  );
}

async function owing(url: string): Promise<string[]> {
  const { reviewDuties } = await ask<{ reviewDuties: { nodes: { id: string }[] } }>(
    url,
    '{ reviewDuties(first: 100, filter: {open: true}) { nodes { id } } }',
  );
  return reviewDuties.nodes.map(({ id }) => id);
}

async function details(url: string, id: string): Promise<Waiting[]> {
  const { decision } = await ask<{ decision: Answer | null }>(
    url,
    `query ($id: ID!) { decision(id: $id) { ${DECISION} } }`,
    { id },
  );
  return decision ? [read(decision)] : [];
}

function read({ change, ...decision }: Answer): Waiting {
  const { objectChanges, ...rest } = change;
  return { ...rest, ...decision, objects: objectChanges.nodes };
}

/**
 * Compares what the service says with the approver's own clone: a service that lies about a tree would be believed otherwise. The
 * rendered digest is the service's word, because only it has the key under which values of Secrets are digested.
 */
export async function withinClone({ base, head, tree, commitIds, request }: Waiting, clone: Clone): Promise<void> {
  const refs =
    request === undefined ? '' : ` origin refs/pull/${request}/head (GitLab: refs/merge-requests/${request}/head)`;
  const remedy = `Fetch it: git -C ${clone.path} fetch${refs}`;
  for (const commit of base === null ? [head] : [base, head]) {
    if ((await clone.treeOf(commit)) === null)
      throw new CountersignError('revision-unknown', `${clone.path} does not have commit ${commit}`, { remedy });
  }
  const own = await clone.treeOf(head);
  const listed = new Set(await clone.commits(base, head));
  if (own === tree && listed.size === commitIds.length && commitIds.every((id) => listed.has(id))) return;
  throw new CountersignError(
    'approval-invalid',
    `the service shows another change to ${head} than ${clone.path} holds`,
    {
      remedy: 'Do not approve; compare the service’s commits and tree with your clone',
    },
  );
}
