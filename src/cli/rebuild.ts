import { type Command, Option } from 'commander';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CountersignError } from '../errors.js';
import type { EnvironmentProgress } from '../reconcile/progress.js';
import { jsonLine, print, printable } from './output.js';

interface Options {
  readonly config?: string;
  readonly data: string;
  readonly target?: string;
  readonly environment: readonly string[];
  readonly reason: string;
  readonly timeout: string;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('rebuild')
    .description(
      'bring a cluster that was lost back to what is approved, from Git and the log; the service is stopped meanwhile',
    )
    .option('--config <file>', 'the configuration (service.yaml, if there is one)', process.env['COUNTERSIGN_CONFIG'])
    .option('--data <folder>', 'keys, mirrors and the embedded database', process.env['COUNTERSIGN_DATA'] ?? 'data')
    .option('--target <name>', 'only what goes there; every target otherwise')
    .option(
      '--environment <name>',
      'only this one; may be given again',
      (one: string, more: string[]) => [...more, one],
      [],
    )
    .requiredOption('--reason <text>', 'why, for the log')
    .option('--timeout <duration>', 'how long to wait for all of it', '30m')
    .addOption(
      new Option('--output <format>', 'how to print what came of it').choices(['text', 'json']).default('text'),
    )
    .addHelpText('after', '\nExit code: 0 all of it is live as approved, 1 not all of it, 2 could not tell.')
    .action(rebuild);
}

type Done = EnvironmentProgress & { readonly milliseconds: number };

async function rebuild(options: Options): Promise<void> {
  const [{ loadConfig }, { createLogger }, { startService }, { milliseconds }] = await Promise.all([
    import('../config.js'),
    import('../commentary.js'),
    import('../service.js'),
    import('../units.js'),
  ]);
  const { data: timeout } = milliseconds({ atLeast: 1_000, atMost: 86_400_000 }).safeParse(options.timeout);
  if (timeout === undefined)
    throw new CountersignError('usage', `--timeout: "${options.timeout}" is no duration from 1s to 24h, such as 30m`);
  await requireStopped(options.data);
  const named = options.config ?? (existsSync('service.yaml') ? 'service.yaml' : undefined);
  const config = await loadConfig(named, { data: options.data, env: process.env });
  if (options.target !== undefined && !config.targets.some(({ name }) => name === options.target))
    throw new CountersignError('usage', `no target is called ${options.target}`);
  const begun = performance.now();
  // What it has to say of each environment is printed here, and what it warns of besides is for standard error.
  const logger = createLogger('error', { write: (line: string) => void process.stderr.write(line) }, config.instance);
  const isAsked = ({ environment, target }: { environment: string; target: string | null }): boolean =>
    (options.target === undefined || target === options.target) &&
    (options.environment.length === 0 || options.environment.includes(environment));
  const service = await startService(config, logger, {
    rebuild: (_repository, environment, target) => (isAsked({ environment, target }) ? options.reason : null),
  });
  const done = new Map<string, Done>();
  let left: readonly EnvironmentProgress[] = [];
  try {
    for (;;) {
      const all = (await service.progress()).filter(isAsked);
      for (const one of all.filter(isOver)) {
        const key = `${one.repository} ${one.environment}`;
        if (done.has(key)) continue;
        const result = { ...one, milliseconds: Math.round(performance.now() - begun) };
        done.set(key, result);
        await print(options.output === 'json' ? jsonLine(result) : printable(line(result)));
      }
      left = all.filter((one) => !done.has(`${one.repository} ${one.environment}`));
      if (left.length === 0 || performance.now() - begun > timeout) break;
      await sleep(100);
    }
  } finally {
    await service.close();
  }
  await verdict([...done.values()], left, performance.now() - begun, options);
}

const isOver = ({ isLive, trouble }: EnvironmentProgress): boolean => isLive || (trouble !== null && !trouble.retry);

function line({ repository, environment, target, isLive, objects, healthy, trouble, milliseconds }: Done): string {
  const place = `${repository} ${environment}   ${target}`;
  const seconds = (milliseconds / 1_000).toFixed(1);
  if (isLive) return `✓ ${place}   ${objects} objects, ${healthy} healthy   ${seconds} s`;
  return `✗ ${place}   ${trouble?.message ?? ''}${trouble?.remedy ? `. ${trouble.remedy}` : ''}`;
}

async function verdict(
  done: readonly Done[],
  left: readonly EnvironmentProgress[],
  took: number,
  { output }: Options,
): Promise<void> {
  const live = done.filter(({ isLive }) => isLive);
  const objects = live.reduce((sum, one) => sum + one.objects, 0);
  const all = done.length + left.length;
  process.exitCode = all === 0 ? 2 : live.length === all ? 0 : 1;
  if (output === 'json')
    return print(jsonLine({ environments: all, live: live.length, objects, milliseconds: Math.round(took) }));
  for (const { repository, environment, target, trouble } of left)
    await print(
      printable(`✗ ${repository} ${environment}   ${target}   not in time${trouble ? `: ${trouble.message}` : ''}`),
    );
  if (all === 0) return print('nothing to rebuild: no environment that was asked for is approved');
  const words = live.length === all ? 'rebuilt' : 'not all of it is back';
  await print(`${words}   ${live.length} of ${all} environments live as approved, ${objects} objects, ${(took / 1_000).toFixed(1)} s`); // prettier-ignore
}

/** Two would write to one cluster. */
async function requireStopped(data: string): Promise<void> {
  const text = await readFile(join(data, 'service.json'), 'utf8').catch(() => null);
  if (text === null) return;
  const { pid, url } = JSON.parse(text) as { pid: number; url: string };
  try {
    process.kill(pid, 0);
  } catch {
    return;
  }
  throw new CountersignError('usage', `the service of this folder runs (${url}, process ${pid})`, {
    remedy: 'Stop it first; it may be started again as soon as this is done',
  });
}
