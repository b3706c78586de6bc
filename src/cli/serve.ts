import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { toCountersignError } from '../errors.js';
import { printable } from './output.js';

const EXAMPLE = `
An example of a service.yaml; everything has a default but repositories:

  listen: 127.0.0.1:4100              # loopback only
  database: embedded                  # or postgres://…, by COUNTERSIGN_DATABASE if it holds a password
  log: {origin: countersign.example.org/prod}
  repositories:
    - name: shop
      url: https://git.example.org/shop.git
      governance: refs/heads/main     # whose countersign.yaml and policies/ count
      trust: {commit: FULL_COMMIT_ID} # where trust begins; or {key: "ssh-ed25519 AAAA…"}
      credentials: {username: bot, passwordEnv: SHOP_TOKEN}
  targets:
    - name: prod
      kind: kubernetes
      kubeconfig: prod.yaml           # or in-cluster: the service account of its pod
      grants: [{repository: shop, namespaces: [shop], kinds: ["*"]}]

Ctrl-C or SIGTERM finishes what is under way and stops; a second one stops at once.`;

/** Longest wait for what is under way, in milliseconds. */
const PATIENCE = 60_000;

export function register(program: Command): void {
  program
    .command('serve')
    .description('follow repositories, judge, record and apply')
    .option('--config <file>', 'the configuration (service.yaml, if there is one)', process.env['COUNTERSIGN_CONFIG'])
    .option('--data <folder>', 'keys, mirrors and the embedded database', process.env['COUNTERSIGN_DATA'] ?? 'data')
    .addHelpText('after', EXAMPLE)
    .action(serve);
}

async function serve({ config: file, data }: { config?: string; data: string }): Promise<void> {
  const { loadConfig } = await import('../config.js');
  const named = file ?? (existsSync('service.yaml') ? 'service.yaml' : undefined);
  const config = await loadConfig(named, { data, env: process.env });
  const [{ createLogger }, { run }] = await Promise.all([import('../commentary.js'), import('../main.js')]);
  const logger = createLogger(config.logLevel, undefined, config.instance);

  // Signals that come while it starts count, too.
  const { promise: stopped, resolve: stop } = Promise.withResolvers<string>();
  let asked = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(signal === 'SIGINT' ? 130 : 143);
      asked = true;
      stop(signal);
    });
  }
  const broken = (thrown: unknown): void => {
    logger.fatal({ err: thrown }, 'a fault that nothing took care of');
    process.stderr.write(`countersign: ${printable(toCountersignError(thrown).sentence)}\n`);
    process.exit(2);
  };
  process.on('uncaughtException', broken);
  process.on('unhandledRejection', broken);

  const service = await run(config, logger);
  logger.info({ url: service.url }, 'ready');
  process.stderr.write(`countersign is ready: ${service.url}/graphql\n`);
  if (service.administratorToken !== undefined) {
    process.stderr.write(
      `whoever is on this machine may look; the administrator's token is in ${printable(service.administratorToken)}\n`,
    );
  }
  const signal = await stopped;
  logger.info({ signal }, 'stopping');
  setTimeout(() => broken(new Error(`not stopped after ${PATIENCE / 1_000} s`)), PATIENCE).unref();
  await service.close();
  logger.info('stopped');
  // Whatever a library may have left open must not keep the process.
  process.exit(0);
}
