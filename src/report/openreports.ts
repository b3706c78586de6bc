import { createHash } from 'node:crypto';
import { canonicalJson } from '../cluster/canonical.js';
import { identityKey, identityOf, type Json, type JsonObject, type KubernetesObject } from '../cluster/object.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { Decision, Rule, Violation } from '../policy/decision.js';
import type { LiveEnvironment } from '../review/judge-live.js';

/**
 * How a cluster takes reports: `openreports.io/v1alpha1`, or `wgpolicyk8s.io/v1alpha2`, from which it came. Both have the same
 * results; the older has no `source` of the whole report. Source: the CRDs of github.com/openreports/reports-api v0.2.1 and of
 * github.com/kyverno/kyverno v1.19.1.
 */
export interface ReportApi {
  readonly group: string;
  readonly version: string;
  readonly namespaced: string;
  readonly cluster: string;
}

/** The first that a cluster serves is written. */
export const REPORT_APIS: readonly ReportApi[] = [
  { group: 'openreports.io', version: 'v1alpha1', namespaced: 'Report', cluster: 'ClusterReport' },
  { group: 'wgpolicyk8s.io', version: 'v1alpha2', namespaced: 'PolicyReport', cluster: 'ClusterPolicyReport' },
];

export const SOURCE = 'countersign';
export const MANAGED_BY = 'app.kubernetes.io/managed-by';
/** Which log's service writes a report, and which environment it is about: digests, as labels can't hold their names. */
export const REPORT_LOG = 'countersign.dev/report-log';
export const REPORT_OF = 'countersign.dev/report-of';

export interface ReportLimits {
  /** Bytes of one report as JSON; an object may not exceed 1.5 MiB in etcd. */
  readonly bytes: number;
  /** Objects that a result names; where more passed, they are counted. */
  readonly subjects: number;
  /** Reports of one namespace. What does not fit is counted in the last one. */
  readonly parts: number;
}

export const REPORT_LIMITS: ReportLimits = { bytes: 1_000_000, subjects: 100, parts: 20 };

/** What a report is made from. */
export interface Reported {
  readonly live: Omit<LiveEnvironment, 'bundle' | 'input'>;
  /** What the policy in force says of it. */
  readonly decision: Decision;
  readonly bundle: PolicyBundle;
}

export const reportLog = (origin: string): string => labelOf(origin);
export const reportOf = ({ repository, environment }: { repository: string; environment: string }): string =>
  labelOf(`${repository}\0${environment}`);

function labelOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/**
 * The reports on what runs in one environment: one in each namespace that it has objects in, and one for objects in none. What
 * a rule says of an object is a result of its own; what passed is a result for each rule. A pure function, so that a report is
 * written only when something is different.
 */
export function environmentReports(
  { live, decision, bundle }: Reported,
  api: ReportApi,
  origin: string,
  limits: ReportLimits = REPORT_LIMITS,
): readonly KubernetesObject[] {
  const byNamespace = Map.groupBy(live.objects, ({ object }) => object.metadata.namespace ?? '');
  const seconds = Math.floor(Date.parse(live.time) / 1000);
  const rules = rulesById(bundle);
  return [...byNamespace]
    .toSorted(([a], [b]) => compare(a, b))
    .flatMap(([namespace, objects]) => {
      const results = resultsOf(
        objects.map(({ object }) => object),
        decision,
        rules,
        limits,
      ).map((result) => ({ ...result, source: SOURCE, timestamp: { seconds, nanos: 0 } }));
      return inParts(results, limits).map(({ results, leftOut }, part) => ({
        apiVersion: `${api.group}/${api.version}`,
        kind: namespace === '' ? api.cluster : api.namespaced,
        metadata: {
          name: `${nameOf(live, origin)}${part === 0 ? '' : `-${part + 1}`}`,
          ...(namespace === '' ? {} : { namespace }),
          labels: { [MANAGED_BY]: SOURCE, [REPORT_LOG]: reportLog(origin), [REPORT_OF]: reportOf(live) },
          annotations: {
            'countersign.dev/repository': live.repository,
            'countersign.dev/environment': live.environment,
            'countersign.dev/commit': live.commit,
            'countersign.dev/decision': String(live.decision),
            'countersign.dev/policy': bundle.digest,
            ...(leftOut > 0 ? { 'countersign.dev/left-out': `${leftOut} results` } : {}),
          },
        },
        ...(api.group === 'openreports.io' ? { source: SOURCE } : {}),
        summary: summaryOf(results),
        results,
      }));
    });
}

type Outcome = 'pass' | 'fail' | 'warn' | 'error' | 'skip';
interface Result extends JsonObject {
  readonly policy: string;
  readonly result: Outcome;
}

const KINDS = { deny: 'fail', warn: 'warn', require: 'warn' } as const;

function resultsOf(
  objects: readonly KubernetesObject[],
  decision: Decision,
  rules: ReadonlyMap<string, Rule>,
  limits: ReportLimits,
): Result[] {
  if (decision.error) {
    const { code, message, place } = decision.error;
    const properties: Record<string, string> = { code };
    if (place) properties['place'] = `${place.file}:${place.line ?? 1}`;
    return [{ policy: SOURCE, rule: 'evaluation', result: 'error', message: message.slice(0, MESSAGE), properties }];
  }
  const here = new Map(objects.map((object) => [identityKey(identityOf(object)), object]));
  const found = [...decision.violations, ...decision.warnings, ...decision.required].map((one) => ({ one, result: KINDS[one.kind] as Outcome })); // prettier-ignore
  const excepted = decision.excepted.map((one) => ({ one, result: 'skip' as Outcome }));
  const saidOf = new Map<string, Set<string>>();
  const results: Result[] = [];
  for (const { one, result } of [...found, ...excepted]) {
    const key = one.object && identityKey(one.object);
    const object = key === undefined ? undefined : here.get(key);
    if (!object || key === undefined) continue;
    saidOf.set(one.rule, (saidOf.get(one.rule) ?? new Set()).add(key));
    results.push(resultOf(one, result, object, decision, rules.get(one.rule)));
  }
  results.sort((a, b) => compare(canonicalJson(a), canonicalJson(b)));
  for (const rule of rules.values()) {
    const said = saidOf.get(rule.id);
    const passed = [...here].filter(([key]) => !said?.has(key)).map(([, object]) => object);
    if (passed.length > 0) results.push(passOf(rule, passed, limits));
  }
  return results;
}

