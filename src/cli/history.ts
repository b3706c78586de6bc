import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import type { HistorySummary } from '../report/history-summary.js';
import type { JudgedCommit } from '../review/judge-history.js';
import { organisationAt, type OrganisationOptions, organisationOptions } from './organisation.js';
import { jsonLine, print, printable, outputOption } from './output.js';
import { Progress } from './progress.js';

interface Options extends OrganisationOptions {
  readonly head: string;
  readonly base?: string;
  readonly policies?: string;
  readonly profile?: 'baseline' | 'strict' | 'off';
  readonly render?: boolean;
  readonly output: 'text' | 'json' | 'jsonl';
}

export function register(program: Command): void {
  organisationOptions(program.command('history'))
    .description('judge every commit of a history by the policy of its newest')
    .argument('[path]', 'a work tree or a bare repository', '.')
    .option('--head <revision>', 'the newest commit', 'HEAD')
    .option('--base <revision>', 'leave out what this commit already holds')
    .option('--policies <folder>', "in place of the repository's policies; starter rules stay as the profile says")
    .addOption(
      new Option('--profile <profile>', 'which starter rules run; strict also counts signatures and approvals').choices(
        ['baseline', 'strict', 'off'],
      ),
    )
    .option('--render', 'judge what kustomizations and charts give, in place of the files that they read')
    .addOption(outputOption('text', 'json', 'jsonl'))
    .addHelpText('after', HELP)
    .action(judge);
}

const HELP = `
Files are read as they are written. With --render, a kustomization or chart that no other takes in is rendered whenever a commit
changes a file that it reads; that takes about as long as rendering does. An object's identity includes its file or folder.
The last line is JSON: commits, objectChanges, allowed, denied, byRule (commits that each rule denied), notCounted, excepted,
exceptionsUsed, errors, unreadable, seconds. Exit code: 0 if it could be judged, 2 if not.`;

async function judge(path: string, options: Options): Promise<void> {
  const started = performance.now();
  const [
    { openRepository },
    { FileComparison },
    { ManifestCache },
    { startEngine },
    { historyExceptions, judgeHistory },
    { readLaw },
    { HistorySummary },
    { checkSignature },
  ] = await Promise.all([
    import('../adapters/git/open.js'),
    import('../change/file-comparison.js'),
    import('../change/manifest-cache.js'),
    import('./engine.js'),
    import('../review/judge-history.js'),
    import('../review/law.js'),
    import('../report/history-summary.js'),
    import('../source/signers.js'),
  ]);
  const repository = await openRepository(path);
  const engine = await startEngine(1);
  const manifests = new ManifestCache(
    CACHE_BYTES,
    { bytes: MANIFEST_BYTES },
    options.render ? engine.folders : undefined,
  );
  const comparer = new FileComparison(repository, manifests);
  try {
    const head = await repository.resolve(options.head);
    const range = options.base === undefined ? { head } : { head, exclude: [await repository.resolve(options.base)] };
    const { policies: folder, profile } = options;
    const { policyFolder } = await import('../policy/folder.js');
    const law = await readLaw(repository, head, {
      compile: engine.compile,
      organisation: await organisationAt(options),
      ...(profile ? { profile } : {}),
      ...(folder === undefined ? {} : { policies: (starter) => policyFolder(folder, starter) }),
    });
    const time = new Date();
    const summary = new HistorySummary(profile === 'strict');
    const progress = new Progress('commits', await repository.count(range));
    const judged = judgeHistory(repository, range, {
      ...engine,
      repository: { name: basename(repository.path), url: '' },
      ref: options.head,
      bundle: law.bundle,
      comparer,
      exceptions: historyExceptions(law, time),
      checkSignature: (commit) => checkSignature(commit, law.signers, time),
      time,
    });
    for await (const one of judged) {
      const allowed = summary.add(one);
      if (options.output !== 'json') await tell(one, allowed, summary, options.output);
      progress.advance();
    }
    progress.end();
    const seconds = (performance.now() - started) / 1000;
    if (options.output === 'text')
      await print(`policy ${law.bundle.digest.slice(0, 12)} of ${options.head} ${head.slice(0, 7)}`);
    await print(jsonLine(summary.line(seconds)));
  } finally {
    await Promise.all([repository.close(), engine.close()]);
  }
}

/** What keeps the whole command under 600 MiB. */
const CACHE_BYTES = 40 * 1024 * 1024;
const MANIFEST_BYTES = 4 * 1024 * 1024;

async function tell(
  one: JudgedCommit,
  allowed: boolean,
  summary: HistorySummary,
  output: 'text' | 'jsonl',
): Promise<void> {
  const { step, decision } = one;
  const { id, message, author } = step.commit;
  if (output === 'jsonl') {
    const { violations, warnings, required, excepted, error } = decision;
    const outcome = allowed ? 'allow' : decision.outcome === 'error' ? 'error' : 'deny';
    const unreadable = step.unreadable.map(({ code, message: what, place }) => ({ code, message: what, place }));
    await print(
      jsonLine({
        id,
        outcome,
        objectChanges: step.changes.length,
        violations,
        warnings,
        required,
        excepted,
        error,
        unreadable,
      }),
    );
    return;
  }
  if (allowed) return;
  const [title] = message.split('\n', 1);
  await print(printable(`✗ ${id.slice(0, 12)}  ${author.time.slice(0, 10)}  ${title}`));
  if (decision.error) await print(printable(`    could not be judged: ${decision.error.message}`));
  const said = summary.counted(decision);
  for (const { rule, message: what, source } of said.slice(0, 5)) {
    await print(printable(`    ${rule}  ${source ? `${source.path}:${source.line}  ` : ''}${what}`));
  }
  if (said.length > 5) await print(`    … and ${said.length - 5} more`);
}
