import { join } from 'node:path';
import type { Command } from 'commander';
import { jsonLine, print, outputOption } from './output.js';

interface Options {
  readonly data: string;
  readonly vkey?: boolean;
  readonly output: 'text' | 'json';
}

interface RotateOptions {
  readonly data: string;
  readonly finish?: boolean;
  readonly kms?: string;
}

export function register(program: Command): void {
  const keys = program
    .command('keys')
    .description('show the public keys of a data folder, or rotate them')
    .requiredOption('--data <folder>', 'the data folder of the service')
    .option('--vkey', "the log's public key, as auditors put it into their trust file")
    .addOption(outputOption('text', 'json'))
    .action(showKeys);
  keys
    .command('rotate')
    .description(
      "begin to replace the log's key and the key of its entries; both log keys sign until --finish (docs/keys.md)",
    )
    .option('--kms <key>', "the log's next key is this one in AWS KMS: kms:ARN or kms:alias/NAME")
    .option('--finish', 'let the next keys sign alone, and destroy the old ones')
    .action((_: unknown, command: Command) => rotate(command.optsWithGlobals()));
}

async function showKeys(options: Options): Promise<void> {
  const { readKeys } = await import('../adapters/keys/file.js');
  const { envelopeKeyId } = await import('../audit/dsse.js');
  const { toBase64 } = await import('../audit/crypto.js');
  const { origin, log, entries, redaction, next, retired } = await readKeys(options.data);
  const entryKey = (key: Uint8Array) => ({ keyid: envelopeKeyId(key), publicKey: toBase64(key) });
  const current = entryKey(entries.publicKey);
  if (options.output === 'json') {
    const following = next && { vkey: next.vkey, entries: entryKey(next.entries) };
    const before = retired.map((keys) => ({ vkey: keys.vkey, entries: entryKey(keys.entries) }));
    await print(
      jsonLine({
        origin,
        vkey: log.vkey,
        entries: current,
        redaction: { id: redaction.id },
        ...(following ? { next: following } : {}),
        ...(before.length > 0 ? { retired: before } : {}),
      }),
    );
    return;
  }
  if (options.vkey) return print(log.vkey);
  await print(`log        ${log.vkey}`);
  if (next) await print(`  next     ${next.vkey}`);
  for (const { vkey } of retired) await print(`  retired  ${vkey}`);
  await print(`entries    ed25519 ${current.publicKey}   id ${current.keyid}`);
  await print(`redaction  secret, id ${redaction.id}`);
}

async function rotate({ data, finish = false, kms }: RotateOptions): Promise<void> {
  const { readOrigin, refuseKeysOfEnvironment } = await import('../adapters/keys/file.js');
  const { beginRotation, finishRotation } = await import('../adapters/keys/rotation.js');
  refuseKeysOfEnvironment(process.env);
  const [folder, origin] = [join(data, 'keys'), await readOrigin(data)];
  if (finish) {
    await print(`signs now  ${await finishRotation(folder, origin)}`);
    await print(
      'Start the service again: it logs that the old keys are retired. Auditors who hold only the old vkey can still follow to this one.',
    );
    return;
  }
  await print(`next       ${await beginRotation(folder, origin, kms)}`);
  await print(
    'Start the service again: it logs the next keys, and signs checkpoints with both. Give the next vkey to auditors and',
  );
  await print('witnesses; when they have it, stop the service and run countersign keys rotate --finish.');
}
