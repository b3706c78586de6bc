import type { Command } from 'commander';
import { CountersignError } from '../errors.js';
import { print, printable } from './output.js';

interface Options {
  readonly data: string;
  readonly name?: string;
  readonly log?: readonly string[];
  readonly listen: string;
  readonly vkey?: boolean;
}

const NOTES = `
Run it where the log's operators have no say: its signature means that the log has only grown since it looked last.
It speaks C2SP tlog-witness. Its key, made at the first start, and what it has seen stay in the data folder: keep them
together, and never restore an older copy.

  countersign witness --data witness --name witness.example.org/w1 --vkey     # for the log's and the auditors' policy
  countersign witness --data witness --log "countersign.example.org/prod+…" --listen 0.0.0.0:4150`;

export function register(program: Command): void {
  program
    .command('witness')
    .description('sign that logs only grow, for others to rely on')
    .requiredOption('--data <folder>', "the witness's own folder")
    .option('--name <name>', "the witness's name, fixed at the first start: witness.example.org/w1")
    .option('--log <vkey...>', 'keys of the logs to watch, as `countersign keys --vkey` prints them')
    .option('--listen <address>', 'where to answer', '127.0.0.1:4150')
    .option('--vkey', "print the witness's key and end")
    .addHelpText('after', NOTES)
    .action(witness);
}

async function witness(options: Options): Promise<void> {
  const { openWitnessKey } = await import('../adapters/keys/file.js');
  const cosigner = await openWitnessKey(options.data, options.name);
  if (options.vkey) return print(cosigner.vkey);
  const { parseVkey } = await import('../audit/note.js');
  const logs = (options.log ?? []).map(parseVkey);
  if (logs.length === 0) {
    throw new CountersignError('usage', 'there is no log to watch', { remedy: "Give the log's key with --log" });
  }
  const { lockFolder } = await import('../adapters/folder/folder-lock.js');
  const { WitnessFiles } = await import('../adapters/witness/memory-file.js');
  const { serveWitness } = await import('../adapters/witness/server.js');
  const { Witness } = await import('../audit/witness.js');
  const unlock = await lockFolder(options.data);
  try {
    const server = await serveWitness(
      new Witness(logs, cosigner, new WitnessFiles(options.data)),
      parseAddress(options.listen),
      (error) => process.stderr.write(`countersign: ${printable((error as Error).message)}\n`),
    );
    await print(`witness ${cosigner.vkey}`);
    await print(`answers ${server.url}/add-checkpoint`);
    await new Promise<void>((resolve) =>
      ['SIGINT', 'SIGTERM'].forEach((signal) => process.once(signal, () => resolve())),
    );
    await server.close();
  } finally {
    await unlock();
  }
}

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (!match || Number(match[3]) > 65_535) {
    throw new CountersignError('usage', `"${text}" is no address`, { remedy: 'Write it like 127.0.0.1:4150' });
  }
  return { host: match[1] ?? match[2], port: Number(match[3]) };
}
