import type { Outcome, Violation } from '../policy/decision.js';
import type { ApprovalRecord, ChangeRecord, ExceptionRecord, ReviewDutyRecord, RunRecord } from '../review/records.js';
import type { PersonClaim } from '../source/repository.js';
import type { Signature } from '../source/signature.js';
import { approverOf, selfApproved, signersOf } from '../review/decision-terms.js';
import { parseTrailers, trailerValues, type Trailers } from '../source/trailers.js';
import type { Cell } from './csv.js';

/** Which decisions a population holds. Times are RFC 3339; `since` is inclusive, `until` exclusive, over the decision's own time. */
export interface PopulationQuery {
  readonly repository: string | null;
  readonly environment: string | null;
  readonly outcome: Outcome | null;
  readonly since: string | null;
  readonly until: string | null;
}

/** A decision with all that is known of the change it judged. */
export interface DecidedChange {
  readonly index: number;
  /** Hex. */
  readonly leafHash: string;
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly target: string | null;
  readonly namespace: string | null;
  readonly outcome: Outcome;
  readonly time: string;
  readonly violations: readonly Violation[];
  readonly required: readonly Violation[];
  readonly excepted: readonly Violation[];
  readonly bundleDigest: string;
  readonly change: Pick<ChangeRecord, 'operation' | 'ref' | 'base' | 'head' | 'tree' | 'renderedDigest'>;
  /** Its commits, the head first, as far as they are known; of very many the first 1,000. */
  readonly commits: readonly PopulationCommit[];
  readonly commitCount: number;
  /** As people write them: `Deployment shop/cart`; of very many the first 200. */
  readonly objects: readonly string[];
  readonly objectChanges: number;
  /** Of those that counted. */
  readonly approvals: readonly Pick<ApprovalRecord, 'principal' | 'person' | 'key' | 'via' | 'firstSeen'>[];
  readonly exceptions: readonly Pick<ExceptionRecord, 'id' | 'rule' | 'expires' | 'ticket'>[];
  /** Its first run that succeeded; else the newest. */
  readonly run: Pick<RunRecord, 'id' | 'outcome' | 'finishedAt'> | null;
  readonly duty:
    (Pick<ReviewDutyRecord, 'reason' | 'ticket' | 'dueAt' | 'closedAt'> & { readonly by: string | null }) | null;
  /** UIDs of live objects that are as this decision left them. */
  readonly uids: readonly string[];
  /** Whether what is live is this decision's, and the same; null where another has taken its place. */
  readonly liveMatches: boolean | null;
  /** Of the rules in force, whichever of them said something. */
  readonly controls: readonly string[];
}

export interface PopulationCommit {
  readonly id: string;
  readonly author: Pick<PersonClaim, 'name' | 'email'>;
  readonly committer: Pick<PersonClaim, 'time'>;
  readonly message: string;
  readonly signature: Pick<Signature, 'status' | 'principal' | 'person' | 'key'>;
  readonly files: number;
  readonly firstSeen: string;
}

/** Decisions in the order of the log, as they were at one moment. */
export interface Population {
  /** How many the query selects, and the size of the log that this is true of. */
  readonly rows: number;
  readonly size: number;
  pages(): AsyncIterable<Iterable<DecidedChange>>;
  close(): Promise<void>;
}

/** The port to where they are kept. Throws `not-found` for a repository or an environment that nobody knows, naming the nearest. */
export interface Populations {
  open(query: PopulationQuery): Promise<Population>;
}

/** A column: its name, what it says, and its value. Names are part of the contract: they never change their meaning. */
export interface Column {
  readonly name: string;
  readonly what: string;
  readonly value: (row: DecidedChange) => Cell;
}

// Most changes bring one commit with one of each: there is nothing to gather then, a million times.
const unique = (values: readonly string[]): readonly string[] => (values.length < 2 ? values : [...new Set(values)]);
const both = (one: readonly string[], other: readonly string[]): readonly string[] =>
  other.length === 0 ? one : [...one, ...other];
