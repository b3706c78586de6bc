import type { RegoCompiler } from '../../adapters/opa/compiler.js';
import { ConftestEvaluation, type ConftestBundle } from '../../adapters/opa/conftest-evaluation.js';
import { checkWithThreads } from '../../adapters/opa/conftest-pool.js';
import { readAhead } from '../../adapters/opa/conftest-worker.js';
import { withoutOptimising } from '../../adapters/opa/tiers.js';
import { combinedText } from '../../adapters/inputs/combined.js';
import type { InputParsers } from '../../adapters/inputs/program.js';
import { InputReader } from '../../adapters/inputs/read.js';
import { conftestExitCode, totalsOf, type ConftestCheck } from '../../policy/conftest.js';
import { CONFTEST_FORMATS } from '../../report/conftest.js';
import { dataDocument, inputFiles, policyFiles } from './files.js';

/** Those of `conftest test`. */
export interface ConftestOptions {
  readonly policy: readonly string[];
  readonly namespace: readonly string[];
  readonly allNamespaces?: boolean;
  readonly data: readonly string[];
  readonly combine?: boolean;
  readonly parser?: string;
  readonly ignore: string;
  readonly failOnWarn?: boolean;
  readonly fail: boolean;
  readonly quiet?: boolean;
  readonly strict?: boolean;
  readonly regoVersion: 'v0' | 'v1';
  readonly color: boolean;
  readonly suppressExceptions?: boolean;
  readonly stdinFilename?: string;
  readonly junitHideMessage?: boolean;
  readonly githubHidePassed?: boolean;
  readonly output: string;
}

export interface ConftestParts {
  readonly compiler: RegoCompiler;
  readonly parsers: InputParsers;
  /** The compiler is not needed any more: its memory may be given to what follows. */
  readonly onCompiled?: () => Promise<void>;
}

export interface ConftestRun {
  readonly output: string;
  /** Of the policies, which Conftest has none of. */
  readonly warnings: readonly string[];
  readonly exitCode: number;
}

/** What `conftest test` would print, and how it would end. Throws where that would fail. */
export async function runConftest(
  paths: readonly string[],
  options: ConftestOptions,
  { compiler, parsers, onCompiled }: ConftestParts,
): Promise<ConftestRun> {
  const files = inputFiles(paths, options.ignore);
  const compiling = withoutOptimising(() =>
    compiler.compileConftest(policyFiles(options.policy), {
      namespaces: options.namespace,
      all: options.allNamespaces ?? false,
      strict: options.strict ?? false,
      v0: options.regoVersion === 'v0',
    }),
  );
  const ahead = options.combine ? [] : await readAhead(files, parsers, options.parser, compiling);
  const compiled = await compiling;
  const [module] = await Promise.all([WebAssembly.compile(compiled.wasm as Uint8Array<ArrayBuffer>), onCompiled?.()]);
  const bundle: ConftestBundle = {
    module,
    data: JSON.stringify(dataDocument(options.data)),
    namespaces: compiled.namespaces,
    readsFile: compiled.readsFile,
  };
  const byFile = options.combine
    ? [combined(bundle, files, options, parsers)]
    : await checkWithThreads(bundle, files, parsers, options.parser, ahead);
  const checks = compiled.namespaces.flatMap((_, i) => byFile.map((ofFile) => renamed(ofFile[i], options)));
  const exitCode = conftestExitCode(totalsOf(checks), options.failOnWarn ?? false);
  const silent = options.quiet && exitCode === 0;
  const output = silent
    ? ''
    : CONFTEST_FORMATS[options.output](checks, {
        color: options.color,
        suppressExceptions: options.suppressExceptions ?? false,
        junitHideMessage: options.junitHideMessage ?? false,
        githubHidePassed: options.githubHidePassed ?? false,
        table: (rows) => parsers.table(rows),
      });
  return {
    output,
    warnings: compiled.blunt.map(({ message, remedy, place }) => `warning: ${place.file}:${place.line} ${message}. ${remedy}`), // prettier-ignore
    exitCode: options.fail ? exitCode : 0,
  };
}

function renamed(found: ConftestCheck, { stdinFilename }: ConftestOptions): ConftestCheck {
  return stdinFilename && found.filename === '-' ? { ...found, filename: stdinFilename } : found;
}

/** All files as one input. */
function combined(
  bundle: ConftestBundle,
  files: readonly string[],
  { parser, stdinFilename }: ConftestOptions,
  parsers: InputParsers,
): readonly ConftestCheck[] {
  const nameOf = (file: string): string => (file === '-' ? (stdinFilename ?? file) : file);
  const text = combinedText(files, new InputReader(parsers, true), { as: parser, nameOf });
  return new ConftestEvaluation(bundle).check('Combined', [Buffer.from(text)]);
}
