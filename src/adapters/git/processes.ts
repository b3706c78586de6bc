import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { CountersignError } from '../../errors.js';

/**
 * Settings that every git of ours runs under, whatever the machine or the repository's own config says. As environment
 * they count as the command's own scope: over system, global and repository config, and safe.directory is honoured there.
 * `safe.directory=*` is safe here: only object-reading plumbing runs in repositories that others own (mirrors are ours).
 */
const SETTINGS: readonly (readonly [string, string])[] = [
  ['safe.directory', '*'],
  ['protocol.allow', 'never'],
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.askPass', ''],
  ['credential.helper', ''],
  ['transfer.fsckObjects', 'true'],
  ['submodule.recurse', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  // Said of GIT_GRAFT_FILE below, before whatever is the matter.
  ['advice.graftFileDeprecated', 'false'],
];

export interface GitEnvironment {
  /** Transports that this one command may use; none by default. The allow-list wins over any config. */
  readonly protocols?: readonly ('file' | 'http' | 'https' | 'ssh')[];
  readonly settings?: readonly (readonly [string, string])[];
  readonly variables?: Readonly<Record<string, string>>;
}

/**
 * Built from nothing, so that a GIT_DIR or a proxy command of the caller's (we may run inside a hook) never leaks in.
 * Replace refs and grafts would show another history than the objects hold.
 */
export function gitEnvironment(options: GitEnvironment = {}): NodeJS.ProcessEnv {
  const settings = [...SETTINGS, ...(options.settings ?? [])];
  const environment: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    LC_ALL: 'C',
    TZ: 'UTC',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_GRAFT_FILE: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_LAZY_FETCH: '1',
    GIT_ALLOW_PROTOCOL: options.protocols?.join(':') || 'none',
    GIT_CONFIG_COUNT: String(settings.length),
    ...options.variables,
  };
  settings.forEach(([name, value], i) => {
    environment[`GIT_CONFIG_KEY_${i}`] = name;
    environment[`GIT_CONFIG_VALUE_${i}`] = value;
  });
  return environment;
}

export interface GitResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const STDERR_LIMIT = 16 * 1024;

export function spawnGit(args: readonly string[], options: GitEnvironment = {}): ChildProcessWithoutNullStreams {
  const child = spawn('git', args, { env: gitEnvironment(options), stdio: ['pipe', 'pipe', 'pipe'], cwd: '/' });
  // A child that dies early closes its stdin under our writes; its exit code and stderr tell the story.
  child.stdin.on('error', () => {});
  return child;
}

/** Keeps the first 16 KiB of stderr: what git complains about first is the cause. */
export function collectStderr(child: ChildProcessWithoutNullStreams): () => string {
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length < STDERR_LIMIT) text += chunk.slice(0, STDERR_LIMIT - text.length);
  });
  return () => text.trim();
}

/** What git complains of, in its own words: the first line that says what failed, without its `fatal:` or `error:`. */
export function complaint(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('hint:'));
  const line = lines.find((said) => /^(?:fatal|error): /.test(said)) ?? lines[0] ?? '';
  return line.replace(/^(?:fatal|error): /, '');
}

/** Resolves when the process has ended and its pipes are drained. Throws `git-failed` if git cannot be started at all. */
export function exitOf(child: ChildProcessWithoutNullStreams): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(
        new CountersignError('git-failed', `git could not be started: ${cause.message}`, {
          remedy: 'Install git 2.39 or newer and put it on the PATH',
          cause,
        }),
      );
    });
    child.once('close', (code) => resolve(code));
  });
}

/** Runs git to its end. Output beyond `limit` bytes (default 256 MiB) stops it with `git-failed`. */
export async function runGit(
  args: readonly string[],
  options: GitEnvironment & { input?: string | Buffer; limit?: number; timeout?: number } = {},
): Promise<GitResult> {
  const child = spawnGit(args, options);
  const stderr = collectStderr(child);
  const limit = options.limit ?? 256 * 1024 * 1024;
  const chunks: Buffer[] = [];
  let size = 0;
  let stopped: string | undefined;
  const stop = (reason: string): void => {
    stopped = reason;
    child.kill('SIGKILL');
  };
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > limit) stop(`its output passed ${limit} bytes`);
    else chunks.push(chunk);
  });
  const timer = options.timeout
    ? setTimeout(() => stop(`it took over ${options.timeout} ms`), options.timeout)
    : undefined;
  child.stdin.end(options.input ?? '');
  const code = await exitOf(child).finally(() => clearTimeout(timer));
  if (stopped)
    throw new CountersignError('git-failed', `git ${args.find((a) => !a.startsWith('-'))} was stopped: ${stopped}`, {
      retry: true,
    });
  return { code, stdout: Buffer.concat(chunks, size > limit ? undefined : size), stderr: stderr() };
}

/** The installed git's version as [major, minor], or undefined where there is none. Asked once a process. */
let version: Promise<readonly [number, number] | undefined> | undefined;
export function gitVersion(): Promise<readonly [number, number] | undefined> {
  version ??= runGit(['--version']).then(
    ({ stdout }) => {
      const match = /(\d+)\.(\d+)/.exec(stdout.toString('latin1'));
      return match ? ([Number(match[1]), Number(match[2])] as const) : undefined;
    },
    () => undefined,
  );
  return version;
}
