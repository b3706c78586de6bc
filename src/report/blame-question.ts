import { jsonEqual } from '../cluster/diff.js';
import { describeIdentity, type Json, type KubernetesObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { Attribution } from '../reconcile/attribution.js';
import type { LiveObject } from '../reconcile/cluster.js';
import { asServed, compare, manifestAt } from '../reconcile/drift.js';
import { formatPath, type Step } from '../reconcile/managed-fields.js';
import type { ChangeRecord, DecisionRecord, DriftRecord, LiveObjectRecord } from '../review/records.js';
import { blame, type BlamedField, type Version } from './blame.js';
import type { Queries } from './queries.js';

/** What somebody asks about, as they would name it to kubectl. */
export interface BlameQuestion {
  /** `deployment`, `deploy`, `deployments.apps`, `Deployment`. */
  readonly kind: string;
  readonly name: string;
  /** '' for a cluster-scoped object; undefined: whichever. */
  readonly namespace?: string | undefined;
  readonly repository?: string | undefined;
  readonly environment?: string | undefined;
}

/** How a governed object is in its target right now. */
export interface Seen {
  readonly live: LiveObject | null;
  /** What is sent for it; null where nothing is approved, or not known yet. */
  readonly sent: KubernetesObject | null;
  /** The API server's answer to exactly that, where it is remembered. */
  readonly expected: LiveObject | undefined;
}

export interface BlameParts {
  readonly queries: Queries;
  readonly redact: (object: KubernetesObject) => KubernetesObject;
  /** Throws `cluster-unavailable`. */
  readonly look: (object: LiveObjectRecord) => Promise<Seen>;
  /** The object as a commit has it, redacted; null where it has none, or cannot be read. */
  readonly objectAt: (object: LiveObjectRecord, commit: string) => Promise<KubernetesObject | null>;
}

export interface FieldAnswer {
  readonly path: string;
  readonly value: Json | undefined;
  readonly by: 'git' | 'countersign' | 'outside' | 'server';
  /** True for what is not as approved. */
  readonly differs: boolean;
  /** For what came from Git. `isExact`: false where older commits of the same change may have set it already. */
  readonly git: {
    readonly commit: string;
    readonly isExact: boolean;
    readonly operation: ChangeRecord['operation'] | null;
    readonly decision: number;
    readonly appliedAt: string | null;
  } | null;
  readonly attribution: Attribution | null;
  /** The newest drift that was recorded of this field. */
  readonly drift: DriftRecord | null;
}

export interface BlameAnswer {
  readonly object: LiveObjectRecord;
  readonly isThere: boolean;
  readonly fields: readonly FieldAnswer[];
  /** What was changed outside of Git, newest first. */
  readonly drift: readonly DriftRecord[];
}

/** Commits of one change that are read again to find the one that set a field. */
const MOST_COMMITS = 50;
const MOST_DRIFTS = 20;

/**
 * Who set each field of a live object. Throws `not-found` for one that is not governed, `query-invalid` where several are meant,
 * `cluster-unavailable`.
 */
export async function answerBlame(question: BlameQuestion, parts: BlameParts): Promise<BlameAnswer> {
  const object = await find(question, parts.queries);
  const { repository, environment, group, kind, namespace, name } = object;
  const [{ live, sent, expected }, history, drifts] = await Promise.all([
    parts.look(object),
    historyOf(object, parts.queries),
    parts.queries.list('drift', { repository, environment, group, kind, namespace, name }, { first: MOST_DRIFTS }),
  ]);
  const drift = drifts.rows;
  if (!live) return { object, isThere: false, fields: [], drift };
  const differences = sent ? compare(sent, live, expected).differences : [];
  const versions = history.map(({ after }) => after);
  const fields = blame({ live, shown: parts.redact(live), sent, differences, versions });
  const commits = await commitsOf(fields, history, object, parts);
  const answers = fields.map((field): FieldAnswer => {
    const { origin, value } = field;
    const path = formatPath(field.path);
    const past = origin.by === 'git' ? history[origin.version] : undefined;
    const commit = commits.get(path);
    return {
      path,
      value,
      by: origin.by,
      differs: origin.by === 'outside' && origin.differs,
      git: past
        ? {
            commit: commit?.id ?? past.head,
            isExact: commit?.isExact ?? true,
            operation: past.operation,
            decision: past.decision,
            appliedAt: past.appliedAt,
          }
        : null,
      attribution: origin.by === 'outside' ? origin.attribution : null,
      drift: drift.find((one) => one.correctedAt === null && pathsOf(one).includes(path)) ?? null,
    };
  });
  return { object, isThere: true, fields: answers, drift };
}

interface Past {
  readonly after: Version;
  readonly head: string;
  readonly commits: readonly string[];
  readonly operation: ChangeRecord['operation'] | null;
  readonly decision: number;
  readonly appliedAt: string | null;
}

async function find(question: BlameQuestion, queries: Queries): Promise<LiveObjectRecord> {
  const { kind, name, namespace, repository, environment } = question;
  const rows = await queries.anyOf('liveObject', {
    name: [name],
    ...(namespace === undefined ? {} : { namespace: [namespace] }),
    ...(repository === undefined ? {} : { repository: [repository] }),
    ...(environment === undefined ? {} : { environment: [environment] }),
  });
  const found = rows.filter((row) => row.hook === null && isKind(kind, row));
  if (found.length === 1) return found[0];
  const asked = `${kind.slice(0, 80)}/${name.slice(0, 260)}${namespace ? ` in ${namespace.slice(0, 80)}` : ''}`;
  if (found.length === 0) {
    throw new CountersignError('not-found', `no environment holds ${asked}`, {
      remedy: 'See countersign orphans for what no commit explains',
    });
  }
  const several = found.map((row) => `${describeIdentity(row)} of ${row.repository} ${row.environment}`);
  throw new CountersignError('query-invalid', `${asked} may be ${several.slice(0, 5).join(', ')}`, {
    remedy: 'Say which: --namespace, --environment, --repository',
  });
}

const shortNames: Readonly<Record<string, string>> = {
  cj: 'cronjob',
  cm: 'configmap',
  crd: 'customresourcedefinition',
  deploy: 'deployment',
  ds: 'daemonset',
  hpa: 'horizontalpodautoscaler',
  ing: 'ingress',
  netpol: 'networkpolicy',
  ns: 'namespace',
  pdb: 'poddisruptionbudget',
  po: 'pod',
  pv: 'persistentvolume',
  pvc: 'persistentvolumeclaim',
  rs: 'replicaset',
  sa: 'serviceaccount',
  sts: 'statefulset',
  svc: 'service',
};

/** Whether a kind is meant by a word as kubectl takes it: singular, plural or short, with the group after a dot. Pure. */
export function isKind(word: string, { kind, group }: { readonly kind: string; readonly group: string }): boolean {
  const [first, ...rest] = word.toLowerCase().split('.');
  if (rest.length > 0 && rest.join('.') !== group) return false;
  const singular = kind.toLowerCase();
  const plural = /(s|x|ch|sh)$/.test(singular)
    ? `${singular}es`
    : /[^aeiou]y$/.test(singular)
      ? `${singular.slice(0, -1)}ies`
      : `${singular}s`;
  return first === singular || first === plural || shortNames[first] === singular;
}

/** What allowed changes made of it, newest first. */
async function historyOf(object: LiveObjectRecord, queries: Queries): Promise<Past[]> {
  const { repository, environment, group, kind, namespace, name, commit, decision } = object;
  const touched = await queries.anyOf('objectChange', { group: [group], kind: [kind], namespace: [namespace], name: [name] }); // prettier-ignore
  const ids = touched.map(({ change }) => change);
  const changes = new Map(
    (await queries.anyOf('change', { id: ids }))
      .filter((one) => one.repository === repository && one.environment === environment)
      .map((one) => [one.id, one]),
  );
  const decisions = (await queries.anyOf('decision', { change: [...changes.keys()], outcome: ['allow'] })).filter(isLogged); // prettier-ignore
  const runs = await queries.anyOf('run', { decision: decisions.map(({ id }) => id), outcome: ['succeeded'] });
  const found = decisions.map(({ id, change, index }): Past => {
    const { head, commits, operation } = changes.get(change)!;
    const { after } = touched.find((one) => one.change === change)!;
    const ends = runs.flatMap((run) => (run.decision === id && run.finishedAt !== null ? [run.finishedAt] : []));
    const appliedAt = ends.reduce<string | null>((first, end) => (first === null || end < first ? end : first), null);
    return { after, head, commits, operation, decision: index, appliedAt };
  });
  const newest = found.toSorted((a, b) => b.decision - a.decision);
  // Taken up without a change of it, as by an adoption: the inventory says by which commit.
  if (newest.length > 0) return newest;
  return [{ after: null, head: commit, commits: [], operation: null, decision, appliedAt: null }];
}

type Logged = DecisionRecord & { readonly index: number };
const isLogged = (decision: DecisionRecord): decision is Logged => decision.index !== null;

interface FoundCommit {
  readonly id: string;
  readonly isExact: boolean;
}

/** By path, the commit of a change of several that gave the field its value: each is read again, from the newest back. */
async function commitsOf(
  fields: readonly BlamedField[],
  history: readonly Past[],
  object: LiveObjectRecord,
  { objectAt, queries }: BlameParts,
): Promise<Map<string, FoundCommit>> {
  const found = new Map<string, FoundCommit>();
  for (const [version, past] of history.entries()) {
    let open = fields.filter(({ origin }) => origin.by === 'git' && origin.version === version).map(({ path }) => path);
    if (open.length === 0 || past.commits.length < 2 || !past.after) continue;
    const records = await queries.anyOf('commit', { repository: [object.repository], id: past.commits });
    const touching = new Set(
      records.filter(({ files }) => files.some(({ path }) => path === object.path)).map(({ id }) => id),
    );
    const all = past.commits.filter((id) => touching.size === 0 || touching.has(id));
    const looked = all.slice(-MOST_COMMITS);
    const value = asServed(past.after);
    for (let i = looked.length - 1; i > 0 && open.length > 0; i--) {
      const older = await objectAt(object, looked[i - 1]);
      const rest: (readonly Step[])[] = [];
      for (const path of open) {
        if (older && isSame(value, asServed(older), path)) rest.push(path);
        else found.set(formatPath(path), { id: looked[i], isExact: true });
      }
      open = rest;
    }
    for (const path of open) found.set(formatPath(path), { id: looked[0], isExact: all.length === looked.length });
  }
  return found;
}

function isSame(one: KubernetesObject, other: KubernetesObject, path: readonly Step[]): boolean {
  const [a, b] = [manifestAt(one, path), manifestAt(other, path)];
  return a !== undefined && b !== undefined && jsonEqual(a, b);
}

function pathsOf({ fields }: DriftRecord): string[] {
  if (!Array.isArray(fields)) return [];
  return (fields as readonly { readonly path: string }[]).map(({ path }) => path);
}
