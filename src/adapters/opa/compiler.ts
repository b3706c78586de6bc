import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { digestOf } from '../../cluster/canonical.js';
import type { Json, JsonObject } from '../../cluster/object.js';
import { CountersignError, type Place } from '../../errors.js';
import { STARTER_PREFIX, type BundleOutputs, type BundleSources, type Compiler, type PolicyBundle, type PolicySources, type StarterChoice } from '../../policy/bundle.js'; // prettier-ignore
import type { ConftestNamespace } from '../../policy/conftest.js';
import type { Rule } from '../../policy/decision.js';
import type { ExplainedView, Explainer, View } from '../../policy/explain.js';
import { BundleCache, type Compiled } from './bundle-cache.js';
import { refuseShadowedData, refuseSharedIds, type RulePath } from './clashes.js';
import type { Coverage, CoverageReport } from './coverage.js';
import { coverageOf } from './coverage.js';
import { builtFile, programVersion } from './program.js';

export interface CompilerOptions {
  /** Folder for compiled bundles; none are kept if it is not given. */
  readonly cache?: string;
  /** Milliseconds of processor time for one request, the start of the program (1 s) not counted. */
  readonly timeLimit?: number;
  /** 64 KiB each. */
  readonly maxPages?: number;
  /** Folder below which tests may read files with Conftest's `parse_config_file`; without it they have none of Conftest's functions. */
  readonly testsBelow?: string;
}

