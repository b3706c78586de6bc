import { posix } from 'node:path';
import { RE2JS } from 're2js';
import { canonicalJson } from '../../cluster/canonical.js';
import { isJsonObject, type Json, type JsonObject, type KubernetesObject } from '../../cluster/object.js';
import { CountersignError, type Place, toCountersignError } from '../../errors.js';
import type { Compiler, PolicyBundle } from '../bundle.js';
import type { Evaluator, RuleResult } from '../evaluator.js';
import { readResult } from '../rules.js';
import { SchemaBreach, SUITE_POINTS } from './constraint.js';
import { Faulty, faultsError, type PolicyDocument, readDocuments } from './document.js';
import { assemble, inventoryOf } from './gatekeeper.js';
import { at } from './template.js';

/** What became of one case of a suite; of a test without cases, or of a suite that cannot be read, as a whole. */
export interface CaseResult {
  readonly suite: string;
  readonly test: string;
  readonly case: string;
  readonly place: Place;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly message?: string;
}

export interface SuiteParts {
  readonly compiler: Compiler;
  readonly evaluator: Evaluator;
  /** The text of a file; paths are those of the suites, joined with what these say. Throws `usage` if there is none. */
  readonly read: (path: string) => string;
  /** Only tests and cases whose `suite test case` matches. */
  readonly run?: RegExp;
}

/** The suites of `gator verify` among these files. Throws `manifest-malformed` and its kin. */
export function suitesAmong(files: Iterable<readonly [string, string]>): PolicyDocument[] {
  const found: PolicyDocument[] = [];
  for (const [path, text] of files) {
    if (!/\.(ya?ml|json)$/.test(path) || !text.includes('test.gatekeeper.sh/')) continue;
    found.push(
      ...readDocuments(path, text).filter(({ group, kind }) => group === 'test.gatekeeper.sh' && kind === 'Suite'),
    );
  }
  return found;
}

/** Runs a suite as `gator verify` does. What is wrong with a test fails that test; only faults of ours are thrown. */
export async function runSuite(suite: PolicyDocument, parts: SuiteParts): Promise<CaseResult[]> {
  const { tests, skip } = suite.value;
  if (!Array.isArray(tests)) {
    const results = { suite: suite.place.file, test: '', case: '', place: suite.place };
    return [{ ...results, outcome: 'failed', message: 'the suite has no list of tests' }];
  }
  const results: CaseResult[] = [];
  for (const [i, test] of (tests as readonly Json[]).entries()) {
    const run = new TestRun(suite, isJsonObject(test) ? test : {}, i, parts);
    results.push(...(skip === true ? run.skipped() : await run.results()));
  }
  return results;
}

class TestRun {
  private readonly name: string;
  private readonly cases: readonly JsonObject[];

  constructor(
    private readonly suite: PolicyDocument,
    private readonly test: JsonObject,
    private readonly index: number,
    private readonly parts: SuiteParts,
  ) {
    this.name = nameOf(test, `test ${index + 1}`);
    const { cases } = test;
    this.cases = Array.isArray(cases) ? (cases as readonly Json[]).map((one) => (isJsonObject(one) ? one : {})) : [];
  }

  skipped(): CaseResult[] {
    if (this.cases.length === 0) return [this.whole('skipped')];
    return this.cases.map((_, i) => this.result(i, 'skipped'));
  }

  async results(): Promise<CaseResult[]> {
    if (this.test.skip === true || !this.wanted()) return this.skipped();
    let bundle: PolicyBundle;
    try {
      bundle = await this.bundle();
    } catch (thrown) {
      if (this.test.invalid === true && thrown instanceof SchemaBreach) return [this.whole('passed')];
      return [this.whole('failed', sentence(thrown))];
    }
    if (this.test.invalid === true)
      return [this.whole('failed', 'the constraint fits the schema of its template, and must not')];
    if (this.cases.length === 0) return [this.whole('passed')];
    const results: CaseResult[] = [];
    for (const i of this.cases.keys()) results.push(await this.runCase(bundle, i));
    return results;
  }

