import type { Violation } from '../policy/decision.js';
import type { PersonClaim } from '../source/repository.js';
import type { Signature } from '../source/signature.js';
import { trailerValues, type Trailers } from '../source/trailers.js';

/** What auditors look for a decision by. People are called as the identity map calls them, else by their principal. */
export interface DecisionTerms {
  /** Who signed its commits, by verified keys. */
  readonly signers: readonly string[];
  /** Whose approvals counted. */
  readonly approvers: readonly string[];
  /** Whether one of these made one of its commits: by the signature, or where none is verified by the author that it claims. */
  readonly selfApproved: boolean;
  /** Trailers `Ticket` of its commits. */
  readonly tickets: readonly string[];
  /** Owners of the files that it touches. */
  readonly teams: readonly string[];
  /** Controls that the rules answer to which said something, whether it counted or not. */
  readonly controls: readonly string[];
}

interface MadeCommit {
  readonly signature: Pick<Signature, 'status' | 'principal' | 'person'>;
  readonly author: Pick<PersonClaim, 'email'>;
  readonly trailers: Trailers;
}

interface Approver {
  readonly principal?: string | null;
  readonly person?: string | null;
}

export interface TermSources {
  readonly commits: readonly MadeCommit[];
  readonly approvals: readonly Approver[];
  readonly owners: readonly { readonly owners: readonly string[] }[];
  readonly said: readonly Pick<Violation, 'controls'>[];
}

export function decisionTerms({ commits, approvals, owners, said }: TermSources): DecisionTerms {
  return {
    signers: signersOf(commits),
    approvers: sorted(approvals.flatMap((approval) => approverOf(approval) ?? [])),
    selfApproved: selfApproved(commits, approvals),
    tickets: ticketsOf(commits),
    teams: sorted(owners.flatMap((asked) => asked.owners)),
    controls: sorted(said.flatMap(({ controls }) => controls)),
  };
}

export function signersOf(commits: readonly Pick<MadeCommit, 'signature'>[]): readonly string[] {
  return sorted(
    commits.flatMap(({ signature }) =>
      signature.status === 'verified' ? (signature.person ?? signature.principal ?? []) : [],
    ),
  );
}

export function approverOf({ person, principal }: Approver): string | null {
  return person ?? principal ?? null;
}

export function selfApproved(
  commits: readonly Pick<MadeCommit, 'signature' | 'author'>[],
  approvals: readonly Approver[],
): boolean {
  if (approvals.length === 0) return false;
  const makers = new Set(
    commits.flatMap(({ signature, author }) =>
      signature.status === 'verified' ? [signature.person, signature.principal] : [author.email],
    ),
  );
  makers.delete(undefined);
  return approvals.some(
    ({ person, principal }) => makers.has(person ?? undefined) || makers.has(principal ?? undefined),
  );
}

export function ticketsOf(commits: readonly Pick<MadeCommit, 'trailers'>[]): readonly string[] {
  return sorted(commits.flatMap(({ trailers }) => trailerValues(trailers, 'Ticket')));
}

function sorted(values: readonly string[]): readonly string[] {
  return values.length < 2 ? values : [...new Set(values)].toSorted();
}
