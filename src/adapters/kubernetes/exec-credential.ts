import { spawn } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { CountersignError, type Place } from '../../errors.js';

/** A program that gives credentials, as a kubeconfig names it. */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What it is told of the cluster, where the kubeconfig asks for that. */
  readonly cluster?: { readonly server: string; readonly 'certificate-authority-data'?: string };
}

export interface ExecLimits {
  /** Milliseconds. */
  readonly time: number;
  /** Of its standard output. */
  readonly bytes: number;
}

const LIMITS: ExecLimits = { time: 20_000, bytes: 256 * 1024 };
const VERSIONS = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'];
/** Milliseconds before its end at which a token is got anew: a request may take as long. */
const EARLY = 30_000;
/** Milliseconds for which a failure counts: each watch asks. */
const FAILED_FOR = 2_000;

/** Reads what stands under `exec`. Throws `config-invalid` with its place, quoting no value. */
export function readExecPlugin(
  written: unknown,
  { file, place, ...cluster }: { readonly file: string; readonly place: Place; readonly server: string; readonly caData?: string | undefined }, // prettier-ignore
): ExecPlugin {
  const invalid = (message: string, remedy: string): CountersignError =>
    new CountersignError('config-invalid', message, { place, remedy });
  const { apiVersion, command, args, env, interactiveMode, provideClusterInfo } = fields(written);
  if (typeof apiVersion !== 'string' || !VERSIONS.includes(apiVersion)) {
    throw invalid('exec has an apiVersion that is not understood', `It must be ${VERSIONS.join(' or ')}`);
  }
  if (typeof command !== 'string' || command === '') throw invalid('exec names no command', 'Name the program');
  if (interactiveMode === 'Always') throw invalid('exec needs somebody to answer it', 'Nobody sits before a service: use credentials of its own'); // prettier-ignore
  const texts = args ?? [];
  if (!Array.isArray(texts) || !texts.every((one) => typeof one === 'string')) throw invalid('exec.args are not all text', 'Put them into quotes'); // prettier-ignore
  const variables = (Array.isArray(env) ? env : []).map(fields).map(({ name, value }) => [name, value]);
  if (!variables.every(([name, value]) => typeof name === 'string' && typeof value === 'string')) {
    throw invalid('exec.env is not a list of name and value', 'Put values into quotes');
  }
  return {
    apiVersion,
    // As kubectl: a name is looked for on the PATH, a relative path from where the kubeconfig is.
    command: command.includes('/') ? resolve(dirname(file), command) : command,
    args: texts,
    env: Object.fromEntries(variables) as Record<string, string>,
    ...(provideClusterInfo === true
      ? { cluster: { server: cluster.server, ...(cluster.caData && { 'certificate-authority-data': cluster.caData }) } }
      : {}),
  };
}

interface Token {
  readonly value: string;
  /** Milliseconds since the epoch at which it is got anew; Infinity where it says none: until it is refused. */
  readonly until: number;
}

/** Runs the program when a token is needed, one at a time, and keeps what it gave until it ends or is refused. */
export class ExecCredential {
  #token: Token | null = null;
  #asking: Promise<Token> | null = null;
  #failed: { readonly error: unknown; readonly at: number } | null = null;

  constructor(
    private readonly plugin: ExecPlugin,
    private readonly limits: ExecLimits = LIMITS,
  ) {}

  /** Throws `cluster-unavailable` with `retry`: the same program may succeed the next time. */
  async token(): Promise<string> {
    if (this.#token && this.#token.until > Date.now()) return this.#token.value;
    if (this.#failed && this.#failed.at + FAILED_FOR > Date.now()) throw this.#failed.error;
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return (await this.#asking).value;
  }

  /** It was refused. */
  forget(): void {
    this.#token = null;
  }

  async #ask(): Promise<Token> {
    try {
      const output = await run(this.plugin, this.limits);
      this.#token = tokenOf(output, this.plugin);
      this.#failed = null;
      return this.#token;
    } catch (error) {
      this.#failed = { error, at: Date.now() };
      throw error;
    }
  }
}

function run(plugin: ExecPlugin, { time, bytes }: ExecLimits): Promise<string> {
  const { apiVersion, command, args, env, cluster } = plugin;
  const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false, ...(cluster && { cluster }) } };
  return new Promise((done, reject) => {
    const fail = (why: string): void => reject(failed(plugin, why));
    const child = spawn(command, [...args], {
      // Nothing of ours: what it needs stands in the kubeconfig, for whoever reads that to see.
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], LC_ALL: 'C', ...env, KUBERNETES_EXEC_INFO: JSON.stringify(info) }, // prettier-ignore
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
      // In a group of its own, so that what it starts ends with it.
      detached: true,
    });
    const kill = (): void => {
      try {
        if (child.pid) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // gone already
      }
    };
    let stopped: string | null = null;
    const stop = (why: string): void => {
      stopped ??= why;
      kill();
    };
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.length > bytes) stop(`it wrote more than ${bytes} bytes`);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, 2_000)));
    const timer = setTimeout(() => stop(`it did not end within ${time / 1000} s`), time);
    child.once('error', ({ message }) => {
      clearTimeout(timer);
      fail(`it could not be started: ${message.slice(0, 200)}`);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      kill();
      if (stopped !== null) fail(stopped);
      else if (code === 0) done(stdout);
      else fail(`it ended with ${code ?? signal}${firstLine(stderr, env)}`);
    });
  });
}

/** Its own words, without what the kubeconfig gave it. */
function firstLine(stderr: string, env: Readonly<Record<string, string>>): string {
  let line = stderr.split('\n').find((one) => one.trim() !== '') ?? '';
  for (const value of Object.values(env)) if (value !== '') line = line.replaceAll(value, '…');
  return line === '' ? '' : `: ${line.trim().slice(0, 200)}`;
}

function tokenOf(output: string, plugin: ExecPlugin): Token {
  let answer: Record<string, unknown>;
  try {
    answer = fields(JSON.parse(output));
  } catch {
    throw failed(plugin, 'it wrote something that is not JSON');
  }
  const { apiVersion, kind, status } = answer;
  if (kind !== 'ExecCredential' || apiVersion !== plugin.apiVersion) {
    throw failed(plugin, `it wrote something else than an ExecCredential of ${plugin.apiVersion}`);
  }
  const { token, expirationTimestamp, clientCertificateData } = fields(status);
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    const why = clientCertificateData === undefined ? 'it gave no token that a header can hold' : 'it gave a client certificate, and only tokens are taken'; // prettier-ignore
    throw failed(plugin, why);
  }
  if (expirationTimestamp === undefined || expirationTimestamp === null) return { value: token, until: Infinity };
  const end = typeof expirationTimestamp === 'string' ? Date.parse(expirationTimestamp) : NaN;
  if (Number.isNaN(end)) throw failed(plugin, 'its expirationTimestamp is no time');
  if (end <= Date.now()) throw failed(plugin, 'its token has expired already');
  // One that lives hardly longer than that is used for half of its life.
  return { value: token, until: Math.max(end - EARLY, Date.now() + (end - Date.now()) / 2) };
}

function failed({ command }: ExecPlugin, why: string): CountersignError {
  return new CountersignError('cluster-unavailable', `${command} gives no credentials: ${why}`, {
    remedy: 'Run it yourself as the user of the service; it is tried again',
    retry: true,
  });
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