  private async runCase(bundle: PolicyBundle, i: number): Promise<CaseResult> {
    const { skip, assertions } = this.cases[i];
    if (skip === true || !this.wanted(i)) return this.result(i, 'skipped');
    try {
      if (!Array.isArray(assertions) || assertions.length === 0) throw usage('the case asserts nothing');
      const results = await this.review(bundle, this.cases[i]);
      const messages = results.map((result) => readResult(result).msg);
      const failures = (assertions as readonly Json[]).map((one) => failureOf(isJsonObject(one) ? one : {}, messages));
      const failed = failures.filter((failure) => failure !== undefined);
      return failed.length > 0 ? this.result(i, 'failed', failed.join('; ')) : this.result(i, 'passed');
    } catch (thrown) {
      return this.result(i, 'failed', sentence(thrown));
    }
  }

  private async review(bundle: PolicyBundle, { object, inventory = [] }: JsonObject): Promise<readonly RuleResult[]> {
    if (typeof object !== 'string') throw usage('the case names no object');
    const objects = this.documents(object);
    if (objects.length !== 1) throw usage(`${object} holds ${objects.length} objects, and a case is about one`);
    const change = changeOf(objects[0]);
    if (!Array.isArray(inventory) || !inventory.every((file) => typeof file === 'string')) {
      throw usage('inventory is no list of files');
    }
    const others = inventory.flatMap((file) => this.documents(file).map(({ value }) => value as KubernetesObject));
    const input = {
      time: new Date().toISOString(),
      commits: [],
      changes: [change],
      ...(bundle.inventory ? { inventory: inventoryOf(others, bundle.inventory) } : {}),
    };
    return this.parts.evaluator.evaluate(bundle, canonicalJson(input));
  }

  /** Throws SchemaBreach, or a CountersignError. */
  private async bundle(): Promise<PolicyBundle> {
    const { template, constraint, expansion } = this.test;
    if (typeof template !== 'string') throw usage('the test names no template');
    if (typeof constraint !== 'string') throw usage('the test names no constraint');
    const of = (file: string, group: string) => this.documents(file).filter((document) => document.group === group);
    const templates = of(template, 'templates.gatekeeper.sh');
    const constraints = of(constraint, 'constraints.gatekeeper.sh');
    if (templates.length !== 1) throw usage(`${template} must hold one ConstraintTemplate`);
    if (constraints.length !== 1) throw usage(`${constraint} must hold one constraint`);
    const expansions =
      typeof expansion === 'string' && expansion !== '' ? of(expansion, 'expansion.gatekeeper.sh') : [];
    const gatekeeper = assemble({ templates, constraints, expansions }, SUITE_POINTS);
    return this.parts.compiler.compile({ files: new Map(), data: {}, gatekeeper });
  }

  private documents(file: string): PolicyDocument[] {
    const path = posix.join(posix.dirname(this.suite.place.file), file);
    return readDocuments(path, this.parts.read(path));
  }

  private wanted(i?: number): boolean {
    const { run } = this.parts;
    if (!run) return true;
    const names = i === undefined ? this.cases.map((one, at) => nameOf(one, `case ${at + 1}`)) : [this.caseName(i)];
    return [...names, ''].some((name) => run.test(`${this.suite.place.file} ${this.name} ${name}`.trim()));
  }

  private caseName(i: number): string {
    return nameOf(this.cases[i], `case ${i + 1}`);
  }

  private whole(outcome: CaseResult['outcome'], message?: string): CaseResult {
    const place = this.suite.placeOf(['tests', this.index]);
    return { suite: this.suite.place.file, test: this.name, case: '', place, outcome, ...(message ? { message } : {}) };
  }

  private result(i: number, outcome: CaseResult['outcome'], message?: string): CaseResult {
    const place = this.suite.placeOf(['tests', this.index, 'cases', i]);
    return { ...this.whole(outcome, message), case: this.caseName(i), place };
  }
}

