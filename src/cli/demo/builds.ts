import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { controlPlaneAssets } from '../../adapters/kubernetes/control-plane.js';
import { CountersignError } from '../../errors.js';
import { packageRoot } from './program.js';

// The two Go programs, which a fresh clone has not built yet. The story begins without them.

export interface BuildOptions {
  readonly onProgress: (line: string) => void;
  /** Ends the build, with all the compilers it started. */
  readonly signal: AbortSignal;
}

const script = join(packageRoot, 'test', 'support', 'build-cached.sh');
const regoWasm = join(packageRoot, 'dist', 'adapters', 'opa', 'rego.wasm');

/** True if a control plane can be started without building one first. */
export const controlPlaneIsBuilt = (): boolean => controlPlaneAssets() !== null;
export const regoIsBuilt = (): boolean => existsSync(regoWasm);

/** Throws `rego-invalid` when there is no Rego compiler afterwards. */
export async function buildRego(options: BuildOptions): Promise<void> {
  if (regoIsBuilt()) return;
  const words = await build(['rego', regoWasm], options);
  if (regoIsBuilt()) return;
  throw new CountersignError('rego-invalid', `the Rego compiler could not be built${words}`, {
    remedy: 'Mend what it says, then run make build',
  });
}

/** Throws `cluster-unavailable` when there is no control plane afterwards. */
export async function buildControlPlane(options: BuildOptions): Promise<void> {
  if (controlPlaneIsBuilt()) return;
  const words = await build(['control-plane'], options);
  if (controlPlaneIsBuilt()) return;
  throw new CountersignError('cluster-unavailable', `there is no control plane, and none could be built${words}`, {
    remedy: 'Set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver, or give --kubeconfig FILE',
  });
}

/** Runs the clone's build script at low priority; an installed package has none. Resolves to its last words. */
async function build(args: readonly string[], { onProgress, signal }: BuildOptions): Promise<string> {
  if (!existsSync(script) || signal.aborted) return '';
  const child = spawn('nice', ['-n', '10', script, ...args], { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const last: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (last.push(line) > 10) last.shift();
    onProgress(line.trim());
  });
  // Its own process group: go's compilers are children of children.
  const kill = (): void => void (child.pid !== undefined && process.kill(-child.pid, 'SIGTERM'));
  signal.addEventListener('abort', kill, { once: true });
  await new Promise<void>((resolve) => child.once('error', () => resolve()).once('exit', () => resolve()));
  signal.removeEventListener('abort', kill);
  return last.length > 0 ? `:\n${last.join('\n')}` : '';
}