/** What is wrong with one place of the sources. */
interface Fault {
  readonly code: string;
  readonly message: string;
  readonly file?: string;
  readonly row?: number;
  readonly col?: number;
  readonly remedy?: string;
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

/** What request.go reads. */
interface Asked {
  readonly op: string;
  readonly files: Readonly<Record<string, string>>;
  readonly [more: string]: unknown;
}

interface Reply {
  readonly json: Answer;
  readonly wasm: Uint8Array;
}

const IDLE = 15_000;
/** How many times its limit a request may take by the clock. */
const WAITING_FACTOR = 20;

/**
 * OPA's compiler, in a worker thread that is started when first needed and stopped when idle. Throws `rego-invalid` for what is
 * wrong with the sources, `policy-timeout` and `policy-memory` for what takes too much; the next request is served normally.
 */
export class RegoCompiler implements Compiler, Explainer {
  readonly version = programVersion();
  private readonly cache: BundleCache<Kept> | undefined;
  private worker: Worker | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  private idle: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: CompilerOptions = {}) {
    this.cache = options.cache === undefined ? undefined : new BundleCache(options.cache);
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
      const { json, wasm } = await this.request({
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
      const { json, wasm } = await this.request(request);
      const { blunt, ...rest } = json.conftest!;
      compiled = { ...rest, blunt: blunt.map(toFinding), wasm };
      await cache?.write(key, compiled);
    }
    return compiled;
  }

  /** What compiles but is slow or unstable as Wasm, or lacks metadata. Throws as `compile`. */
  async lint(sources: PolicySources): Promise<readonly Finding[]> {
    const request = { op: 'lint', files: Object.fromEntries(sources.files), schema: await schemaFor(sources) };
    const { json } = await this.request(request);
    return (json.findings ?? []).map(toFinding);
  }

  /** One Wasm module of the given entry points (`package/rule`), without Countersign's conventions. */
  async compileRaw(
    files: ReadonlyMap<string, string>,
    entrypoints: readonly string[],
    v0 = false,
  ): Promise<Uint8Array> {
    return (await this.request({ op: 'compile', files: Object.fromEntries(files), raw: entrypoints, v0 })).wasm;
  }

  /** One Wasm module whose result is the set of a query's bindings: what OPA's conformance cases ask for. `impure`: no builtin is refused. */
  async compileQuery(files: ReadonlyMap<string, string>, query: string, impure = false): Promise<Uint8Array> {
    return (await this.request({ op: 'query', files: Object.fromEntries(files), query, impure })).wasm;
  }

  /** Every fault there is, or the rules that would run. */
  async check(sources: PolicySources): Promise<readonly Rule[]> {
    const { starter = NO_STARTERS, gatekeeper } = sources;
    const theirs = gatekeeper && { templates: gatekeeper.templates, glue: gatekeeper.glue };
    const files = Object.fromEntries(sources.files);
    const schema = await schemaFor(sources);
    const request = { op: 'check', files, starter: prefixed(starter), gatekeeper: theirs, schema };
    const { json } = await this.request(request);
    refuseShadowedData(json.paths ?? [], sources);
    return withConstraints(json, sources);
  }

  /** Those files that are Rego v0 and no v1. */
  async oldFiles(files: ReadonlyMap<string, string>): Promise<ReadonlySet<string>> {
    const { json } = await this.request({ op: 'versions', files: Object.fromEntries(files) });
    return new Set(Object.keys(json.files ?? {}).filter((file) => json.files![file] === 'v0'));
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

  /** What each rule reads and calls. Throws as `compile`. */
  async describe(sources: PolicySources): Promise<readonly DescribedRule[]> {
    const { starter = NO_STARTERS } = sources;
    const files = Object.fromEntries(sources.files);
    const { json } = await this.request({ op: 'describe', files, starter: prefixed(starter) });
    return (json.rules ?? []).map((rule, i) => {
      const { input = [], data = [], builtins = [], uses = [] } = json.described?.[i] ?? {};
      return { ...toRule(rule), input, data, builtins, uses };
    });
  }

  async format(files: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, string>> {
    return new Map(
      Object.entries((await this.request({ op: 'format', files: Object.fromEntries(files) })).json.files ?? {}),
    );
  }

  async inspect(files: ReadonlyMap<string, string>): Promise<readonly Annotation[]> {
    return (await this.request({ op: 'inspect', files: Object.fromEntries(files) })).json.annotations ?? [];
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
    const { json } = await this.request(request);
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
    const { explained = [], outputs } = (await this.request(request)).json;
    return explained.map(({ sets = [], fired, trace: lines = [], more = 0 }, i) => ({
      sets,
      outputs: outputs?.[views[i].scope] ?? [],
      fired: fired.map(({ file, row, ...rest }) => ({ ...rest, place: { file, line: row } })),
      trace: lines,
      more,
    }));
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.idle);
    await this.worker?.terminate();
    this.worker = undefined;
  }

  private async runTests({ files, data }: PolicySources, how: object): Promise<Answer> {
    return (await this.request({ op: 'test', files: Object.fromEntries(files), data, ...how })).json;
  }

  /** One at a time: the program has one thread, and a request's time must not count another's. */
  private request(request: Asked): Promise<Reply> {
    const turn = this.queue.then(() => this.run(request));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  private async run(request: Asked): Promise<Reply> {
    if (this.closed) throw new CountersignError('internal', 'the Rego compiler is closed');
    clearTimeout(this.idle);
    const worker = (this.worker ??= await this.start());
    worker.ref();
    try {
      const reply = await this.exchange(worker, request);
      if (reply.json.faults?.length) throw invalid(reply.json.faults);
      return reply;
    } catch (error) {
      if (!(error instanceof CountersignError) || error.code !== 'rego-invalid') {
        this.worker = undefined; // its state is unknown
        await worker.terminate();
      }
      throw error;
    } finally {
      worker.unref();
      this.idle = setTimeout(() => void this.rest(), IDLE).unref();
    }
  }

  private exchange(worker: Worker, request: Asked): Promise<Reply> {
    const limit = this.options.timeLimit ?? 60_000;
    return new Promise<Reply>((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearInterval(watch);
        worker.off('message', answered).off('error', failed);
        settle();
      };
      const answered = (reply: Reply) => finish(() => resolve(reply));
      const failed = (error: Error) => finish(() => reject(crashed(error, request)));
      const watch = setInterval(
        stopwatch(worker, limit, () => finish(() => reject(tooSlow(limit, request)))),
        limit / 16,
      );
      worker.on('message', answered).on('error', failed);
      worker.postMessage({ request });
    });
  }

  private async start(): Promise<Worker> {
    const worker = new Worker(builtFile('compiler-worker.js'), {
      workerData: { maxPages: this.options.maxPages ?? 16_384, testsBelow: this.options.testsBelow },
      execArgv: [],
    });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.on('error', reject); // stays: an error nobody listens to would end the process
    });
    return worker;
  }

