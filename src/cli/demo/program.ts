import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds bin/, dist/ and package.json: a clone, or an installed package. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** What people type. */
export const countersign = join(packageRoot, 'bin', 'countersign');

/** Variables of the caller's that would turn the demo's service into another one. */
const FOREIGN = ['LISTEN', 'DATABASE', 'LOG_ORIGIN', 'LOG_LEVEL'].map((name) => `COUNTERSIGN_${name}`);

/** Arguments of /usr/bin/env that run the CLI without them. */
export const withoutForeignSettings = FOREIGN.flatMap((name) => ['-u', name]);

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

/** Runs one command of the CLI as a person would. Never throws for an exit code. */
export async function runCountersign(args: readonly string[], cwd: string): Promise<Answer> {
  const started = performance.now();
  return new Promise((resolve) => {
    execFile(
      '/usr/bin/env',
      [...withoutForeignSettings, countersign, ...args],
      { cwd, timeout: 120_000, maxBuffer: 64 * 2 ** 20, env: { ...process.env, NO_COLOR: '1' } },
      (error, stdout, stderr) => {
        const code = error ? (typeof error.code === 'number' ? error.code : 2) : 0;
        resolve({ code, stdout, stderr, milliseconds: Math.round(performance.now() - started) });
      },
    );
  });
}

/** The script that builds the control plane; null in an installed package. */
export function controlPlaneBuilder(): string | null {
  const script = join(packageRoot, 'test', 'support', 'build-cached.sh');
  return existsSync(script) ? script : null;
}
