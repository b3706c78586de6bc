import type { Command } from 'commander';
import { CountersignError } from '../errors.js';
import { follow } from './follow.js';
import { jsonLine, print, outputOption } from './output.js';

interface Options {
  readonly data: string;
  readonly database?: string;
  readonly output: 'text' | 'json';
}

const RECOVER = `
A service whose database is older than what its log has signed (a restored backup, a promoted replica) does not start. With a copy of the
log that holds the missing entries (a mirror, an export, static tiles, another machine's /log) the database catches up:

  countersign log recover --data DIR --from /srv/log-mirror
  countersign log recover --data DIR --from s3://bucket/log
  countersign log recover --data DIR --from evidence.zip

Nothing is kept unless the whole gives the root that this log's key has signed. Rows beside the log (what GraphQL lists) that the backup lacks
stay lost; environments that were judged meanwhile are judged again before anything is applied.`;

const CONTINUE = `
When no copy holds the missing entries, they are lost, and a log that once was longer cannot go on: everybody who kept a checkpoint would
call it a fork. This opens a new log, under another origin and a key of its own, whose second entry names the old log, its last checkpoint
and how much of it is left. The old tables stay in the database, in a schema that the output names; keys and checkpoint of the old log stay
in the data folder. Auditors need the new key, and export the old log before (countersign export works on the older database).`;

export function register(program: Command): void {
  const log = program.command('log').description('bring back a log that lost entries, or open one that follows it');
  common(log.command('recover').description('take the entries that an older database lacks from a copy of the log'))
    .requiredOption('--from <place>', 'a folder of tiles, a bundle (.zip), http(s)://…/log or s3://bucket/prefix')
    .option('--partial', 'take what there is, although entries that were promised stay missing')
    .addHelpText('after', RECOVER)
    .action(recover);
  common(log.command('continue').description('open a new log that names one whose last entries are lost'))
    .option('--origin <name>', 'the name of the new log; the old one with a number by default')
    .addHelpText('after', CONTINUE)
    .action(continueWithNew);
}

const common = (command: Command): Command =>
  command
    .requiredOption('--data <folder>', 'the data folder of the stopped service')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .addOption(outputOption('text', 'json'));

async function recover(options: Options & { readonly from: string; readonly partial?: boolean }): Promise<void> {
  const { readKeys } = await import('../adapters/keys/file.js');
  const { openStoppedDatabase } = await import('../adapters/postgres/stopped.js');
  const { recoverLog } = await import('../adapters/postgres/recovery.js');
  const { CheckpointFile } = await import('../adapters/postgres/seen-checkpoint.js');
  const { openLogFiles } = await import('../adapters/log-files/open.js');
  const keys = await readKeys(options.data);
  const copy = await openLogFiles(options.from);
  const progress = follow('entries');
  try {
    const dataSource = await openStoppedDatabase(options.data, options.database);
    const seen = new CheckpointFile(options.data);
    try {
      const partial = options.partial ?? false;
      const recovered = await recoverLog({ dataSource, keys, seen, copy, partial, progress: progress.at });
      progress.end();
      await seen.close();
      if (recovered.to === recovered.promised) await note(dataSource, keys, options.data, recovered);
      if (options.output === 'json') return await print(jsonLine(recovered));
      const { from, to, promised, contents, missing, environments } = recovered;
      await print(
        `recovered entries ${from} … ${to - 1} of ${keys.origin} and ${contents} contents from ${copy.where}`,
      );
      if (missing > 0)
        await print(`${missing} contents that they name are not there: those decisions cannot be replayed`);
      if (environments.length > 0) await print(`to be judged again: ${environments.join(', ')}`);
      await print(
        to === promised
          ? 'nothing that was promised is missing   start the service: countersign serve'
          : `${promised - to} entries that were promised are still missing   countersign log continue --data ${options.data}`,
      );
    } finally {
      await seen.close();
      await dataSource.destroy();
    }
  } finally {
    progress.end();
    await copy.close();
  }
}

/** That entries came from a copy is itself in the log. */
async function note(
  dataSource: import('typeorm').DataSource,
  keys: import('../audit/keys.js').KeyRing,
  data: string,
  { from, to, contents, missing }: import('../adapters/postgres/recovery.js').Recovery,
): Promise<void> {
  const { openLedger } = await import('../adapters/postgres/ledger.js');
  const { randomUUID } = await import('node:crypto');
  const ledger = await openLedger({ dataSource, keys, dataDir: data });
  try {
    const time = new Date().toISOString();
    const predicate = {
      id: randomUUID(),
      action: 'log-recovered',
      from,
      to,
      contentsFound: contents,
      contentsMissing: missing,
      time,
    };
    await ledger.append({ type: 'action', subjects: [], predicate });
  } finally {
    await ledger.close();
  }
}

async function continueWithNew(options: Options & { readonly origin?: string }): Promise<void> {
  const { openKeys, readKeys } = await import('../adapters/keys/file.js');
  const { openStoppedDatabase } = await import('../adapters/postgres/stopped.js');
  const { continueLog } = await import('../adapters/postgres/successor.js');
  const dataSource = await openStoppedDatabase(options.data, options.database);
  try {
    const keys = await readKeys(options.data).catch((error: unknown) => {
      // Killed between the old keys' going and the new ones' coming.
      if (error instanceof CountersignError && error.code === 'keys-invalid')
        return openKeys({ data: `${options.data}/continuing` });
      throw error;
    });
    const { origin, predecessor } = await continueLog(dataSource, options.data, keys, options.origin);
    const now = await readKeys(options.data);
    const { size, held, schema } = predecessor;
    if (options.output === 'json') {
      return await print(
        jsonLine({ origin, vkey: now.log.vkey, predecessor: { ...predecessor, checkpoint: undefined } }),
      );
    }
    await print(
      `the log ${origin} follows ${predecessor.origin}, which ended with ${size} entries; ${held} of them are left`,
    );
    await print(
      `kept       schema ${schema} of the database, keys.${schema} and checkpoint.${schema} in the data folder`,
    );
    await print(`set        log: {origin: ${origin}}   in the configuration, if it names an origin`);
    await print(`auditors   ${now.log.vkey}`);
  } finally {
    await dataSource.destroy();
  }
}