  /** Gives its memory back; the next request starts the program again. */
  async rest(): Promise<void> {
    const { worker } = this;
    clearTimeout(this.idle);
    this.worker = undefined;
    await worker?.terminate();
  }
}

/**
 * To be called now and then. Calls `late` when the thread has computed for `limit` milliseconds of processor time, so that a busy machine
 * refuses no more than an idle one does; or, since what waits for ever computes nothing, long after that by the clock.
 */
function stopwatch(worker: Worker, limit: number, late: () => void): () => void {
  const began = performance.now();
  let first: number | undefined;
  return () => {
    if (performance.now() - began >= WAITING_FACTOR * limit) return late();
    void processorTime(worker).then((used) => {
      first ??= used;
      return used - first >= limit ? late() : undefined;
    });
  };
}

/** Milliseconds. */
async function processorTime(worker: Worker): Promise<number> {
  try {
    const { user, system } = await worker.cpuUsage();
    return (user + system) / 1000;
  } catch {
    return 0; // it has ended, which is heard of elsewhere
  }
}

/** What nothing else of the input may be read than. Loaded by whoever is strict: it takes 15 MiB. */
async function schemaFor({ strict }: PolicySources): Promise<JsonObject | undefined> {
  return strict ? (await import('../../policy/input-schema.js')).inputJsonSchema() : undefined;
}

const NO_STARTERS: StarterChoice = { profile: 'off', off: [] };

const prefixed = (starter: StarterChoice): object => ({ prefix: STARTER_PREFIX, ...starter });

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

function invalid(faults: readonly Fault[]): CountersignError {
  const first = faults[0];
  const others = faults.slice(1).map(({ file, row, message, remedy }) => {
    const advice = remedy === undefined || remedy === first.remedy ? '' : ` (${remedy})`;
    return `${file === undefined ? '' : `${file}:${row} `}${message}${advice}`;
  });
  const also = others.length > 0 ? ` (also: ${others.join('; ')})` : '';
  return new CountersignError('rego-invalid', first.message + also, {
    place: first.file === undefined ? undefined : { file: first.file, line: first.row, column: first.col },
    remedy: first.remedy ?? 'Correct the policy; countersign policy check PATH shows every fault',
  });
}

function tooSlow(limit: number, { files }: Asked): CountersignError {
  return new CountersignError('policy-timeout', `the policy took more than ${limit / 1000} s to compile or test`, {
    place: largest(files),
    remedy: 'Look for tests that never end, or generated Rego of great size; the place told is the largest file',
  });
}

function crashed(cause: Error, { files }: Asked): CountersignError {
  if (cause instanceof CountersignError) return cause;
  return new CountersignError('policy-memory', 'the Rego compiler ran out of memory or crashed on these sources', {
    place: largest(files),
    remedy:
      'Look for tests that build very large values, or generated Rego of great size or depth; the place told is the largest file',
    cause,
  });
}

/** What never came back cannot say where it was; most often it is the largest file of those that are not ours. */
function largest(files: Asked['files']): Place | undefined {
  const sizes = Object.entries(files).filter(([file]) => !file.startsWith(STARTER_PREFIX));
  const [first] = sizes.toSorted(([, a], [, b]) => b.length - a.length);
  return first && { file: first[0] };
}
