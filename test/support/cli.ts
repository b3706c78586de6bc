import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { cacheFolder } from '../../src/adapters/folder/cache-folder.js';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where Node keeps what it compiled of our programs: a fifth of the time that one takes to start. */
export const compiled = (): string => join(cacheFolder(), 'compiled');

/** Runs the built CLI in a process of its own; `make test` builds it first. */
export function runCli(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<CliResult> {
  return new Promise((done, failed) => {
    // As `make test` runs jest: no Wasm lives long enough to repay its optimising compiler.
    const child = spawn(process.execPath, ['--liftoff-only', resolve('dist/cli/main.js'), ...args], {
      cwd: options.cwd,
      env: {
        PATH: process.env['PATH'],
        COUNTERSIGN_CACHE: cacheFolder(),
        NODE_COMPILE_CACHE: compiled(),
        ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', failed);
    child.once('close', (code) => done({ code, stdout, stderr }));
  });
}
