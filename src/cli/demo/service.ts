import { createWriteStream, type WriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { startTethered, type Tethered } from '../../adapters/kubernetes/tethered.js';
import { until } from './failure.js';
import { GraphqlClient } from './graphql.js';
import { countersign } from './program.js';
import { stages, type Stage } from './team-files.js';

export interface ServiceOptions {
  readonly configFile: string;
  readonly data: string;
  readonly logFile: string;
  readonly port: number;
}

export interface ServiceFile {
  readonly port: number;
  readonly url: string;
  readonly genesis: string;
  readonly kubeconfig: string;
  /** Where the API server writes its audit events; null where that is not ours to read. */
  readonly auditLog: string | null;
  readonly namespaces: Readonly<Record<Stage, string>>;
}

/** The service's own configuration: one repository, one cluster with a target and a grant for each environment. */
export async function writeServiceFile(file: string, options: ServiceFile): Promise<void> {
  const audit = options.auditLog === null ? '' : `\n    audit: {log: ${JSON.stringify(options.auditLog)}}`;
  const targets = stages.map(
    (stage) => `  - name: ${stage}
    kind: kubernetes
    kubeconfig: ${JSON.stringify(options.kubeconfig)}
    grants: [{repository: shop, namespaces: [${options.namespaces[stage]}], kinds: ["*"]}]${audit}
`,
  );
  await writeFile(
    file,
    `listen: 127.0.0.1:${options.port}
database: embedded
log: {origin: countersign.example.org/demo}
repositories:
  - name: shop
    url: ${JSON.stringify(options.url)}
    refs: [refs/heads/main]
    trust: {commit: ${options.genesis}}
    poll: 200ms
targets:
${targets.join('')}`,
  );
}

/** `countersign serve` as a child process that cannot outlive us. */
export class ServiceProcess {
  readonly graphql: GraphqlClient;
  #stopping = false;

  private constructor(
    private readonly child: Tethered,
    private readonly log: WriteStream,
    address: string,
  ) {
    this.graphql = new GraphqlClient(address);
  }

  /** Resolves when it answers. */
  static async start({ configFile, data, logFile, port }: ServiceOptions): Promise<ServiceProcess> {
    const log = createWriteStream(logFile, { flags: 'a' });
    const args = [...countersign, 'serve', '--config', configFile, '--data', data];
    const child = startTethered('/usr/bin/env', args, (line) => void log.write(`${line}\n`));
    const service = new ServiceProcess(child, log, `http://127.0.0.1:${port}`);
    try {
      await until('the service to answer', async () => (await service.graphql.get('/healthz')).status === 200 || null, {
        atMost: 90_000,
        every: 100,
        givenUp: () => service.ended(),
      });
    } catch (error) {
      await service.stop();
      throw error;
    }
    return service;
  }

  /** Why it is gone, in its own last words; null while it runs. */
  ended(): string | null {
    return this.child.exited && !this.#stopping
      ? `the service has ended; its last lines:\n${this.child.lastLines()}`
      : null;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.graphql.close();
    await this.child.stop();
    await new Promise((resolve) => this.log.end(resolve));
  }
}

/** The usual port if nobody has it, or any free one. */
export async function freePort(preferred: number): Promise<number> {
  return (await tryPort(preferred)) ?? (await tryPort(0)) ?? preferred;
}

function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => {
      const { port: given } = server.address() as { port: number };
      server.close(() => resolve(given));
    });
  });
}
