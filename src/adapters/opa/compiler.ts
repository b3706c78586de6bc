import { createHash } from 'node:crypto';
import { digestOf } from '../../cluster/canonical.js';
import type { Json, JsonObject } from '../../cluster/object.js';
import type { Place } from '../../errors.js';
import { STARTER_PREFIX, type BundleOutputs, type BundleSources, type Compiler, type PolicyBundle, type PolicySources, type StarterChoice } from '../../policy/bundle.js'; // prettier-ignore
import type { ConftestNamespace } from '../../policy/conftest.js';
import type { Rule } from '../../policy/decision.js';
import type { ExplainedView, Explainer, View } from '../../policy/explain.js';
import { BundleCache, type Compiled } from './bundle-cache.js';
import { type Asked, CompilerThread, type Fault, type ThreadOptions } from './compiler-thread.js';
import { refuseShadowedData, refuseSharedIds, type RulePath } from './clashes.js';
import type { Coverage, CoverageReport } from './coverage.js';
import { coverageOf } from './coverage.js';
import { programVersion } from './program.js';

export interface CompilerOptions extends ThreadOptions {
  /** Folder for compiled bundles and for what was found out about sources; nothing is kept if it is not given. */
  readonly cache?: string;
}

export interface RegoTestResult {
  readonly name: string;
  readonly package: string;
  readonly file: string;
  readonly row: number;
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'error';
  readonly error?: string;
  /** What the test printed. */
  readonly output?: string;
  readonly micros: number;
}

/** What tests gave, and of each file that is no test which lines they went through. */
export interface TestedFiles {
  readonly tests: readonly RegoTestResult[];
  readonly coverage: readonly Coverage[];
}

/** A METADATA block and what it describes. */
export interface Annotation {
  readonly path: string;
  readonly file?: string;
  readonly row?: number;
  readonly annotations: Json;
}

/** Something about a policy that is no error. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly place: Place;
}

/** A rule, and what it looks at and calls, itself and through helpers, as far as that can be followed. */
export interface DescribedRule extends Rule {
  /** Paths: `input.changes[_].after.spec`. */
  readonly input: readonly string[];
  readonly data: readonly string[];
  readonly builtins: readonly string[];
  /** Other rules and functions, as package and name. */
  readonly uses: readonly string[];
}

export interface ConftestChoice {
  /** Names, or patterns with `*`, `?` and `[…]`. */
  readonly namespaces: readonly string[];
  readonly all: boolean;
  readonly strict: boolean;
  readonly v0: boolean;
}

export interface CompiledConftest {
  readonly wasm: Uint8Array;
  readonly namespaces: readonly ConftestNamespace[];
  readonly readsFile: boolean;
  /** Rules that never fail, because they are no sets. */
  readonly blunt: readonly Finding[];
}

interface Answer {
  readonly faults?: readonly Fault[];
  readonly rules?: readonly (Omit<Rule, 'place'> & { readonly file: string; readonly row: number })[];
  readonly paths?: readonly RulePath[];
  readonly outputs?: BundleOutputs;
  readonly tests?: readonly RegoTestResult[];
  readonly coverage?: CoverageReport;
  readonly described?: readonly (Pick<DescribedRule, 'input' | 'data' | 'builtins' | 'uses'> & {
    readonly file: string;
    readonly row: number;
  })[];
  readonly files?: Readonly<Record<string, string>>;
  readonly annotations?: readonly Annotation[];
  readonly result?: Json;
  readonly defined?: boolean;
  readonly conftest?: Omit<CompiledConftest, 'wasm'> & { readonly blunt: readonly Fault[] };
  readonly findings?: readonly Fault[];
  readonly explained?: readonly {
    readonly sets?: ExplainedView['sets'];
    readonly fired: readonly {
      readonly name: string;
      readonly file: string;
      readonly row: number;
      readonly result?: Json;
      readonly uses?: readonly string[];
      readonly values: Readonly<Record<string, Json>>;
    }[];
    readonly trace?: readonly string[];
    readonly more?: number;
  }[];
}

/** A compiled bundle on disk, and where its rules write. */
type Kept = Compiled & { readonly paths: readonly RulePath[] };

/**
 * OPA's compiler, in a worker thread that is started when first needed and stopped when idle. Throws `rego-invalid` for what is
 * wrong with the sources, `policy-timeout` and `policy-memory` for what takes too much; the next request is served normally.
 */
export class RegoCompiler implements Compiler, Explainer {
  readonly version = programVersion();
  private readonly cache: BundleCache<Kept> | undefined;
  private readonly answers: BundleCache<{ readonly json: Answer; readonly wasm: Uint8Array }> | undefined;
  private readonly thread: CompilerThread<Answer>;

