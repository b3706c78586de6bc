import { spawn } from 'node:child_process';
import { CountersignError } from '../../errors.js';

export interface Signed {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that signs what it is given on its standard input. Throws `keys-invalid` when it cannot be started. */
export function runSigner(program: string, args: readonly string[], text: string, remedy: string): Promise<Signed> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  return new Promise((resolve, reject) => {
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part));
    child.stderr.setEncoding('utf8').on('data', (part: string) => (stderr += part));
    child.stdin.on('error', () => {}); // it may refuse the key before it has read
    child.once('error', (cause) =>
      reject(
        new CountersignError('keys-invalid', `${program} could not be started: ${cause.message}`, { remedy, cause }),
      ),
    );
    child.once('close', (code) => resolve({ code, stdout, stderr: stderr.trim() }));
    child.stdin.end(text);
  });
}
