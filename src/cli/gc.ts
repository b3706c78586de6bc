import type { Command } from 'commander';
import { follow } from './follow.js';
import { jsonLine, print, outputOption } from './output.js';

interface Options {
  readonly data: string;
  readonly database?: string;
  readonly dryRun?: boolean;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('gc')
    .description('remove contents that no entry names; the service may run')
    .requiredOption('--data <folder>', 'the data folder of the service')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .option('--dry-run', 'only say how many there are')
    .addOption(outputOption('text', 'json'))
    .action(gc);
}

async function gc(options: Options): Promise<void> {
  const { collectGarbage } = await import('../adapters/postgres/garbage.js');
  const { notedDatabase } = await import('../adapters/postgres/embedded.js');
  const { openDatabase } = await import('../adapters/postgres/connect.js');
  const { openStoppedDatabase } = await import('../adapters/postgres/stopped.js');
  const running = options.database ?? (await notedDatabase(options.data));
  const dataSource =
    running === undefined ? await openStoppedDatabase(options.data) : await openDatabase({ url: running });
  const progress = follow('entries');
  const dryRun = options.dryRun ?? false;
  try {
    const found = await collectGarbage(dataSource, { dryRun, progress: progress.at });
    progress.end();
    if (options.output === 'json') return await print(jsonLine({ ...found, dryRun }));
    const what = `${found.contents} contents (${found.bytes} bytes) that none of ${found.entries} entries names`;
    await print(dryRun ? `would remove ${what}` : `removed ${what}`);
  } finally {
    progress.end();
    await dataSource.destroy();
  }
}
