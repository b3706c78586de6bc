import type { ManifestCache } from '../change/manifest-cache.js';
import type { ProposedChange } from '../change/proposed-change.js';
import { render } from '../change/render.js';
import { renderedDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import type { InputApproval } from '../policy/input.js';
import type { Repository } from '../source/repository.js';
import { checkSignature } from '../source/signers.js';
import {
  APPROVALS_REF,
  approvalId,
  type ApprovalStatement,
  checkApprover,
  ownWork,
  parseApproval,
  strengthOf,
} from './approval.js';
import { whyNotCarried } from './carrying.js';
import type { Law } from './law.js';
import { pushedStatements, withdrawalIn } from './pushed-approvals.js';
import { whyNotTheirs } from './withdrawal.js';

interface LocalParts {
  readonly law: Law;
  readonly cache: ManifestCache;
  readonly redactor: Redactor;
  readonly time: Date;
}

/**
 * The approvals of a change that lie in the repository itself, for `check` and the hooks, which ask no service. Checked as the service
 * does but for what only it knows: what it calls the repository, when it first saw each, and the rendered digest, which enters values of
 * Secrets under a key of its own; the tree stands for that here.
 */
export async function localApprovals(
  repository: Repository,
  change: ProposedChange,
  { law, cache, redactor, time }: LocalParts,
): Promise<readonly InputApproval[]> {
  const tip = (await repository.refs([APPROVALS_REF])).get(APPROVALS_REF);
  if (tip === undefined) return [];
  const { environment, base, head, headTree: tree, commits, rendered } = change;
  const { ref, name, target } = environment;
  const here = { ref, environment: name, base, head, tree, repository: '', target };
  const digest = renderedDigest(rendered, redactor);
  const found: InputApproval[] = [];
  const pushed = await Array.fromAsync(pushedStatements(repository, tip, null));
  const withdrawals = pushed.flatMap(({ text, signature }) => {
    const statement = withdrawalIn(text);
    return statement ? [{ ...statement, by: checkApprover(text, signature, law.signers, time) }] : [];
  });
  for (const { text, signature: armoured } of pushed) {
    const statement = readable(text);
    if (statement?.ref !== here.ref || statement.environment !== here.environment) continue;
    const checked = checkApprover(text, armoured, law.signers, time);
    const { signature, person, reason } = checked;
    if (reason !== null || ownWork(signature, commits, law.signers) !== null) continue;
    const id = approvalId(statement.repository, text, armoured);
    const given = { person: person ?? null, key: signature.key ?? null, now: checked };
    if (withdrawals.some(({ approval, by }) => approval === id && whyNotTheirs(given, by) === null)) continue;
    if (statement.target !== undefined && statement.target !== target) continue;
    const same = statement.head === head && statement.base === base && statement.tree === tree;
    if (!same && !(await isCarried(statement))) continue;
    found.push({
      principal: signature.principal!,
      person: person ?? signature.principal!,
      via: 'git',
      strength: strengthOf('git'),
      time: statement.time,
      verified: true,
      ...(same ? {} : { carriedFrom: statement.head }),
    });
    async function isCarried(from: ApprovalStatement): Promise<boolean> {
      if (from.base === null || base === null || from.head === head || !(await isHere(from))) return false;
      const own = await ownCommits(from.base, from.head);
      if (ownWork(signature, own, law.signers) !== null) return false;
      const objects = (await render(repository, environment, from.head, cache)).objects;
      const approved = { ...from, repository: '', renderedDigest: renderedDigest(objects, redactor) };
      const parts = { repository, environment, settings: law.settings, cache, redactor };
      return (await whyNotCarried(approved, { ...here, renderedDigest: digest }, parts)) === null;
    }
  }
  return found;

  /** Its commit may never have come here, or say another tree than was signed for. */
  async function isHere(from: ApprovalStatement): Promise<boolean> {
    try {
      await repository.commit(from.base!);
      return (await repository.commit(from.head)).tree === from.tree;
    } catch {
      return false;
    }
  }

  async function ownCommits(from: string, to: string) {
    const own = [];
    for await (const { commit } of repository.history({ head: to, exclude: [from] })) {
      own.push({ commit, signature: checkSignature(commit, law.signers, time) });
    }
    return own;
  }
}

function readable(text: string): ApprovalStatement | undefined {
  try {
    return parseApproval(text);
  } catch {
    return undefined;
  }
}
