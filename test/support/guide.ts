import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { cacheFolder } from '../../src/adapters/folder/cache-folder.js';

interface Step {
  readonly file?: { readonly path: string; readonly text: string };
  readonly serve?: string;
  readonly command?: string;
  readonly prints: readonly string[];
}

/**
 * Blocks whose first line is a path are files, those of kind `console` are commands with what they print, those of kind `serve` go on until the
 * end; the rest is for reading.
 */
export function stepsOf(page: string): Step[] {
  return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, kind, text]): Step[] => {
    const path = /^# ([\w./-]+\.(?:rego|yaml))\n/.exec(text)?.[1];
    if (path !== undefined) return [{ file: { path, text }, prints: [] }];
    if (kind === 'serve') return [{ serve: text.trim(), prints: [] }];
    if (kind !== 'console') return [];
    return text.split(/^\$ /m).slice(1).map((part) => {
      const [command, ...prints] = part.trimEnd().split('\n');
      return { command, prints };
    }); // prettier-ignore
  });
}

/** An empty folder in which a reader does what a page says. */
export class Reader {
  readonly folder = mkdtempSync(join(tmpdir(), 'countersign-guide-'));
  readonly #env = {
    PATH: `${resolve('bin')}:${process.env['PATH']}`,
    COUNTERSIGN_CACHE: cacheFolder(),
    HOME: this.folder,
    GIT_CONFIG_NOSYSTEM: '1',
  };
  #serving: ChildProcess | undefined;

  constructor() {
    // The embedded PostgreSQL refuses to be root, and has to get into the folder as somebody else.
    chmodSync(this.folder, 0o711);
  }

  /** Of a step: what it was to print, and what it did. */
  async follow({
    file,
    serve,
    command,
    prints,
  }: Step): Promise<{ command: string; printed: string; asWritten: RegExp } | null> {
    if (file) {
      mkdirSync(join(this.folder, dirname(file.path)), { recursive: true });
      writeFileSync(join(this.folder, file.path), file.text);
    }
    if (serve !== undefined) await this.#serve(serve);
    if (command === undefined) return null;
    return { command, printed: await this.#run(command), asWritten: asWritten(prints) };
  }

  async close(): Promise<void> {
    const serving = this.#serving;
    if (serving && serving.exitCode === null) {
      const ended = new Promise((done) => serving.once('close', done));
      serving.kill('SIGTERM');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #run(command: string): Promise<string> {
    return new Promise((done) => {
      const waiting = { cwd: this.folder, env: this.#env, timeout: 150_000 };
      execFile('bash', ['-c', `${command} 2>&1`], waiting, (_error, stdout) => done(stdout));
    });
  }

  async #serve(command: string): Promise<void> {
    const child = spawn('bash', ['-c', `exec ${command}`], {
      cwd: this.folder,
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#serving = child;
    let said = '';
    await new Promise<void>((ready, failed) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('countersign is ready')) ready();
      });
      child.once('close', (code) => failed(new Error(`it ended with ${code}: ${said}`)));
    });
  }
}

const escaped = (line: string) => line.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'); // prettier-ignore

/** `…` is anything within a line; on a line of its own, any number of lines. */
function asWritten(prints: readonly string[]): RegExp {
  const lines = prints.map((line) => (line.trim() === '…' ? '(?:.*\\n)*?' : `${escaped(line)}\\n`));
  return new RegExp(`^${lines.join('')}$`);
}
