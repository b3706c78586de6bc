import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { CheckedDatabase, Promised, Repair } from '../adapters/postgres/fsck.js';
import type { CheckedFiles, Finding, Findings } from '../audit/fsck.js';
import type { NoteVerifier } from '../audit/note.js';
import { CountersignError } from '../errors.js';
import { follow } from './follow.js';
import { jsonLine, print, printable, outputOption } from './output.js';

interface Options {
  readonly data?: string;
  readonly database?: string;
  readonly from: readonly string[];
  readonly trust?: string;
  readonly contents: boolean;
  readonly repair?: boolean;
  readonly output: 'text' | 'json';
}

const NOTES = `
  countersign fsck --data DIR                                   the database, and /log of the service if it runs
  countersign fsck --from s3://bucket/log --trust trust.txt     a mirror, an export, anybody's static tiles, .../log of a service

--repair makes derived data again, and names each: hashes, tiles and head in the database, the places of rows in the log. Only with the
service stopped, and only if the entries themselves give the root that was signed; those are never changed.

Exit code: 0 all is as the entries say, or was repaired; 1 something is not; 2 could not tell.`;

export function register(program: Command): void {
  program
    .command('fsck')
    .description('derive every tile and index of the log from its entries again, and compare')
    .option('--data <folder>', 'the data folder of the service, running or stopped')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .option('--from <place...>', 'a log as files: a folder, a bundle (.zip), http(s)://…/log, s3://bucket/prefix', [])
    .option('--trust <file>', "the log's vkey, where there is no data folder")
    .option('--no-contents', 'do not read every content')
    .option('--repair', 'make derived data again')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', NOTES)
    .action(fsck);
}

interface Checked {
  readonly database?: CheckedDatabase;
  readonly files: readonly CheckedFiles[];
}

async function fsck(options: Options): Promise<void> {
  const { Findings: Found } = await import('../audit/fsck.js');
  if (options.data === undefined && (options.from.length === 0 || options.repair)) {
    throw new CountersignError('usage', 'there is nothing to check', { remedy: 'Name --data, or --from with --trust' });
  }
  const findings = new Found();
  const key = await keyOf(options);
  const places = [...options.from, ...(await runningLog(options.data))];
  const promises: Promised[] = [];
  const files: CheckedFiles[] = [];
  for (const place of places) files.push(await checkPlace(place, key, findings, promises, options.contents));
  const database =
    options.data === undefined ? undefined : await checkOwn(options.data, options, key, findings, promises);
  const repaired = options.repair ? await repair(options, findings, database?.repairs ?? []) : new Set<string>();
  const all = findings.all.map((finding) => (repaired.has(finding.place) ? { ...finding, repaired: true } : finding));
  const wrong = findings.count - all.filter((finding) => finding.repaired).length;
  const checked = { ...(database ? { database } : {}), files };
  await (options.output === 'json' ? printJson : printText)(checked, all, findings.count);
  process.exitCode = wrong > 0 ? 1 : 0;
}

async function keyOf({ data, trust }: Options): Promise<NoteVerifier> {
  if (trust !== undefined) {
    const { parseTrust } = await import('../audit/policy-file.js');
    return parseTrust(await readFile(trust, 'utf8'), trust).log;
  }
  if (data === undefined) {
    throw new CountersignError('usage', 'nothing says whose log this is', { remedy: 'Name its key with --trust' });
  }
  const { readKeys } = await import('../adapters/keys/file.js');
  const { parseVkey } = await import('../audit/note.js');
  return parseVkey((await readKeys(data)).log.vkey);
}

