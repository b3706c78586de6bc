import { Option, type Command } from 'commander';
import type { LoggedEntry } from '../audit/entry.js';
import type { ContentReader, Difference } from '../audit/replay.js';
import { CountersignError } from '../errors.js';
import { follow } from './follow.js';
import { jsonLine, print, printable, outputOption } from './output.js';

interface Options {
  readonly data?: string;
  readonly database?: string;
  readonly bundle?: string;
  readonly range?: string;
  readonly with: 'countersign' | 'opa-wasm';
  readonly output: 'text' | 'json';
}

/** A log as replay reads it. */
interface Source {
  readonly size: number;
  /** Entries from … to, `to` not included, their hashes computed from their bytes and compared with the log's where it has them. */
  entries(from: number, to: number): AsyncIterable<LoggedEntry>;
  readonly content: ContentReader;
  close(): Promise<void>;
}

export function register(program: Command): void {
  program
    .command('replay')
    .description('judge past decisions again from the policy and input that were stored, and tell which differ')
    .option('--data <folder>', 'the data folder of the service, running or stopped')
    .option('--database <url>', 'where the database is, if the data folder does not tell')
    .option('--bundle <file>', 'an exported evidence bundle (.zip) instead of a data folder')
    .option('--range <from-to>', 'only these entries of the log, for example 1000-1999')
    .addOption(
      new Option('--with <evaluator>', "what to evaluate with; opa-wasm is Open Policy Agent's own SDK")
        .choices(['countersign', 'opa-wasm'])
        .default('countersign'),
    )
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', '\nExit code: 0 all equal, 1 some differ, 2 could not tell.')
    .action(replay);
}

async function replay(options: Options): Promise<void> {
  const { Replay } = await import('../audit/replay.js');
  if ((options.data === undefined) === (options.bundle === undefined)) {
    throw new CountersignError('usage', 'replay needs either --data or --bundle');
  }
  const source = options.bundle === undefined ? await ofData(options) : await ofBundle(options.bundle);
  const differences: Difference[] = [];
  const unable: { readonly index: number; readonly why: string }[] = [];
  const progress = follow('entries');
  const evaluator = await open(options.with);
  const bySdk = options.with === 'opa-wasm';
  const replayed = new Replay(evaluator, source.content, {
    differs: (difference) => differences.push(difference),
    ...(bySdk ? { loosely: true, unable: (index, why) => unable.push({ index, why }) } : {}),
  });
  const started = performance.now();
  try {
    const [from, to] = range(options.range, source.size);
    for await (const entry of source.entries(from, to)) {
      if (entry.type === 'decision') await replayed.add(entry);
      progress.at(entry.index + 1 - from, to - from);
    }
    await replayed.flush();
  } finally {
    progress.end();
    await evaluator.close();
    await source.close();
  }
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  differences.sort((a, b) => a.index - b.index);
  const summary = { replayed: replayed.replayed, skipped: replayed.skipped.length, unable: unable.length, differ: differences.length }; // prettier-ignore
  if (options.output === 'json') {
    for (const difference of differences) await print(jsonLine({ ...difference, equal: false }));
    for (const { index, why } of unable) await print(jsonLine({ index, unable: why }));
    await print(jsonLine({ ...summary, with: options.with, seconds }));
  } else {
    for (const difference of differences) await printDifference(difference);
    for (const { index, why } of unable) await print(printable(`  ? decision ${index}  ${why}`));
    const also = [
      ...(summary.skipped > 0 ? [`${summary.skipped} could not be: their contents were withheld or erased, or there was nothing to judge`] : []), // prettier-ignore
      ...(summary.unable > 0 ? [`${summary.unable} are beyond ${options.with}`] : []),
    ];
    const verdict = summary.differ === 0 ? 'all equal' : `${summary.differ} differ`;
    await print(`${summary.replayed + summary.differ} decisions replayed, ${verdict}   ${seconds} s`);
    for (const line of also) await print(`  ${line}`);
  }
  process.exitCode = summary.differ > 0 ? 1 : summary.unable > 0 ? 2 : 0;
}

async function printDifference({ index, why, recorded, now }: Difference): Promise<void> {
  await print(printable(`✗ decision ${index} ${why}`));
  for (const one of recorded) await print(printable(`    recorded  ${JSON.stringify(one)}`));
  for (const one of now) await print(printable(`    now       ${JSON.stringify(one)}`));
}

async function open(name: Options['with']): Promise<import('../policy/evaluator.js').Evaluator> {
  if (name === 'opa-wasm') return new (await import('../adapters/opa/sdk-evaluator.js')).SdkEvaluator();
  return new (await import('../adapters/opa/evaluator.js')).RegoEvaluator();
}

