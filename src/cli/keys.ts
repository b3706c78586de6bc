import { Option, type Command } from 'commander';
import { jsonLine, print } from './output.js';

interface Options {
  readonly data: string;
  readonly vkey?: boolean;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('keys')
    .description('show the public keys of a data folder')
    .requiredOption('--data <folder>', 'the data folder of the service')
    .option('--vkey', "the log's public key, as auditors put it into their trust file")
    .addOption(new Option('--output <format>', 'how to print it').choices(['text', 'json']).default('text'))
    .action(showKeys);
}

async function showKeys(options: Options): Promise<void> {
  const { readKeys } = await import('../adapters/keys/file.js');
  const { envelopeKeyId } = await import('../audit/dsse.js');
  const { toBase64 } = await import('../audit/crypto.js');
  const { origin, log, entries, redaction } = await readKeys(options.data);
  const entryKey = { keyid: envelopeKeyId(entries.publicKey), publicKey: toBase64(entries.publicKey) };
  if (options.output === 'json') {
    await print(jsonLine({ origin, vkey: log.vkey, entries: entryKey, redaction: { id: redaction.id } }));
  } else if (options.vkey) {
    await print(log.vkey);
  } else {
    await print(`log        ${log.vkey}`);
    await print(`entries    ed25519 ${entryKey.publicKey}   id ${entryKey.keyid}`);
    await print(`redaction  secret, id ${redaction.id}`);
  }
}