/** One change whose review is that of an object alone, or the request of an AdmissionReview. */
function changeOf({ value, group, version, kind }: PolicyDocument): Json {
  if (group === 'admission.k8s.io' && kind === 'AdmissionReview') {
    return { op: 'create', before: null, after: null, review: reviewOf(value.request) };
  }
  const [name, namespace] = ['name', 'namespace'].map((key) => at(value, ['metadata', key]));
  const review = {
    ...EMPTY_REVIEW,
    kind: { group: version === '' ? '' : group, version: version === '' ? group : version, kind },
    ...(name ? { name } : {}),
    ...(namespace ? { namespace } : {}),
    object: value,
  };
  return { op: 'create', before: null, after: value, review };
}

const EMPTY_REVIEW: JsonObject = {
  uid: '',
  kind: { group: '', version: '', kind: '' },
  resource: { group: '', version: '', resource: '' },
  operation: '',
  userInfo: {},
  object: null,
  oldObject: null,
  options: null,
};

const REQUEST_FIELDS = ['uid', 'kind', 'resource', 'subResource', 'requestKind', 'requestResource', 'requestSubResource', 'name', 'namespace', 'operation', 'userInfo', 'object', 'oldObject', 'dryRun', 'options']; // prettier-ignore

function reviewOf(request: Json | undefined): JsonObject {
  if (!isJsonObject(request)) throw usage('the AdmissionReview has no request');
  const unknown = Object.keys(request).find((key) => !REQUEST_FIELDS.includes(key));
  if (unknown !== undefined) throw usage(`an AdmissionReview's request has no field ${unknown}`);
  const { object = null, oldObject = null, operation } = request;
  if (object === null && oldObject === null) throw usage('the AdmissionReview has neither object nor oldObject');
  for (const one of [object, oldObject]) {
    if (one !== null && (!isJsonObject(one) || typeof one.kind !== 'string'))
      throw usage('an object of the AdmissionReview has no kind');
  }
  if (operation === 'DELETE' && oldObject === null) throw usage('an AdmissionReview with DELETE needs its oldObject');
  return { ...EMPTY_REVIEW, ...request, object: operation === 'DELETE' ? oldObject : object };
}

/** What an assertion finds wrong, if anything. */
function failureOf({ violations = 'yes', message }: JsonObject, messages: readonly string[]): string | undefined {
  let matching = messages;
  if (typeof message === 'string') {
    const pattern = patternOf(message);
    matching = messages.filter((one) => pattern.matcher(one).find());
  }
  const what = typeof message === 'string' ? ` that match ${JSON.stringify(message)}` : '';
  const said = `got ${matching.length} violations${what} (said: ${JSON.stringify(messages)})`;
  // YAML 1.1 reads yes and no as booleans.
  if (violations === 'yes' || violations === true) return matching.length > 0 ? undefined : `${said}, want at least 1`;
  if (violations === 'no' || violations === false) return matching.length === 0 ? undefined : `${said}, want none`;
  if (typeof violations === 'number' && Number.isSafeInteger(violations) && violations >= 0) {
    return matching.length === violations ? undefined : `${said}, want ${violations}`;
  }
  throw usage('violations of an assertion must be yes, no or a count');
}

function patternOf(text: string): RE2JS {
  try {
    return RE2JS.compile(text);
  } catch (cause) {
    throw new CountersignError('usage', `the message ${JSON.stringify(text)} is no regular expression`, { cause });
  }
}

function nameOf({ name }: JsonObject, fallback: string): string {
  return typeof name === 'string' && name !== '' ? name : fallback;
}

function usage(message: string): CountersignError {
  return new CountersignError('usage', message);
}

function sentence(thrown: unknown): string {
  return (thrown instanceof Faulty ? faultsError(thrown.faults) : toCountersignError(thrown)).sentence;
}