async function ofData({ data, database }: Options): Promise<Source> {
  const { openLogForReading } = await import('../adapters/postgres/open-log.js');
  const { parseCheckpoint } = await import('../audit/checkpoint.js');
  const { parseNote } = await import('../audit/note.js');
  const { withoutSalt } = await import('../adapters/postgres/content-store.js');
  const { equalBytes, fromHex } = await import('../audit/crypto.js');
  const { splitTile, tileWidth } = await import('../audit/tiles.js');
  const log = await openLogForReading(data!, database);
  try {
    const { size } = parseCheckpoint(parseNote(await log.checkpoint()).text);
    const entriesOf = await reader(size, (tile) => log.readTile(tile));
    return {
      size,
      async *entries(from, to) {
        let hashes: readonly Uint8Array[] = [];
        for await (const entry of entriesOf(from, to)) {
          const at = entry.index % tileWidth;
          const index = Math.floor(entry.index / tileWidth);
          const width = Math.min(tileWidth, size - index * tileWidth);
          if (at === 0 || hashes.length === 0)
            hashes = splitTile(await log.readTile({ level: 0, index, width }), width);
          if (!equalBytes(hashes[at], fromHex(entry.leafHash, 32)!)) {
            throw new CountersignError('log-invalid', `the hash of entry ${entry.index} is not that of its bytes`);
          }
          yield entry;
        }
      },
      content: async (reference) => {
        try {
          return withoutSalt(Buffer.from(await log.storedContent(reference.sha256)), reference);
        } catch (error) {
          if (error instanceof CountersignError && error.code === 'content-missing') return undefined;
          throw error;
        }
      },
      close: () => log.close(),
    };
  } catch (error) {
    await log.close();
    throw error;
  }
}

async function ofBundle(path: string): Promise<Source> {
  const { openZip } = await import('../adapters/evidence/zip.js');
  const { contentName, evidenceFiles, evidenceLimits } = await import('../audit/evidence.js');
  const { parseCheckpoint } = await import('../audit/checkpoint.js');
  const { parseNote } = await import('../audit/note.js');
  const { fromUtf8, sha256, toHex } = await import('../audit/crypto.js');
  const { tilePath } = await import('../audit/tiles.js');
  const evidence = await openZip(path);
  try {
    const note = fromUtf8(await evidence.read(evidenceFiles.checkpoint, evidenceLimits.note)) ?? '';
    const { size } = parseCheckpoint(parseNote(note).text);
    return {
      size,
      entries: await reader(size, (tile) => evidence.read(tilePath(tile), evidenceLimits.entries)),
      content: async ({ sha256: digest, salted }) => {
        const name = contentName(digest);
        if (!evidence.names.has(name)) return undefined;
        const bytes = await evidence.read(name, evidenceLimits.content);
        if (toHex(sha256(bytes)) !== digest) {
          throw new CountersignError('bundle-invalid', 'a content was changed', { place: { file: name } });
        }
        return salted ? bytes.subarray(SALT_BYTES) : bytes;
      },
      close: () => evidence.close(),
    };
  } catch (error) {
    await evidence.close();
    throw error;
  }
}

const SALT_BYTES = 32;

/** Reads entries out of their bundles, each bundle once. */
async function reader(
  size: number,
  read: (tile: import('../audit/tiles.js').Tile) => Promise<Uint8Array>,
): Promise<Source['entries']> {
  const { decodeEntries, tileWidth } = await import('../audit/tiles.js');
  const { entryOf } = await import('../audit/statement.js');
  return async function* (from, to) {
    for (let index = Math.floor(from / tileWidth); index * tileWidth < to; index += 1) {
      const width = Math.min(tileWidth, size - index * tileWidth);
      const leaves = decodeEntries(await read({ level: 'entries', index, width }), width);
      for (const [i, leaf] of leaves.entries()) {
        const at = index * tileWidth + i;
        if (at >= from && at < to) yield entryOf(at, leaf);
      }
    }
  };
}

/** `to` not included, as everywhere but in what is typed. */
function range(text: string | undefined, size: number): readonly [from: number, to: number] {
  if (text === undefined) return [0, size];
  const match = /^(\d+)(?:(?:-|\.\.)(\d+)?)?$/.exec(text);
  const from = Number(match?.[1]);
  const last = match && /-|\.\./.test(text) ? Number(match[2] ?? size - 1) : from;
  if (!match || from > last || last >= size) {
    throw new CountersignError('usage', `--range ${text} is not within the log's entries 0-${size - 1}`, {
      remedy: 'Write it as 1000-1999',
    });
  }
  return [from, last + 1];
}
