import type { EntryType } from './entry.js';

/** Contents that may expire, by what they are. Policies, the service's configuration and what erasures say never do. */
export const contentKinds = ['inputs', 'rendered', 'findings', 'approvals', 'pushes', 'runs', 'evidence', 'access', 'exports', 'faults'] as const; // prettier-ignore
export type ContentKind = (typeof contentKinds)[number];

/** For how long each kind is kept, in milliseconds; one that is not here for ever. */
export type Retention = Readonly<Partial<Record<ContentKind, number>>>;

const DECISION: Readonly<Record<string, ContentKind>> = {
  input: 'inputs',
  result: 'inputs',
  rendered: 'rendered',
  violations: 'findings',
  impact: 'findings',
};
const KINDS: Partial<Readonly<Record<EntryType, ContentKind>>> = {
  approval: 'approvals',
  push: 'pushes',
  run: 'runs',
  drift: 'evidence',
  access: 'access',
  export: 'exports',
  fault: 'faults',
};

/** Undefined for what never expires. */
export const kindOf = (type: EntryType, role: string): ContentKind | undefined => (type === 'decision' ? DECISION[role] : KINDS[type]); // prettier-ignore
