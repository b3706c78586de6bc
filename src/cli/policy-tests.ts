import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import type { RegoCompiler, RegoTestResult, TestedFiles } from '../adapters/opa/compiler.js';
import type { Coverage } from '../adapters/opa/coverage.js';
import { RegoEvaluator } from '../adapters/opa/evaluator.js';
import { CountersignError } from '../errors.js';
import type { PolicySources } from '../policy/bundle.js';
import { type CaseResult, runSuite, suitesAmong } from '../policy/gatekeeper/suite.js';

interface TestFolder {
  readonly sources: PolicySources;
  readonly yaml: ReadonlyMap<string, string>;
}

/** Milliseconds for one case. */
const TIME_LIMIT = 10_000;

/** Runs every test of a folder: those written in Rego, then suites as `gator verify` reads them. `covered` looks at the lines, too. */
export async function testPolicies(
  compiler: RegoCompiler,
  folder: TestFolder,
  { run = '', covered = false }: { readonly run?: string | undefined; readonly covered?: boolean | undefined } = {},
): Promise<TestedFiles> {
  const { results, coverage } = await regoTests(compiler, folder.sources, run, covered);
  const suites = suitesAmong(folder.yaml);
  if (suites.length === 0) return { tests: results, coverage };
  const evaluator = new RegoEvaluator({ threads: 1, timeLimit: TIME_LIMIT });
  try {
    const parts = { compiler, evaluator, read: readText, ...(run ? { run: pattern(run) } : {}) };
    for (const suite of suites) {
      const started = performance.now();
      const cases = await runSuite(suite, parts);
      const micros = Math.round(((performance.now() - started) * 1000) / Math.max(1, cases.length));
      // What was not asked for is not mentioned, as with tests in Rego.
      results.push(...cases.filter(({ outcome }) => !run || outcome !== 'skipped').map((one) => asTest(one, micros)));
    }
    return { tests: results, coverage };
  } finally {
    await evaluator.close();
  }
}

/** Files of Rego v0, as Gatekeeper's templates are made from, are tested folder by folder: their packages share names. */
async function regoTests(
  compiler: RegoCompiler,
  sources: PolicySources,
  run: string,
  covered: boolean,
): Promise<{ results: RegoTestResult[]; coverage: Coverage[] }> {
  const tested = new Set([...sources.files.keys()].filter(isTest).map((file) => posix.dirname(file)));
  const candidates = new Map([...sources.files].filter(([file]) => tested.has(posix.dirname(file))));
  const old = new Set([...(await compiler.oldFiles(candidates))].map((file) => posix.dirname(file)));
  const inFolder = (folder: string) => new Map([...sources.files].filter(([file]) => posix.dirname(file) === folder));
  const others = new Map([...sources.files].filter(([file]) => !old.has(posix.dirname(file))));
  const results: RegoTestResult[] = [];
  const coverage: Coverage[] = [];
  const test = async (some: PolicySources, v0: boolean): Promise<void> => {
    if (!covered) return void results.push(...(await compiler.test(some, run, v0)));
    const tested = await compiler.testCovered(some, run, v0);
    results.push(...tested.tests);
    coverage.push(...tested.coverage);
  };
  await test({ ...sources, files: others }, false);
  for (const folder of [...old].toSorted()) await test({ files: inFolder(folder), data: sources.data }, true);
  return { results, coverage };
}

const isTest = (file: string): boolean => file.endsWith('_test.rego');

function asTest({ suite, test, case: name, place, outcome, message }: CaseResult, micros: number): RegoTestResult {
  const row = place.line ?? 1;
  return {
    name: name || test,
    package: test,
    file: suite,
    row,
    outcome,
    ...(message ? { error: message } : {}),
    micros,
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CountersignError('usage', `there is no file ${path}`, { cause });
  }
}

function pattern(run: string): RegExp {
  try {
    return new RegExp(run);
  } catch (cause) {
    throw new CountersignError('usage', `${run} is no regular expression`, { cause });
  }
}
