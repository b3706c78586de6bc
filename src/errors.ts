/** Every way in which Countersign says no. The code is for programs, the message for people. */
export type ErrorCode =
  // input that cannot be read
  | 'usage'
  | 'query-invalid'
  | 'query-limit'
  | 'cursor-invalid'
  | 'not-found'
  | 'unauthenticated'
  | 'forbidden'
  | 'too-many-requests'
  | 'issuer-unavailable'
  | 'config-invalid'
  | 'manifest-malformed'
  | 'manifest-duplicate-key'
  | 'manifest-too-large'
  | 'manifest-too-deep'
  | 'manifest-aliases'
  | 'manifest-number'
  | 'object-duplicate'
  | 'object-invalid'
  | 'namespace-missing'
  | 'render-failed'
  | 'render-refused'
  | 'render-limit'
  | 'environment-invalid'
  | 'environment-not-granted'
  // Git
  | 'repository-missing'
  | 'repository-empty'
  | 'repository-unsupported'
  | 'repository-corrupt'
  | 'git-failed'
  | 'ref-moved'
  | 'revision-unknown'
  | 'history-rewritten'
  | 'change-too-large'
  | 'object-missing'
  | 'signature-malformed'
  | 'signers-malformed'
  | 'approval-invalid'
  | 'exception-invalid'
  | 'forge-failed'
  | 'notification-failed'
  // policy
  | 'rego-invalid'
  | 'constraint-invalid'
  | 'policy-result'
  | 'policy-failed'
  | 'policy-timeout'
  | 'policy-memory'
  | 'inventory-too-large'
  // log
  | 'log-conflict'
  | 'log-behind'
  | 'log-invalid'
  | 'proof-invalid'
  | 'note-invalid'
  | 'bundle-invalid'
  | 'content-missing'
  | 'content-corrupt'
  | 'keys-invalid'
  | 'keys-unavailable'
  | 'witness-unavailable'
  | 'mirror-unavailable'
  | 'erasure-refused'
  // places
  | 'database-unavailable'
  | 'data-folder'
  | 'disk-full'
  | 'cluster-unavailable'
  | 'cluster-refused'
  | 'cluster-conflict'
  | 'kind-unknown'
  | 'object-unhealthy'
  | 'return-refused'
  | 'drifted'
  | 'hook-failed'
  | 'object-claimed'
  | 'prune-guarded'
  | 'audit-incomplete'
  | 'suspended'
  | 'not-approved'
  | 'run-superseded'
  | 'lease-lost'
  | 'internal';

/** Where a fault is: a file of the user's, and the 1-based line in it where that is known. */
export interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

export interface ErrorDetail {
  readonly place?: Place;
  /** What to do about it: one imperative sentence. */
  readonly remedy?: string;
  /** True if the same call may succeed later without anybody changing anything. */
  readonly retry?: boolean;
  readonly cause?: unknown;
}

/** The only error class that leaves a module. `message` says what is wrong, `place` where, `remedy` what to do. */
export class CountersignError extends Error {
  override readonly name = 'CountersignError';
  readonly place: Place | undefined;
  readonly remedy: string | undefined;
  readonly retry: boolean;

  constructor(
    readonly code: ErrorCode,
    message: string,
    detail: ErrorDetail = {},
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.place = detail.place;
    this.remedy = detail.remedy;
    this.retry = detail.retry ?? false;
  }

  /** One line for people: `file:line  what is wrong. What to do.` */
  get sentence(): string {
    const at = this.place ? `${formatPlace(this.place)}  ` : '';
    return `${at}${this.message}${this.remedy ? `. ${this.remedy}` : ''}`;
  }
}

export function formatPlace(place: Place): string {
  const line = place.line === undefined ? '' : `:${place.line}`;
  return `${place.file}${line}${place.line !== undefined && place.column !== undefined ? `:${place.column}` : ''}`;
}

/** Any thrown value as a CountersignError; what is not one already becomes `internal`. */
export function toCountersignError(thrown: unknown): CountersignError {
  if (thrown instanceof CountersignError) return thrown;
  const cause = thrown as NodeJS.ErrnoException;
  if (cause?.code === 'ENOSPC') {
    return new CountersignError('disk-full', `the disk is full: ${cause.message}`, {
      remedy: 'Free space, then try again',
      retry: true,
      cause,
    });
  }
  return new CountersignError('internal', thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
}
