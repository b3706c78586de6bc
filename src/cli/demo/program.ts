import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds bin/, dist/ and package.json: a clone, or an installed package. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** Variables of the caller's that would turn the demo's service into another one. */
const FOREIGN = ['LISTEN', 'DATABASE', 'LOG_ORIGIN', 'LOG_LEVEL'].map((name) => `COUNTERSIGN_${name}`);

/** Arguments of /usr/bin/env that run the CLI without them: bin/countersign, on the Node that runs us. */
export const countersign: readonly string[] = [
  ...FOREIGN.flatMap((name) => ['-u', name]),
  process.execPath,
  join(packageRoot, 'dist', 'cli', 'main.js'),
];

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
      [...countersign, ...args],
      { cwd, timeout: 120_000, maxBuffer: 64 * 2 ** 20, env: { ...process.env, NO_COLOR: '1' } },
      (error, stdout, stderr) => {
        const code = error ? (typeof error.code === 'number' ? error.code : 2) : 0;
        resolve({ code, stdout, stderr, milliseconds: Math.round(performance.now() - started) });
      },
    );
  });
}
