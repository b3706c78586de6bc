import { describeIdentity, type Json, type ObjectIdentity } from '../cluster/object.js';
import { describeEvidence, strongest } from './evidence-of-drift.js';

/** Who set each field of an object, as the service answers it (`Blame` in the schema), for people. */
export interface BlameLines {
  readonly object: {
    readonly object: Pick<ObjectIdentity, 'group' | 'version' | 'kind' | 'namespace' | 'name'>;
    readonly repository: string;
    readonly environment: string;
    readonly health: string;
  };
  readonly isThere: boolean;
  readonly fields: readonly BlameLine[];
  readonly drift: readonly DriftLine[];
}

export interface BlameLine {
  readonly path: string;
  readonly value: Json;
  readonly by: 'git' | 'countersign' | 'outside' | 'server';
  readonly differs: boolean;
  readonly commitId: string | null;
  readonly isExact: boolean | null;
  readonly commit: {
    readonly author: { readonly name: string; readonly email: string };
    readonly signature: { readonly principal: string | null; readonly status: string; readonly key: string | null };
  } | null;
  readonly operation: string | null;
  readonly decision: { readonly approvals: readonly { readonly principal: string | null; readonly account: string | null }[] } | null; // prettier-ignore
  readonly decisionIndex: number | null;
  readonly appliedAt: string | null;
  readonly attribution: Json;
  readonly drift: { readonly index: number | null; readonly supplements: Json } | null;
}

export interface DriftLine {
  readonly fields: readonly { readonly path: string; readonly live?: Json }[];
  readonly type: string;
  readonly attribution: Json;
  readonly supplements: Json;
  readonly detectedAt: string;
  readonly correctedAt: string | null;
  readonly index: number | null;
}

interface Group {
  readonly who: string;
  readonly lines: BlameLine[];
}

const LONGEST_VALUE = 60;
/** Fields of one hand that are shown one by one; more of them are counted. */
const ONE_BY_ONE = 12;

/** The field, what it is and who set it; what most of them have in common comes last, as "everything else". */
export function blameText({ object, isThere, fields, drift }: BlameLines): string[] {
  const head = `${describeIdentity(object.object)}   ${object.repository} ${object.environment}   ${object.health}`;
  if (!isThere) return [head, '', 'it is not in its cluster right now', ...driftLines(drift)];
  const by = (source: BlameLine['by']): BlameLine[] => fields.filter((field) => field.by === source);
  const outside = by('outside');
  const groups = grouped([...outside.filter(({ differs }) => differs), ...by('git'), ...outside.filter(({ differs }) => !differs)]); // prettier-ignore
  const git = groups.filter(({ lines }) => lines[0].by === 'git');
  const most = git.length > 0 ? git.reduce((a, b) => (b.lines.length > a.lines.length ? b : a)) : undefined;
  const rows: [string, string, string][] = [];
  for (const { who, lines } of groups) {
    const common = who === most?.who && lines.length > 1;
    if (common) continue;
    if (lines.length > ONE_BY_ONE || lines.every(({ path }) => path.startsWith('status'))) {
      rows.push([`${commonPath(lines)} (${counted(lines.length)})`, '', who]);
    } else for (const { path, value } of lines) rows.push([path, shown(value), who]);
  }
  if (most && most.lines.length > 1) rows.push(['everything else that Git has', '', most.who]);
  const own = by('countersign').length;
  if (own > 0) rows.push([`annotations and label of Countersign’s own (${counted(own)})`, '', 'Countersign']);
  const server = by('server').length;
  if (server > 0) rows.push([`defaults (${counted(server)})`, '', 'the API server']);
  return [head, '', ...aligned(rows), ...driftLines(drift)];
}

function grouped(fields: readonly BlameLine[]): Group[] {
  const groups = new Map<string, Group>();
  for (const field of fields) {
    const who = whoOf(field);
    const group = groups.get(who) ?? { who, lines: [] };
    group.lines.push(field);
    groups.set(who, group);
  }
  return [...groups.values()];
}

function whoOf(field: BlameLine): string {
  const { by, differs, attribution, commitId, isExact, commit, operation, decision, decisionIndex, appliedAt } = field;
  if (by === 'outside') {
    const entry = field.drift?.index;
    const recorded = entry === undefined || entry === null ? '' : `, entry ${entry}`;
    return `${differs ? 'outside Git: ' : ''}${evidence({ attribution, supplements: field.drift?.supplements ?? [] })}${recorded}`;
  }
  if (commitId === null) return by;
  const author = commit ? `${commit.author.name} <${commit.author.email}>` : 'an author who is not recorded';
  const signed = commit?.signature.principal
    ? `(signed by ${commit.signature.principal}, ${commit.signature.key ?? ''})`
    : `(${commit?.signature.status === 'none' || !commit ? 'not signed' : commit.signature.status})`;
  const approvers = (decision?.approvals ?? []).map(({ principal, account }) => principal ?? account ?? 'somebody');
  return [
    `${commitId.slice(0, 7)}${isExact === false ? ' or older' : ''} ${author} ${signed}`,
    ...(operation && operation !== 'push' ? [operation.replaceAll('_', ' ')] : []),
    ...(approvers.length > 0 ? [`approved by ${approvers.join(', ')}`] : []),
    `decision ${decisionIndex}`,
    ...(appliedAt ? [`applied ${appliedAt}`] : []),
  ].join('  ');
}

const evidence = (drift: { readonly attribution: Json; readonly supplements: Json }): string =>
  describeEvidence(strongest(drift));

function driftLines(drift: readonly DriftLine[]): string[] {
  if (drift.length === 0) return [];
  const lines = drift.map(({ fields, type, attribution, supplements, detectedAt, correctedAt, index }) => {
    const [first, ...more] = fields;
    const what = first ? `${first.path}${'live' in first ? ` ${shown(first.live ?? null)}` : ''}${more.length > 0 ? ` and ${more.length} more` : ''}` : type; // prettier-ignore
    const end = correctedAt ? `reverted ${correctedAt}` : 'not reverted';
    return `${detectedAt}   ${what}   ${evidence({ attribution, supplements })} → ${end}${index === null ? '' : `, entry ${index}`}`;
  });
  return ['', 'changed outside Git', ...lines.map((line) => `  ${line}`)];
}

const counted = (fields: number): string => (fields === 1 ? '1 field' : `${fields} fields`);

/** What the paths of several fields begin with. */
function commonPath(lines: readonly BlameLine[]): string {
  const [first, ...rest] = lines.map(({ path }) => path.split('.'));
  let length = 0;
  while (length < first.length && rest.every((path) => path[length] === first[length])) length++;
  return length > 0 ? first.slice(0, length).join('.') : 'elsewhere';
}

function shown(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, 28)}…${text.slice(-28)}` : text;
}

function aligned(rows: readonly [string, string, string][]): string[] {
  const width = Math.min(60, Math.max(0, ...rows.map(([path]) => path.length)));
  return rows.map(([path, value, who]) => `${path.padEnd(width)}   ${value ? `${value}   ` : ''}${who}`);
}
