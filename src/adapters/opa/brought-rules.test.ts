import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BundleSources, PolicyBundle } from '../../policy/bundle.js';
import { decision, judgedIn } from '../../policy/decide.js';
import type { Violation } from '../../policy/decision.js';
import { explain } from '../../policy/explain.js';
import type { PolicyInput } from '../../policy/input.js';
import { policySources } from '../../policy/sources.js';
import { RegoCompiler } from './compiler.js';
import { RegoEvaluator } from './evaluator.js';
import { SdkEvaluator } from './sdk-evaluator.js';

// Rules as teams have them for Conftest and for OPA, unchanged.
const folder = mkdtempSync(join(tmpdir(), 'countersign-brought-'));
const compiler = new RegoCompiler({ testsBelow: folder });
const evaluator = new RegoEvaluator({ threads: 1 });
const sdk = new SdkEvaluator();
afterAll(async () => {
  await Promise.all([compiler.close(), evaluator.close(), sdk.close()]);
  rmSync(folder, { recursive: true });
});

const sourcesOf = (rego: string, file = 'policies/x.rego') =>
  policySources(new Map([[file, rego]]), { profile: 'off' });

const change = (op: string, kind: string, name: string, spec: object, apiVersion = 'v1') => {
  const object = { apiVersion, kind, metadata: { name, namespace: 'shop' }, spec };
  return {
    op,
    object: { apiVersion, kind, namespace: 'shop', name },
    before: op === 'create' ? null : object,
    after: op === 'delete' ? null : object,
    source: { path: `${name}.yaml`, line: 1 },
  };
};
const inputOf = (...changes: readonly object[]): PolicyInput =>
  ({ time: '2026-07-01T10:00:00Z', environment: { name: 'prod' }, commits: [], exceptions: [], changes }) as unknown as PolicyInput; // prettier-ignore

/** What a bundle says, by both evaluators; and OPA's own interpreter has to agree. */
async function said(bundle: PolicyBundle, input: PolicyInput): Promise<readonly Violation[]> {
  const text = JSON.stringify(input);
  const results = await evaluator.evaluate(bundle, text);
  expect(new Set(await sdk.evaluate(bundle, text))).toEqual(new Set(results));
  const { violations } = decision(bundle, text, judgedIn(input), results);
  await explain(compiler, { bundle, sources: bundle.sources as BundleSources, input, results, violations, trace: false }); // prettier-ignore
  return violations;
}

const shown = (violations: readonly Violation[]) => violations.map(({ message, place }) => `${message} (line ${place.line})`); // prettier-ignore

const admission = (rules: string) => sourcesOf(`package kubernetes.admission\n\nimport rego.v1\n\n${rules}`);

describe('rules that answer an API server', () => {
  const images = `deny contains msg if {
	input.request.kind.kind == "Pod"
	some container in input.request.object.spec.containers
	not startswith(container.image, "registry.example.org/")
	msg := sprintf("image '%s' comes from an untrusted registry", [container.image])
}
`;

  it('see each object as an AdmissionReview', async () => {
    const bundle = await compiler.compile(admission(images));
    expect(bundle.rules).toMatchObject([{ id: 'kubernetes.admission.deny', scope: 'admission' }]);
    const pods = ['create', 'update', 'delete'].map((op) => change(op, 'Pod', op, { containers: [{ image: op }] }));
    expect(shown(await said(bundle, inputOf(...pods)))).toEqual([
      "image 'create' comes from an untrusted registry (line 5)",
      "image 'update' comes from an untrusted registry (line 5)",
    ]);
  });

  it('are told what the API server would tell', async () => {
    const bundle = await compiler.compile(admission('deny contains {"msg": "asked", "request": object.remove(input.request, ["object", "oldObject"])}')); // prettier-ignore
    const [{ details }] = await said(
      bundle,
      inputOf(change('update', 'NetworkPolicy', 'n', {}, 'networking.k8s.io/v1')),
    );
    expect(details?.request).toEqual({
      uid: '',
      kind: { group: 'networking.k8s.io', version: 'v1', kind: 'NetworkPolicy' },
      resource: { group: 'networking.k8s.io', version: 'v1', resource: 'networkpolicies' },
      name: 'n',
      namespace: 'shop',
      operation: 'UPDATE',
      userInfo: {},
      dryRun: false,
      options: null,
    });
  });

  it('are asked of deletes where they look for one, in whatever package they lie', async () => {
    const rule = `package ours

deny contains msg if {
	is_delete
	msg := sprintf("%s stays", [input.request.oldObject.metadata.name])
}

is_delete if input.request.operation == "DELETE"
`;
    const bundle = await compiler.compile(sourcesOf(rule));
    const [gone, kept] = [change('delete', 'Service', 'gone', {}), change('update', 'Service', 'kept', {})];
    expect(shown(await said(bundle, inputOf(gone, kept)))).toEqual(['gone stays (line 3)']);
  });
});

