import { randomBytes } from 'node:crypto';
import { RenderedFolders } from '../change/rendered-folders.js';
import { Redactor } from '../cluster/secret.js';
import { policyCache } from '../adapters/folder/cache-folder.js';
import type { PolicyBundle, PolicySources } from '../policy/bundle.js';
import type { Evaluator } from '../policy/evaluator.js';
import type { Explainer } from '../policy/explain.js';

/** The parts that judge, for one run of a command. */
export interface Engine {
  readonly compile: (sources: PolicySources) => Promise<PolicyBundle>;
  readonly evaluator: Evaluator;
  readonly explainer: Explainer;
  /** Under a key of this run only: digests of what it hides mean nothing to anybody later. */
  readonly redactor: Redactor;
  /** Of Kustomize and Helm. */
  readonly folders: RenderedFolders;
  close(): Promise<void>;
}

/** Milliseconds for one object. Longer than the service's: nobody else waits, and the machine may be a busy one of a CI. */
const TIME_LIMIT = 10_000;

export async function startEngine(threads = 2): Promise<Engine> {
  const [{ RegoCompiler }, { RegoEvaluator }, { SandboxRenderer }] = await Promise.all([
    import('../adapters/opa/compiler.js'),
    import('../adapters/opa/evaluator.js'),
    import('../adapters/render/renderer.js'),
  ]);
  const compiler = new RegoCompiler({ cache: policyCache() });
  const evaluator = new RegoEvaluator({ threads, timeLimit: TIME_LIMIT });
  const renderer = new SandboxRenderer();
  return {
    compile: (sources) => compiler.compile(sources),
    evaluator,
    explainer: compiler,
    folders: new RenderedFolders(renderer),
    redactor: new Redactor(randomBytes(32), 'local'),
    close: async () => {
      await Promise.all([compiler.close(), evaluator.close(), renderer.close()]);
    },
  };
}
