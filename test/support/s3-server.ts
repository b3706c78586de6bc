import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { once } from 'node:events';

export interface S3Server {
  /** It has one bucket, `log`. */
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** An S3-compatible server, built once; it forgets everything when it stops. */
export async function startS3(): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-s3-'));
  execFileSync(resolve('test/support/build-cached.sh'), ['s3-server', join(folder, 'server')], { stdio: 'inherit' });
  const child = spawn(join(folder, 'server'), { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  return {
    endpoint: line.trim(),
    stop: async () => {
      const gone = once(child, 'exit');
      child.stdin.end();
      await gone;
      rmSync(folder, { recursive: true });
    },
  };
}