  constructor(private readonly options: CompilerOptions = {}) {
    this.thread = new CompilerThread(options);
    this.cache = options.cache === undefined ? undefined : new BundleCache(options.cache);
    this.answers = options.cache === undefined ? undefined : new BundleCache(options.cache);
  }

  async compile(sources: PolicySources): Promise<PolicyBundle> {
    const files = Object.fromEntries(sources.files);
    const { starter = NO_STARTERS, gatekeeper } = sources;
    const theirs = gatekeeper && { templates: gatekeeper.templates, glue: gatekeeper.glue };
    const schema = await schemaFor(sources);
    const key = digestOf({
      compiler: this.version,
      files,
      starter: { ...starter, off: starter.off.toSorted() } as unknown as Json,
      ...(gatekeeper ? { gatekeeper: gatekeeper as unknown as Json } : {}),
      ...(schema ? { schema } : {}),
    });
    let kept = await this.cache?.read(key);
    if (!kept) {
      const { json, wasm } = await this.thread.request({
        op: 'compile',
        files,
        starter: prefixed(starter),
        gatekeeper: theirs,
        schema,
      });
      const wasmDigest = createHash('sha256').update(wasm).digest('hex');
      kept = {
        wasm,
        wasmDigest,
        rules: withConstraints(json, sources),
        paths: json.paths ?? [],
        outputs: { ...json.outputs!, ...(gatekeeper ? { gatekeeper: gatekeeper.outputs } : {}) },
      };
      await this.cache?.write(key, kept);
    }
    const { paths, ...compiled } = kept;
    refuseShadowedData(paths, sources); // each time: data has no part in what is kept
    const digest = digestOf({ sources: key, data: sources.data, wasm: compiled.wasmDigest });
    return {
      digest,
      data: sources.data,
      sources: { files, starter },
      ...compiled,
      ...(gatekeeper?.inventory ? { inventory: gatekeeper.inventory } : {}),
      ...(gatekeeper?.sync ? { sync: gatekeeper.sync } : {}),
    };
  }

  /** Policies by Conftest's conventions. Throws `rego-invalid` as Conftest refuses them. */
  async compileConftest(files: ReadonlyMap<string, string>, conftest: ConftestChoice): Promise<CompiledConftest> {
    const { v0, ...choice } = conftest;
    const request = { op: 'conftest', files: Object.fromEntries(files), v0, conftest: choice };
    const key = digestOf({ compiler: this.version, ...request });
    const cache = this.options.cache === undefined ? undefined : new BundleCache<CompiledConftest>(this.options.cache);
    let compiled = await cache?.read(key);
    if (!compiled) {
      const { json, wasm } = await this.thread.request(request);
      const { blunt, ...rest } = json.conftest!;
      compiled = { ...rest, blunt: blunt.map(toFinding), wasm };
      await cache?.write(key, compiled);
    }
    return compiled;
  }

  /** What compiles but is slow or unstable as Wasm, or lacks metadata. Throws as `compile`. */
  async lint(sources: PolicySources): Promise<readonly Finding[]> {
    const request = { op: 'lint', files: Object.fromEntries(sources.files), schema: await schemaFor(sources) };
    return ((await this.ask(request)).findings ?? []).map(toFinding);
  }

  /** One Wasm module of the given entry points (`package/rule`), without Countersign's conventions. */
  async compileRaw(
    files: ReadonlyMap<string, string>,
    entrypoints: readonly string[],
    v0 = false,
  ): Promise<Uint8Array> {
    return (await this.thread.request({ op: 'compile', files: Object.fromEntries(files), raw: entrypoints, v0 })).wasm;
  }

  /** One Wasm module whose result is the set of a query's bindings: what OPA's conformance cases ask for. `impure`: no builtin is refused. */
  async compileQuery(files: ReadonlyMap<string, string>, query: string, impure = false): Promise<Uint8Array> {
    return (await this.thread.request({ op: 'query', files: Object.fromEntries(files), query, impure })).wasm;
  }

  /** Every fault there is, or the rules that would run. */
  async check(sources: PolicySources): Promise<readonly Rule[]> {
    const { starter = NO_STARTERS, gatekeeper } = sources;
    const theirs = gatekeeper && { templates: gatekeeper.templates, glue: gatekeeper.glue };
    const files = Object.fromEntries(sources.files);
    const schema = await schemaFor(sources);
    const request = { op: 'check', files, starter: prefixed(starter), gatekeeper: theirs, schema };
    const answer = await this.ask(request);
    refuseShadowedData(answer.paths ?? [], sources);
    return withConstraints(answer, sources);
  }

  /** Those files that are Rego v0 and no v1. */
  async oldFiles(files: ReadonlyMap<string, string>): Promise<ReadonlySet<string>> {
    const { files: versions = {} } = await this.ask({ op: 'versions', files: Object.fromEntries(files) });
    return new Set(Object.keys(versions).filter((file) => versions[file] === 'v0'));
  }

