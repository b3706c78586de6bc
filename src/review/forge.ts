import type { JsonObject } from '../cluster/object.js';
import { formatPlace } from '../errors.js';
import type { Decision, Outcome } from '../policy/decision.js';

/** A pull or merge request that is open. What the forge says of it is a claim: only its head commit is judged. */
export interface OpenRequest {
  readonly number: number;
  /** Full commit id. */
  readonly head: string;
  /** Full name of the ref that it would be merged into. */
  readonly target: string;
  /** The ref under which the forge keeps the head: `refs/pull/7/head`. */
  readonly ref: string;
  /** The account that opened it; null where the forge does not say. */
  readonly author: string | null;
  /** When anything about it last changed, by the forge's word; null where it does not say. */
  readonly updated: string | null;
}

export interface CommitStatus {
  readonly commit: string;
  /** One a environment: `countersign/shop/production`. */
  readonly context: string;
  readonly outcome: Outcome;
  /** At most 140 characters, which is what GitHub takes. */
  readonly description: string;
}

/** An approving review, by the forge's word. */
export interface ForgeReview {
  /** What the forge calls it: another one of the same person has another name. */
  readonly id: string;
  readonly account: string;
  /** The commit that was looked at; null where the forge does not say. */
  readonly commit: string | null;
  /** RFC 3339. */
  readonly time: string;
}

/** How a forge guards a branch. */
export interface BranchProtection {
  readonly state: 'protected' | 'unprotected' | 'unknown';
  /** The forge's own answers, by what was asked; null where it would not say. */
  readonly settings: JsonObject;
}

/** The port to where a repository's requests are. All throw `forge-failed`, with `retry` where it may work later. */
export interface Forge {
  readonly kind: 'github' | 'gitlab' | 'gitea';
  /** All that are open, up to a thousand. */
  openRequests(): Promise<readonly OpenRequest[]>;
  /**
   * The approving reviews that stand, whichever commit they are of: of each account's reviews the last that decides, unless it was
   * dismissed. Also of a request that was closed or merged.
   */
  approvingReviews(request: Pick<OpenRequest, 'number'>): Promise<readonly ForgeReview[]>;
  /** Of a branch by its short name. What this token may not see is `unknown`, not a fault. */
  branchProtection(branch: string): Promise<BranchProtection>;
  /** The newest for a commit and context counts; saying the same twice changes nothing. */
  report(status: CommitStatus): Promise<void>;
}

/** What a forge lists an environment's verdict under. */
export const statusContext = (environment: string): string => `countersign/${environment}`;

const LONGEST = 140;

/** A verdict in one line: what is wrong first, with its place, then how much more there is. */
export function describeVerdict({ outcome, violations, required, warnings, error }: Decision): string {
  if (error) return shortened(plain(`could not be judged: ${error.message}`));
  const said = outcome === 'allow' ? warnings : [...violations, ...required];
  const [first] = said;
  const verdict = { allow: 'allowed', deny: 'denied', pending: 'waiting', error: 'could not be judged' }[outcome];
  if (!first) return verdict;
  if (outcome === 'allow') return `${verdict}, ${said.length} warning${said.length === 1 ? '' : 's'}`;
  const more = said.length > 1 ? ` (and ${said.length - 1} more)` : '';
  const place =
    first.source && !first.commit ? ` at ${formatPlace({ file: first.source.path, line: first.source.line })}` : '';
  const start = plain(`${verdict}: ${first.rule}${place}: ${first.message}`);
  return `${shortened(start, LONGEST - more.length)}${more}`;
}

/** Messages quote what authors wrote: nothing in them may break the line, or turn the rest of it round. */
function plain(text: string): string {
  return text
    .split('\n', 1)[0]
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}');
}

function shortened(text: string, length = LONGEST): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
