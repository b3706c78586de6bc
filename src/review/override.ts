import { randomUUID } from 'node:crypto';
import type { EntryDraft } from '../audit/entry.js';
import { canonicalJson } from '../cluster/canonical.js';
import { READING } from '../policy/decide.js';
import type { Commit } from '../source/repository.js';
import { checkSignature, parseSigners } from '../source/signers.js';
import { emergencyOf } from './emergency.js';
import type { FollowedRepository } from './followed-repository.js';
import type { Reviewed } from './review.js';

/** An administrator's word that governance changes although policy does not allow it. */
export interface Override {
  readonly administrator: string;
  readonly key: string;
  readonly reason: string;
  readonly ticket: string;
}

/**
 * The way out of a policy that denies everything, its own correction included: the head commit of a change of governance is signed by
 * somebody whom the service's own configuration names, and says why (`Break-Glass:`, `Ticket:`). What the repository says of signers is
 * not asked, for that may be what is wrong. Null where it is not so. It never lets in what could not be read, nor a rewritten
 * history: that would bring back an older commit that somebody once signed.
 */
export function overrideOf(
  repository: FollowedRepository,
  commit: Commit,
  { change, record: { decision } }: Reviewed,
  firstSeen: Date,
): Override | null {
  const { administrators = [] } = repository;
  if (administrators.length === 0 || decision.outcome === 'allow') return null;
  if (decision.violations.some(({ rule }) => rule.startsWith(READING))) return null;
  const text = administrators.map(({ name, key }) => `${name} namespaces="git" ${key}\n`).join('');
  const signers = parseSigners({ text, file: 'administrators' });
  const { status, principal, key } = checkSignature(commit, signers, firstSeen);
  const emergency = emergencyOf(change);
  if (status !== 'verified' || principal === undefined || key === undefined) return null;
  if (emergency.operation !== 'break_glass' || !emergency.ticket || emergency.reason.trim() === '') return null;
  return { administrator: principal, key, reason: emergency.reason, ticket: emergency.ticket };
}

/** `action/v1`: which decision was overridden in the leaf, by whom and why beside it. */
export function overrideEntry(
  { administrator, key, reason, ticket }: Override,
  { facts, record: { decision } }: Reviewed,
  governed: string,
): EntryDraft {
  const { repository, environment, base, head, tree, time } = facts;
  return {
    type: 'action',
    subjects: [{ name: `git:${repository}`, digest: { gitCommit: head, gitTree: tree } }],
    predicate: {
      id: randomUUID(),
      action: 'override',
      repository,
      environment,
      base,
      head,
      decision: decision.id,
      outcome: decision.outcome,
      /** What governs from here on. */
      bundleDigest: governed,
      time,
    },
    contents: {
      said: {
        mediaType: 'application/json',
        bytes: Buffer.from(canonicalJson({ administrator, key, reason, ticket })),
        salted: true,
      },
    },
  };
}
