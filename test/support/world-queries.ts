// What the tests of whole flows ask GraphQL for.

export interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly remedy: string | null;
  readonly place: { readonly file: string; readonly line: number | null } | null;
}

export interface Entry {
  readonly index: number;
  readonly type: string;
  readonly time: string;
  readonly leafHash: string;
  readonly predicate: Readonly<Record<string, unknown>>;
}

export interface Violation {
  readonly rule: string;
  readonly message: string;
  readonly fix: string | null;
  readonly commit: string | null;
  readonly place: { readonly file: string; readonly line: number | null };
  readonly source: { readonly path: string; readonly line: number } | null;
}

export interface Decision {
  readonly id: string;
  readonly environment: string;
  readonly outcome: 'allow' | 'deny' | 'pending' | 'error';
  readonly index: number | null;
  readonly time: string;
  readonly bundleDigest: string;
  readonly milliseconds: number;
  readonly error: Trouble | null;
  readonly violations: readonly Violation[];
  readonly entry: Entry | null;
  readonly change: { readonly head: string; readonly base: string | null; readonly objectChangeCount: number };
}

export interface EnvironmentState {
  readonly status: string;
  readonly trouble: Trouble | null;
  readonly head: string | null;
  readonly headOutcome: string | null;
  readonly approved: string | null;
  readonly noLongerCompliant: boolean;
}

export interface RepositoryState {
  readonly name: string;
  readonly state: string;
  readonly governanceCommit: string | null;
  readonly bundleDigest: string | null;
  readonly trouble: Trouble | null;
}

export interface PlannedWrite {
  readonly op: string;
  readonly identity: { readonly kind: string; readonly namespace: string; readonly name: string };
}

export interface Run {
  readonly id: string;
  readonly reason: string;
  readonly outcome: string;
  readonly startedAt: string;
  readonly startedIndex: number | null;
  readonly finishedAt: string | null;
  readonly finishedIndex: number | null;
  readonly planned: readonly PlannedWrite[];
  readonly trouble: Trouble | null;
  readonly decision: { readonly index: number; readonly change: { readonly head: string } } | null;
}

export interface Fault {
  readonly environment: string | null;
  readonly repository: string | null;
  readonly time: string;
  readonly index: number | null;
  readonly trouble: Trouble;
  readonly entry: Entry | null;
}

export interface LiveRow {
  readonly object: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly uid: string;
  readonly commitId: string;
  readonly decisionIndex: number;
}

const trouble = 'code message remedy place { file line }';
export const entryFields = 'index type time leafHash predicate';
export const decisionFields = `id environment outcome index time bundleDigest milliseconds error { ${trouble} }
  violations { rule message fix commit place { file line } source { path line } }
  entry { ${entryFields} } change { head base objectChangeCount }`;
export const environmentFields = `status trouble { ${trouble} } head headOutcome approved noLongerCompliant`;
export const runFields = `id reason outcome startedAt startedIndex finishedAt finishedIndex planned trouble { ${trouble} }
  decision { index change { head } }`;
export const faultFields = `environment repository time index trouble { ${trouble} } entry { ${entryFields} }`;
