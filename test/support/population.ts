import { createHash } from 'node:crypto';
import type { DecidedChange } from '../../src/report/population.js';

export const leafHash = (index: number): string => createHash('sha256').update(String(index)).digest('hex');

/** A change as a listing has it, allowed and approved unless told. */
export function decidedChange(
  index: number,
  rest: Partial<DecidedChange> & { readonly by?: string; readonly approvedBy?: string } = {},
): DecidedChange {
  const { by = 'ann@example.org', approvedBy = 'bo@example.org', ...others } = rest;
  const time = new Date(Date.UTC(2026, 6, 1 + index)).toISOString();
  const person = { name: 'Ann', email: 'ann@example.org', time };
  return {
    index,
    leafHash: leafHash(index),
    id: `decision-${index}`,
    repository: 'shop',
    environment: 'shop/production',
    target: 'prod',
    namespace: 'shop',
    outcome: 'allow',
    time,
    violations: [],
    required: [],
    bundleDigest: 'b',
    change: { operation: 'push', ref: 'refs/heads/main', base: null, head: 'h', tree: 't', renderedDigest: 'r' },
    commits: [
      {
        id: 'h',
        author: person,
        committer: person,
        message: `Change ${index}\n\nTicket: SHOP-${index}\n`,
        signature: { status: 'verified', principal: by, key: 'SHA256:k' },
        files: 1,
        firstSeen: time,
      },
    ],
    commitCount: 1,
    objects: [],
    objectChanges: 2,
    approvals: approvedBy
      ? [{ principal: approvedBy, person: null, key: 'SHA256:k', via: 'git', firstSeen: time }]
      : [],
    excepted: [],
    exceptions: [],
    run: null,
    duty: null,
    uids: [],
    liveMatches: null,
    controls: [],
    ...others,
  };
}

/** A page each. */
export async function* pagesOf(...rows: readonly DecidedChange[]): AsyncGenerator<Iterable<DecidedChange>> {
  for (const one of rows) yield [one];
}
