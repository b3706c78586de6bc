import { createHash } from 'node:crypto';
import { CountersignError, toCountersignError } from '../errors.js';
import {
  EXCEPTION_NAMESPACE,
  EXCEPTIONS_FOLDER,
  type ExceptionContext,
  exceptionInput,
  expired,
  objection,
  parseException,
  type ParsedException,
} from '../policy/exception.js';
import type { InputException } from '../policy/input.js';
import type { TreeEntry, TreeReader } from '../source/repository.js';
import { checkStatement, type Signers } from '../source/signers.js';
import type { CountedSpan, ExceptionRecord } from './records.js';

/** Bytes that a statement, or its signature, may have; and how many exceptions one repository may have. */
const LONGEST = 64 * 1024;
const MOST = 2_000;

/** An exception as it lies in the repository. */
export interface ExceptionFile {
  /** SHA-256, hex, of repository, statement and signature: the same text signed again is another exception. */
  readonly id: string;
  readonly path: string;
  readonly text: string;
  readonly signature: string | null;
}

/** What was made of it under the signers, rules and environments of one governance commit. */
export interface ExceptionStanding extends ExceptionFile {
  readonly parsed: ParsedException | null;
  readonly principal: string | null;
  readonly key: string | null;
  /** As policy is told of it until it expires; null if it does not count. */
  readonly input: InputException | null;
  /** Why it does not count, or no longer does, with its place. */
  readonly fault: CountersignError | null;
}

/** Reads what lies in the folder at a commit. A file that is no exception at all is one that does not count, never an error. */
export async function readExceptions(tree: TreeReader, commit: string, repository: string): Promise<ExceptionFile[]> {
  const entries = new Map((await tree.tree(commit, EXCEPTIONS_FOLDER)).map((entry) => [entry.path, entry]));
  const statements = [...entries.values()].filter(({ path }) => /\.ya?ml$/.test(path)).slice(0, MOST);
  const files: ExceptionFile[] = [];
  for (const entry of statements) {
    const sealed = entries.get(`${entry.path}.sig`);
    const text = await readPlain(tree, entry);
    const signature = sealed ? await readPlain(tree, sealed) : null;
    files.push({ id: exceptionId(repository, text ?? entry.id, signature), path: entry.path, text: text ?? '', signature }); // prettier-ignore
  }
  return files;
}

async function readPlain(tree: TreeReader, entry: TreeEntry): Promise<string | null> {
  if (entry.type !== 'blob' || !entry.mode.startsWith('100')) return null;
  try {
    return (await tree.blob(entry.id, LONGEST)).toString('utf8');
  } catch (thrown) {
    if (toCountersignError(thrown).code === 'manifest-too-large') return null;
    throw thrown;
  }
}

/** Name of a repository is part of it: what one repository's log says of an exception is nothing about another's. */
export function exceptionId(repository: string, text: string, signature: string | null): string {
  return createHash('sha256')
    .update(JSON.stringify([repository, text, signature]))
    .digest('hex');
}

/** Read, signed by somebody who may, and about what is there: in this order, and the first "no" is the fault (fails closed). */
export function standingOf(
  file: ExceptionFile,
  context: ExceptionContext & { readonly signers: Signers; readonly now: Date },
): ExceptionStanding {
  const nothing = { ...file, parsed: null, principal: null, key: null, input: null };
  let parsed: ParsedException;
  try {
    parsed = parseException(file.text, file.path);
  } catch (thrown) {
    return { ...nothing, fault: toCountersignError(thrown) };
  }
  const { principal, key, reason } = signatureOf(file, context.signers, context.firstSeen);
  const read = { ...nothing, parsed, principal, key };
  if (reason !== null || principal === null) return { ...read, fault: unsigned(file, reason ?? 'nobody is known') };
  const fault = objection(parsed, context);
  if (fault) return { ...read, fault };
  return { ...read, fault: expired(parsed, context.now), input: exceptionInput(file.id, parsed.statement, principal) };
}

interface Signer {
  readonly principal: string | null;
  readonly key: string | null;
  /** Why the signature does not count; null when it does. */
  readonly reason: string | null;
}