function resultOf(one: Violation, result: Outcome, object: KubernetesObject, decision: Decision, rule?: Rule): Result {
  const { source, fix, exception, controls, severity, message } = one;
  const used = decision.exceptions.find(({ id }) => id === exception);
  const properties: Record<string, string> = {
    ...(controls.length > 0 ? { controls: controls.join(' ') } : {}),
    ...(source ? { source: `${source.path}:${source.line}` } : {}),
    ...(fix ? { fix } : {}),
    ...(exception ? { exception } : {}),
    ...(used ? { expires: used.expires, by: used.principal, ...(used.ticket ? { ticket: used.ticket } : {}) } : {}),
  };
  return {
    policy: rule?.package ?? SOURCE,
    rule: one.rule,
    ...categoryOf(rule),
    severity,
    scored: result !== 'warn',
    result,
    message: message.slice(0, MESSAGE),
    resources: [reference(object)],
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
  };
}

/** Characters of a message: a rule may put all of an object into it. */
const MESSAGE = 2_000;

function passOf(rule: Rule, passed: readonly KubernetesObject[], { subjects }: ReportLimits): Result {
  const shown = passed.map(reference).toSorted((a, b) => compare(canonicalJson(a), canonicalJson(b)));
  return {
    policy: rule.package,
    rule: rule.id,
    ...categoryOf(rule),
    severity: rule.severity,
    scored: rule.kind === 'deny',
    result: 'pass',
    ...(rule.title === undefined ? {} : { message: rule.title.slice(0, MESSAGE) }),
    resources: shown.slice(0, subjects),
    properties: {
      passed: String(passed.length),
      ...(rule.controls.length > 0 ? { controls: rule.controls.join(' ') } : {}),
    },
  };
}

/** `workload` of `countersign.workload`; the kind of a Gatekeeper constraint stands for itself. */
function categoryOf(rule: Rule | undefined): { category?: string } {
  const area = rule?.package.split('.')[1];
  return area ? { category: area } : {};
}

function reference(object: KubernetesObject): JsonObject {
  const { apiVersion, kind, metadata } = object;
  return { apiVersion, kind, name: metadata.name, ...(metadata.namespace ? { namespace: metadata.namespace } : {}) };
}

/** Rules about objects, in the order of their ids. A rule of several clauses is one. */
function rulesById({ rules }: PolicyBundle): ReadonlyMap<string, Rule> {
  const found = new Map<string, Rule>();
  for (const rule of rules.toSorted((a, b) => compare(a.id, b.id)))
    if (rule.scope === 'object' && !found.has(rule.id)) found.set(rule.id, rule);
  return found;
}

function summaryOf(results: readonly Result[]): JsonObject {
  const summary: Record<Outcome, number> = { pass: 0, fail: 0, warn: 0, error: 0, skip: 0 };
  for (const { result } of results) summary[result] += 1;
  return summary;
}

interface Part {
  readonly results: readonly Result[];
  readonly leftOut: number;
}

/** What passed stands last, so that it is what is left out where too much is to be told. */
function inParts(results: readonly Result[], { bytes, parts }: ReportLimits): Part[] {
  const all: Result[][] = [[]];
  let size = 0;
  for (const result of results) {
    const length = Buffer.byteLength(JSON.stringify(result)) + 1;
    if (size > 0 && size + length > bytes) {
      all.push([]);
      size = 0;
    }
    all.at(-1)!.push(result);
    size += length;
  }
  const leftOut = all.slice(parts).reduce((sum, part) => sum + part.length, 0);
  return all.slice(0, parts).map((part, i, kept) => ({ results: part, leftOut: i === kept.length - 1 ? leftOut : 0 }));
}

/** A name of Kubernetes' for an environment: what people recognise, and a digest that makes it unlike all others. */
function nameOf(live: { repository: string; environment: string }, origin: string): string {
  const readable = live.environment.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-|-$/g, '').slice(0, 40); // prettier-ignore
  return `countersign-${readable === '' ? '' : `${readable.replace(/-$/, '')}-`}${labelOf(`${origin}\0${live.repository}\0${live.environment}`).slice(0, 8)}`;
}

/** Whether what is live says all that is wanted, and nothing else in the fields that are ours. */
export function isSameReport(wanted: KubernetesObject, live: KubernetesObject): boolean {
  return canonicalJson(ownPart(wanted)) === canonicalJson(ownPart(live));
}

function ownPart(report: KubernetesObject): Json {
  const { metadata, source = null, summary = null, results = null } = report;
  const [labels, annotations] = [metadata['labels'], metadata['annotations']].map(ownEntries);
  return { labels, annotations, source, summary, results };
}

function ownEntries(entries: Json | undefined): Json {
  const ours = Object.entries((entries ?? {}) as JsonObject).filter(([key]) => key === MANAGED_BY || key.startsWith('countersign.dev/')); // prettier-ignore
  return Object.fromEntries(ours);
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