/** The service of this folder answers under /log while it runs. */
async function runningLog(data: string | undefined): Promise<readonly string[]> {
  if (data === undefined) return [];
  const text = await readFile(join(data, 'service.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const { url, pid } = JSON.parse(text) as { url: string; pid: number };
  try {
    process.kill(pid, 0);
  } catch {
    return [];
  }
  return [`${url}/log`];
}

async function checkPlace(
  place: string,
  key: NoteVerifier,
  findings: Findings,
  promises: Promised[],
  contents: boolean,
): Promise<CheckedFiles> {
  const { openLogFiles } = await import('../adapters/log-files/open.js');
  const { checkFiles } = await import('../audit/fsck.js');
  const { checkpointOf } = await import('../audit/log-files.js');
  const files = await openLogFiles(place);
  const progress = follow(`entries in ${place}`);
  try {
    const checkpoint = await checkpointOf(files, key);
    promises.push({ what: `checkpoint of ${place}`, size: checkpoint.size, root: checkpoint.root });
    // A bundle holds no hashes to compare; verify is for those.
    return await checkFiles(files, checkpoint, findings, { contents, progress: progress.at });
  } finally {
    progress.end();
    await files.close();
  }
}

async function checkOwn(
  data: string,
  options: Options,
  key: NoteVerifier,
  findings: Findings,
  promises: Promised[],
): Promise<CheckedDatabase> {
  const { openLogDatabase } = await import('../adapters/postgres/open-log.js');
  const { checkDatabase } = await import('../adapters/postgres/fsck.js');
  const { LogReader } = await import('../adapters/postgres/log-storage.js');
  const { PostgresCosigned } = await import('../adapters/postgres/cosigned.js');
  const { CheckpointFile } = await import('../adapters/postgres/seen-checkpoint.js');
  const { openCheckpoint } = await import('../audit/checkpoint.js');
  // The file first: a database read after it can only be newer.
  const seen = await new CheckpointFile(data).load();
  const dataSource = await openLogDatabase(data, options.database);
  const progress = follow('entries in the database');
  try {
    const notes = {
      'the last checkpoint seen': seen,
      'the released checkpoint': (await new LogReader(dataSource).head()).note,
      'the cosigned checkpoint': await new PostgresCosigned(dataSource).newest(),
    };
    for (const [what, note] of Object.entries(notes)) {
      if (note === undefined) continue;
      const { size, root } = openCheckpoint(note, key);
      promises.push({ what, size, root });
    }
    return await checkDatabase(dataSource, findings, { contents: options.contents, promises, progress: progress.at });
  } finally {
    progress.end();
    await dataSource.destroy();
  }
}

async function repair(options: Options, findings: Findings, repairs: readonly Repair[]): Promise<ReadonlySet<string>> {
  if (repairs.length === 0 || findings.count === 0) return new Set();
  const { openStoppedDatabase } = await import('../adapters/postgres/stopped.js');
  const { repairDatabase } = await import('../adapters/postgres/fsck.js');
  const { Lease } = await import('../adapters/postgres/lease.js');
  const dataSource = await openStoppedDatabase(options.data!, options.database);
  try {
    const lease = await Lease.tryAcquire(dataSource, () => undefined);
    if (!lease)
      throw new CountersignError('log-conflict', 'a service is writing to this log', { remedy: 'Stop it first' });
    try {
      await dataSource.transaction((manager) => repairDatabase(manager, repairs));
    } finally {
      await lease.release();
    }
  } finally {
    await dataSource.destroy();
  }
  return new Set(repairs.map(({ place }) => place));
}

async function printJson({ database, files }: Checked, all: readonly Finding[], count: number): Promise<void> {
  const own = database && { ...database, repairs: undefined };
  await print(jsonLine({ sound: count === 0, ...(own ? { database: own } : {}), files, count, first: all[0] ?? null, findings: all })); // prettier-ignore
}

async function printText({ database, files }: Checked, all: readonly Finding[], count: number): Promise<void> {
  for (const { where, size, tiles, contents } of files)
    await print(printable(`  ${where}   ${size} entries, ${tiles} tiles, ${contents} contents`));
  if (database) {
    const { entries, tiles, rows, contents, erased } = database;
    const gone = erased > 0 ? `, ${erased} erased` : '';
    await print(
      `  database   ${entries} entries, ${tiles} full tiles, ${rows} rows that name one, ${contents} contents${gone}`,
    );
  }
  const derived = new Set(database?.repairs.map(({ place }) => place));
  for (const { place, problem, repaired } of all.slice(0, 50)) {
    const end = repaired ? '   made again' : derived.has(place) ? '   derived: --repair makes it again' : '';
    await print(printable(`  ${repaired ? '✓' : '✗'} ${place}   ${problem}${end}`));
  }
  if (count > 50) await print(`  … and ${count - 50} more`);
  await print(count === 0 ? 'sound   everything is as the entries say' : `${count} ${count === 1 ? 'thing is' : 'things are'} not as the entries say`); // prettier-ignore
}