  /** Runs the `test_` rules of *_test.rego. `run` is a regular expression over their full names. */
  async test(sources: PolicySources, run = '', v0 = false): Promise<readonly RegoTestResult[]> {
    return (await this.runTests(sources, { run, v0 })).tests ?? [];
  }

  /** The same, and which lines of the rules the tests went through; that takes a third longer. */
  async testCovered(sources: PolicySources, run = '', v0 = false): Promise<TestedFiles> {
    const { tests = [], coverage } = await this.runTests(sources, { run, v0, coverage: true });
    return { tests, coverage: coverageOf(coverage ?? {}) };
  }

  /** What each rule reads and calls; of a constraint, whose template is followed nowhere, nothing. Throws as `compile`. */
  async describe(sources: PolicySources): Promise<readonly DescribedRule[]> {
    const { starter = NO_STARTERS } = sources;
    const files = Object.fromEntries(sources.files);
    const answer = await this.ask({ op: 'describe', files, starter: prefixed(starter) });
    return withConstraints(answer, sources).map((rule, i) => {
      const { input = [], data = [], builtins = [], uses = [] } = answer.described?.[i] ?? {};
      return { ...rule, input, data, builtins, uses };
    });
  }

  async format(files: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, string>> {
    return new Map(
      Object.entries((await this.thread.request({ op: 'format', files: Object.fromEntries(files) })).json.files ?? {}),
    );
  }

  async inspect(files: ReadonlyMap<string, string>): Promise<readonly Annotation[]> {
    return (await this.ask({ op: 'inspect', files: Object.fromEntries(files) })).annotations ?? [];
  }

  /** OPA's own interpreter, for comparison: the value of `query`, or undefined. */
  async evaluate(sources: PolicySources, query: string, input: Json, time: bigint): Promise<Json | undefined> {
    const request = {
      op: 'eval',
      files: Object.fromEntries(sources.files),
      data: sources.data,
      query,
      input,
      timeNs: Number(time),
    };
    const { json } = await this.thread.request(request);
    return json.defined ? (json.result ?? null) : undefined;
  }

  async explain(
    { files, starter }: BundleSources,
    data: Json,
    views: readonly View[],
    time: Date,
    trace: boolean,
  ): Promise<readonly ExplainedView[]> {
    if (views.length === 0) return [];
    const request = {
      op: 'explain',
      files,
      starter: prefixed(starter),
      data,
      views,
      trace,
      time: time.toISOString(),
    };
    const { explained = [], outputs } = (await this.thread.request(request)).json;
    return explained.map(({ sets = [], fired, trace: lines = [], more = 0 }, i) => ({
      sets,
      outputs: outputs?.[views[i].scope] ?? [],
      fired: fired.map(({ file, row, ...rest }) => ({ ...rest, place: { file, line: row } })),
      trace: lines,
      more,
    }));
  }

  /** Gives its memory back; the next request starts the program again. */
  rest(): Promise<void> {
    return this.thread.rest();
  }

  close(): Promise<void> {
    return this.thread.close();
  }

  /** What sources alone determine, so that it is found out once. What is thrown is not kept. */
  private async ask(request: Asked): Promise<Answer> {
    const key = digestOf({ compiler: this.version, ...(JSON.parse(JSON.stringify(request)) as JsonObject) });
    const kept = await this.answers?.read(key);
    if (kept) return kept.json;
    const { json } = await this.thread.request(request);
    await this.answers?.write(key, { json, wasm: new Uint8Array() });
    return json;
  }

  private async runTests({ files, data }: PolicySources, how: object): Promise<Answer> {
    return (await this.thread.request({ op: 'test', files: Object.fromEntries(files), data, ...how })).json;
  }
}

/** What nothing else of the input may be read than. Loaded by whoever is strict: it takes 15 MiB. */
async function schemaFor({ strict }: PolicySources): Promise<JsonObject | undefined> {
  return strict ? (await import('../../policy/input-schema.js')).inputJsonSchema() : undefined;
}

const NO_STARTERS: StarterChoice = { profile: 'off', off: [] };

const prefixed = (starter: StarterChoice): JsonObject => ({
  prefix: STARTER_PREFIX,
  ...starter,
  off: [...starter.off],
});

function withConstraints({ rules = [] }: Answer, { gatekeeper }: PolicySources): readonly Rule[] {
  const [own, constraints] = [rules.map(toRule), gatekeeper?.rules ?? []];
  refuseSharedIds(own, constraints);
  return [...own, ...constraints];
}

function toFinding({ code, message, remedy = '', file = '', row, col }: Fault): Finding {
  return { code, message, remedy, place: { file, line: row, column: col } };
}

function toRule({ file, row, ...rule }: NonNullable<Answer['rules']>[number]): Rule {
  return { ...rule, place: { file, line: row } };
}
