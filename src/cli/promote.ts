import type { Command } from 'commander';
import type { Environment } from '../change/environment.js';
import type { EnvironmentAt } from '../change/promotion.js';
import type { JsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import type { Repository } from '../source/repository.js';
import { type OrganisationOptions, organisationOptions } from './organisation.js';
import { colored, jsonLine, outputOption, print, printable } from './output.js';

interface Options extends OrganisationOptions {
  readonly from: string;
  readonly to: string;
  readonly head: string;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  organisationOptions(program.command('promote'))
    .description('show what promoting one environment to another would change, judged by policy; writes nothing')
    .argument('[path]', 'a work tree or a bare repository', '.')
    .requiredOption('--from <environment>', 'whose files are promoted, as countersign.yaml names it')
    .requiredOption('--to <environment>', 'what would hold them')
    .option('--head <revision>', 'where countersign.yaml, signers and policy are read', 'HEAD')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', HELP)
    .action(promote);
}

const HELP = `
Two folders: the files of the one take the place of the other's. One folder on two branches: the one branch moves to the other's commit.
The Git commands that propose it are printed last. Exit code: 0 policy allows it, 1 denied or pending, 2 could not tell.`;

async function promote(path: string, options: Options): Promise<void> {
  const started = performance.now();
  const [{ openRepository }, { startEngine }, { examinePromotion }, { promotionCommands }, { outcomeOf }] =
    await Promise.all([
      import('../adapters/git/open.js'),
      import('./engine.js'),
      import('./examination.js'),
      import('../change/promotion.js'),
      import('../report/verdict.js'),
    ]);
  const repository = await openRepository(path);
  const engine = await startEngine();
  try {
    const head = await repository.resolve(options.head);
    const examined = await examinePromotion(
      repository,
      engine,
      { commit: head, organisation: options },
      async (environments) => {
        const from = await held(repository, named(environments, options.from));
        const to = await held(repository, named(environments, options.to));
        return { from, to };
      },
    );
    const { from, to, promoted, verdict, notes } = examined;
    const report = { verdicts: [verdict], notes, seconds: Math.round(performance.now() - started) / 1000, version: '' }; // prettier-ignore
    const commands = promotionCommands(promoted, from, to);
    if (options.output === 'json') {
      const { jsonReport } = await import('../report/json.js');
      const { version: _, ...said } = jsonReport(report) as unknown as JsonObject;
      await print(jsonLine({ from: told(from), to: told(to), ...said, commands }));
    } else {
      const { textReport } = await import('../report/text.js');
      await print(printable(`${from.environment.name} (${from.commit.slice(0, 7)}) → ${to.environment.name} (${to.commit.slice(0, 7)})`)); // prettier-ignore
      for (const { op, identity, source } of verdict.change.changes) {
        await print(printable(`  ${op}  ${identity.kind} ${[identity.namespace, identity.name].filter(Boolean).join('/')}  ${source.path}:${source.line}`)); // prettier-ignore
      }
      await print(textReport(report, { color: colored(), printable }));
      if (verdict.change.changes.length > 0) await print(printable(`to propose it:\n  ${commands.join('\n  ')}`));
    }
    const outcome = outcomeOf(report);
    process.exitCode = outcome === 'allow' ? 0 : outcome === 'error' ? 2 : 1;
  } finally {
    await Promise.all([repository.close(), engine.close()]);
  }
}

function told({ environment: { name, path, ref }, commit }: EnvironmentAt): JsonObject {
  return { name, path, ref, commit };
}

async function held(repository: Repository, environment: Environment): Promise<EnvironmentAt> {
  const commit = (await repository.refs([environment.ref])).get(environment.ref);
  if (commit !== undefined) return { environment, commit };
  throw new CountersignError('revision-unknown', `${environment.name} deploys ${environment.ref}, which is not here`, {
    remedy: 'Fetch that branch',
  });
}

function named(environments: readonly Environment[], name: string): Environment {
  const found = environments.find((environment) => environment.name === name);
  if (found) return found;
  const names = environments.map((environment) => environment.name);
  throw new CountersignError('environment-invalid', `there is no environment "${name}"`, {
    remedy: names.length > 0 ? `Choose one of ${names.join(', ')}` : 'Add them to countersign.yaml',
  });
}