/** Judged at the time it was first seen, with the revocations known now (invariant 6). */
function signatureOf({ text, signature }: ExceptionFile, signers: Signers, firstSeen: Date): Signer {
  if (signature === null) return { principal: null, key: null, reason: 'it is not signed' };
  const checked = checkStatement(Buffer.from(text), Buffer.from(signature), EXCEPTION_NAMESPACE, signers, firstSeen);
  const { status, principal, key = null, reason, forge } = checked;
  if (status !== 'verified' || principal === undefined)
    return { principal: null, key, reason: reason ?? `its signature is ${status}` };
  if (forge) return { principal: null, key, reason: 'a forge signed it, which vouches for nobody' };
  if (/[*?]/.test(principal))
    return { principal: null, key, reason: `its key belongs to ${principal}, which is nobody in particular` };
  return { principal, key, reason: null };
}

function unsigned({ path, signature }: ExceptionFile, reason: string): CountersignError {
  return new CountersignError('exception-invalid', reason, {
    place: { file: signature === null ? path : `${path}.sig`, line: 1 },
    remedy: `Have it signed by somebody in .countersign/allowed_signers: countersign exception sign ${path}`,
  });
}

/** Those that count for an environment at a time, in the order of their ids. */
export function exceptionsFor(
  all: readonly ExceptionStanding[],
  environment: string,
  time: Date,
): readonly InputException[] {
  return all
    .flatMap(({ input }) => (input && input.scope.environment === environment ? [input] : []))
    .filter(({ expires }) => Date.parse(expires) > time.getTime())
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/**
 * What is wrong with exceptions that a change brings. One that was there before and has since gone bad (its signer left, its rule is
 * gone, it expired) does not count, and must not keep every other change of governance from being let in.
 */
export function newFaults(
  proposed: readonly ExceptionStanding[],
  before: readonly ExceptionStanding[],
): readonly CountersignError[] {
  const known = new Set(before.map(({ id }) => id));
  return proposed.flatMap(({ id, fault }) => (fault && !known.has(id) ? [fault] : []));
}

/** The records that differ after governance moved to `commit`: new ones, those that lapsed or count again, those that are gone. */
export function exceptionMoves(
  standings: readonly ExceptionStanding[],
  recorded: readonly ExceptionRecord[],
  facts: { readonly repository: string; readonly commit: string; readonly time: string },
): readonly ExceptionRecord[] {
  const known = new Map(recorded.map((record) => [record.id, record]));
  const present = new Set(standings.map(({ id }) => id));
  const moved = standings.flatMap((standing) => {
    const before = known.get(standing.id);
    const status = standing.input ? 'accepted' : before && before.status !== 'rejected' ? 'lapsed' : 'rejected';
    if (before?.status === status) return [];
    const counted = spansAfter(before, status, facts.time);
    return [{ ...described(standing, facts), status, counted, firstSeen: before?.firstSeen ?? facts.time } as const];
  });
  const gone = recorded.filter(({ id, status }) => !present.has(id) && status !== 'withdrawn');
  return [
    ...moved,
    ...gone.map((record) => ({ ...record, status: 'withdrawn' as const, counted: spansAfter(record, 'withdrawn', facts.time), refusal: 'it was removed', commit: facts.commit, index: null })), // prettier-ignore
  ];
}

/** Begins a span where it counts from now on, and ends the one that it counted in until now. */
function spansAfter(
  before: Pick<ExceptionRecord, 'counted'> | undefined,
  status: ExceptionRecord['status'],
  time: string,
): readonly CountedSpan[] {
  const ended = (before?.counted ?? []).map((span) => (span.to === null ? { ...span, to: time } : span));
  return status === 'accepted' ? [...ended, { from: time, to: null }] : ended;
}

function described(
  { id, path, parsed, principal, key, fault }: ExceptionStanding,
  { repository, commit }: { readonly repository: string; readonly commit: string },
): Omit<ExceptionRecord, 'status' | 'firstSeen' | 'counted'> {
  const { rule = null, scope = null, owner = null, reason = null, ticket = null, expires = null } =
    parsed?.statement ?? {}; // prettier-ignore
  const refusal = fault?.message ?? null;
  return { id, repository, path, rule, scope, owner, reason, ticket, expires, principal, key, refusal, commit, index: null }; // prettier-ignore
}