describe("Conftest's rules", () => {
  it('may be one list of results', async () => {
    const rule = `package main

default violation := []

violation := [{"msg": msg, "details": {}}] if {
	input.kind == "Deployment"
	msg := sprintf("no Deployment: %s", [input.metadata.name])
}

deny := {msg | some msg in ["a", "b"]; input.kind == "Pod"}
`;
    const bundle = await compiler.compile(sourcesOf(rule));
    const changes = [change('create', 'Deployment', 'web', {}), change('create', 'Pod', 'p', {})];
    expect(shown(await said(bundle, inputOf(...changes)))).toEqual([
      'no Deployment: web (line 5)',
      'a (line 10)',
      'b (line 10)',
    ]);
  });

  it('may have variables that nobody uses, of which lint tells; our own may not', async () => {
    const rule = 'package main\n\ndeny contains "no" if {\n\tunused := input.kind\n}\n';
    const findings = await compiler.lint(sourcesOf(rule));
    expect(await compiler.check(sourcesOf(rule))).toHaveLength(1);
    expect(findings).toContainEqual(expect.objectContaining({ code: 'strict', message: 'assigned var unused unused' }));
    await expect(compiler.check(sourcesOf(rule.replace('main', 'countersign.x')))).rejects.toThrow('assigned var');
  });

  it('may not parse files: that is for tests', async () => {
    const rule = 'package main\n\ndeny contains "no" if parse_config_file("x.yaml").a\n';
    await expect(compiler.compile(sourcesOf(rule))).rejects.toMatchObject({
      message: expect.stringContaining('parse_config_file is for tests') as string,
      place: { file: 'policies/x.rego', line: 3 },
    });
  });
});

describe("tests that use Conftest's parsers", () => {
  beforeAll(() => {
    mkdirSync(join(folder, 'policy'));
    writeFileSync(join(folder, 'main.tf'), 'resource "aws_s3_bucket" "b" {\n  acl = "public-read"\n}\n');
    writeFileSync(join(folder, 'one.yaml'), 'a: 1\n---\nb: 2\n');
    symlinkSync('/etc/hosts', join(folder, 'hosts.properties'));
  });

  it('get their inputs from text and from files of the current folder, and from nowhere else', async () => {
    const rules = `package main

test_text if parse_config("toml", "a = 1") == {"a": 1}
test_file if parse_config_file("../main.tf").resource.aws_s3_bucket.b[0].acl == "public-read"
test_documents if count(parse_config_file("../one.yaml")) == 2
test_combined if count(parse_combined_config_files(["../one.yaml", "../main.tf"])) == 3
test_outside if parse_config_file("../../../../../../../etc/hosts.properties")
test_link if parse_config_file("../hosts.properties")
test_malformed if not parse_config("yaml", "a: [")
test_format if parse_config("cue", "a: 1")
`;
    const file = join(folder, 'policy/x_test.rego');
    const results = await compiler.test(sourcesOf(rules, file));
    const outcomes = Object.fromEntries(results.map(({ name, outcome, error }) => [name, error ?? outcome]));
    expect(outcomes).toEqual({
      test_text: 'passed',
      test_file: 'passed',
      test_documents: 'passed',
      test_combined: 'passed',
      test_outside: expect.stringMatching(/no such file|outside of the current folder/) as string,
      test_link: expect.stringContaining('lies outside of the current folder') as string,
      test_malformed: expect.stringContaining('parse_config: ') as string,
      test_format: expect.stringContaining('cue is no format that is read here') as string,
    });
  });
});
