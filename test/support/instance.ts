import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { startTethered, type Tethered } from '../../src/adapters/kubernetes/tethered.js';
import { openKeys } from '../../src/adapters/keys/file.js';
import type { ServiceAddress } from '../../src/main.js';
import { compiled } from './cli.js';
import { eventually } from './eventually.js';

/** `countersign serve` as a process of its own, with its own data folder. */
export class Instance {
  #child: Tethered | null = null;
  #url = '';

  constructor(
    readonly name: string,
    readonly data: string,
    private readonly config: string,
    private readonly said: (line: string) => void,
  ) {}

  get url(): string {
    return this.#url;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  /** Resolves at once. */
  async spawn(): Promise<void> {
    await rm(join(this.data, 'service.json'), { force: true });
    const node = resolve('node_modules/node/bin/node');
    const serve = [
      '--liftoff-only',
      resolve('dist/cli/main.js'),
      'serve',
      '--config',
      this.config,
      '--data',
      this.data,
    ];
    this.#url = '';
    this.#child = startTethered(
      '/usr/bin/env',
      [`COUNTERSIGN_INSTANCE=${this.name}`, `NODE_COMPILE_CACHE=${compiled()}`, node, ...serve],
      this.said,
    );
  }

  /** Resolves to its address once it answers. */
  async ready(): Promise<string> {
    const file = join(this.data, 'service.json');
    const child = this.#child!;
    this.#url = await eventually(`service ${this.name} to answer`, async () => {
      if (child.exited) throw new Error(`the service has ended:\n${child.lastLines()}`);
      const text = await readFile(file, 'utf8').catch(() => null);
      return text === null ? null : (JSON.parse(text) as ServiceAddress).url;
    });
    return this.#url;
  }

  async start(): Promise<void> {
    await this.spawn();
    await this.ready();
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    await this.#child?.signal(name);
  }

  /** In order. */
  async stop(): Promise<void> {
    await this.#child?.stop();
    this.#child = null;
  }

  async kill(): Promise<void> {
    await this.#child?.kill();
    this.#child = null;
  }
}

/** Instances of one service have the same keys. */
export async function shareKeys([first, ...others]: readonly string[]): Promise<void> {
  await mkdir(first, { recursive: true, mode: 0o700 });
  await openKeys({ data: first, origin: 'log.example.org/world' });
  for (const data of others) await cp(join(first, 'keys'), join(data, 'keys'), { recursive: true });
}