const isSigned = ({ signature }: PopulationCommit): boolean => signature.status === 'verified';
const signed = ({ commits }: DecidedChange): readonly PopulationCommit[] => (commits.every(isSigned) ? commits : commits.filter(isSigned)); // prettier-ignore

/** What auditors ask of a change, in the order in which they follow it: from request to approval to deployment. */
export const columns: readonly Column[] = [
  { name: 'change_id', what: 'Id of the decision', value: (row) => row.id },
  { name: 'log_index', what: 'Index of the decision’s entry in the log', value: (row) => row.index },
  { name: 'leaf_hash', what: 'RFC 6962 leaf hash of that entry, hex', value: (row) => row.leafHash },
  { name: 'decided_at', what: 'When the review began, UTC', value: (row) => row.time },
  { name: 'repository', what: 'Repository', value: (row) => row.repository },
  { name: 'ref', what: 'Branch that the environment follows', value: (row) => row.change.ref },
  { name: 'environment', what: 'Environment; `governance` for changes of policy', value: (row) => row.environment },
  { name: 'operation', what: 'What was proposed: push, break_glass, …', value: (row) => row.change.operation },
  { name: 'from', what: 'Commit that was live before; empty for the first', value: (row) => row.change.base },
  { name: 'to', what: 'Commit that was proposed', value: (row) => row.change.head },
  { name: 'tree', what: 'Git tree of that commit', value: (row) => row.change.tree },
  { name: 'commits', what: 'How many commits the change brings', value: (row) => row.commitCount },
  { name: 'signers', what: 'Who signed them, by verified keys', value: (row) => signersOf(row.commits) },
  { name: 'signer_keys', what: 'Fingerprints of those keys', value: (row) => unique(signed(row).flatMap(({ signature }) => signature.key ?? [])) }, // prettier-ignore
  { name: 'unsigned_commits', what: 'Commits without a verified signature, among the first 1,000', value: (row) => row.commits.length - signed(row).length }, // prettier-ignore
  { name: 'authors', what: 'Whom the commits name as authors; anybody can write that', value: (row) => unique(row.commits.map(({ author }) => `${author.name} <${author.email}>`)) }, // prettier-ignore
  { name: 'committer_date_untrusted', what: 'The head’s own date, which anybody can set', value: (row) => row.commits[0]?.committer.time ?? null }, // prettier-ignore
  {
    name: 'first_seen',
    what: 'When the service first saw the head',
    value: (row) => row.commits[0]?.firstSeen ?? null,
  },
  { name: 'ticket', what: 'Trailer `Ticket` of the commits', value: (row) => said(row).ticket },
  { name: 'reason', what: 'Trailer `Reason` or `Break-Glass`', value: (row) => said(row).reason }, // prettier-ignore
  { name: 'risk', what: 'Trailer `Risk`', value: (row) => said(row).risk },
  { name: 'tests', what: 'Trailer `Tested` or `Tested-by`', value: (row) => said(row).tests }, // prettier-ignore
  { name: 'title', what: 'First line of the head’s message', value: (row) => row.commits[0]?.message.split('\n', 1)[0] ?? null }, // prettier-ignore
  { name: 'files', what: 'Files that the commits touch, each commit counted', value: (row) => row.commits.reduce((sum, { files }) => sum + files, 0) }, // prettier-ignore
  { name: 'object_changes', what: 'Kubernetes objects that change', value: (row) => row.objectChanges },
  { name: 'objects', what: 'Which: kind namespace/name', value: (row) => row.objects },
  {
    name: 'approvers',
    what: 'Whose approvals counted',
    value: (row) => row.approvals.map((approval) => approverOf(approval) ?? ''),
  },
  {
    name: 'approver_keys',
    what: 'The keys of their signatures',
    value: (row) => row.approvals.map(({ key }) => key ?? ''),
  },
  {
    name: 'approved_at',
    what: 'When the service first saw each',
    value: (row) => row.approvals.map(({ firstSeen }) => firstSeen),
  },
  { name: 'approved_via', what: 'How each came', value: (row) => row.approvals.map(({ via }) => via) },
  {
    name: 'author_is_approver',
    what: 'Whether somebody who signed a commit also approved',
    value: (row) => selfApproved(row.commits, row.approvals),
  },
  { name: 'decision', what: 'allow, deny, pending or error', value: (row) => row.outcome },
  { name: 'policy_digest', what: 'SHA-256 of the policy in force', value: (row) => row.bundleDigest },
  { name: 'violations', what: 'Rules that denied', value: (row) => unique(row.violations.map(({ rule }) => rule)) },
  { name: 'violation_messages', what: 'What they said', value: (row) => row.violations.map(({ message }) => message) },
  {
    name: 'missing_approvals',
    what: 'What rules still required',
    value: (row) => row.required.map(({ message }) => message),
  },
  {
    name: 'exceptions',
    what: 'Rules that exceptions covered',
    value: (row) => row.exceptions.map(({ rule }) => rule ?? ''),
  },
  { name: 'exceptions_expire', what: 'Until when', value: (row) => row.exceptions.map(({ expires }) => expires ?? '') },
  {
    name: 'exception_tickets',
    what: 'Their tickets',
    value: (row) => row.exceptions.map(({ ticket }) => ticket ?? ''),
  },
  {
    name: 'exceptions_excused',
    what: 'How many violations each of them excused',
    value: (row) =>
      row.exceptions.map(({ id }) => String(row.excepted.filter(({ exception }) => exception === id).length)),
  },
  {
    name: 'emergency',
    what: 'Whether it was a break-glass change',
    value: (row) => row.change.operation === 'break_glass',
  },
  { name: 'review_due', what: 'By when somebody else had to look at it', value: (row) => row.duty?.dueAt ?? null },
  { name: 'reviewed_by', what: 'Who did', value: (row) => row.duty?.by ?? null },
  { name: 'reviewed_at', what: 'When', value: (row) => row.duty?.closedAt ?? null },
  { name: 'deployed_by', what: 'Id of the run that applied it', value: (row) => (row.run?.outcome === 'succeeded' ? `countersign ${row.run.id}` : null) }, // prettier-ignore
  { name: 'applied_at', what: 'When that run was done', value: (row) => (row.run?.outcome === 'succeeded' ? row.run.finishedAt : null) }, // prettier-ignore
  { name: 'run_outcome', what: 'How its run ended', value: (row) => row.run?.outcome ?? null },
  { name: 'cluster', what: 'Target it is deployed to', value: (row) => row.target },
  { name: 'namespace', what: 'Namespace of the environment', value: (row) => row.namespace },
  { name: 'uids', what: 'UIDs of live objects that are as this change left them', value: (row) => row.uids },
  { name: 'live_matches', what: 'Whether it is live without a difference; empty when superseded', value: (row) => row.liveMatches }, // prettier-ignore
  {
    name: 'rendered_digest',
    what: 'SHA-256 of the objects that were judged',
    value: (row) => row.change.renderedDigest,
  },
  { name: 'controls', what: 'Controls that the rules in force answer to', value: (row) => row.controls },
];

type Said = Readonly<Record<'ticket' | 'reason' | 'risk' | 'tests', readonly string[]>>;

/** Several columns of a row ask for it, one after the other. */
let newest: { readonly row: DecidedChange; readonly said: Said } | undefined;

/** What the trailers of a row's commits say, each value once. */
function said(row: DecidedChange): Said {
  if (newest?.row === row) return newest.said;
  const trailers = row.commits.map(trailersOf);
  const values = (name: string): readonly string[] => unique(trailers.flatMap((made) => trailerValues(made, name)));
  newest = {
    row,
    said: {
      ticket: values('ticket'),
      reason: both(values('reason'), values('break-glass')),
      risk: values('risk'),
      tests: both(values('tested'), values('tested-by')),
    },
  };
  return newest.said;
}

export const trailersOf = ({ message }: PopulationCommit): Trailers => parseTrailers(message);
