import { mkdir } from 'node:fs/promises';
import type { DataSource } from 'typeorm';
import { instanceId } from '../adapters/folder/instance-id.js';
import { openKeys } from '../adapters/keys/file.js';
import { Channel } from '../adapters/postgres/channel.js';
import { openDatabase } from '../adapters/postgres/connect.js';
import { PostgresCosigned } from '../adapters/postgres/cosigned.js';
import { applicationOf, PostgresLeases } from '../adapters/postgres/leases.js';
import { openLedger, type PostgresLedger } from '../adapters/postgres/ledger.js';
import { PostgresRecords } from '../adapters/postgres/records.js';
import type { KeyRing } from '../audit/keys.js';
import type { Config } from '../config.js';
import type { CountersignError } from '../errors.js';
import { type LogDuties, openLogDuties } from './log-duties.js';
import { openWitnessing } from './witnessing.js';

/** Where the service keeps what it knows, and what other instances of it share. */
export interface Storage {
  readonly dataSource: DataSource;
  readonly keys: KeyRing;
  readonly ledger: PostgresLedger;
  readonly records: PostgresRecords;
  readonly channel: Channel;
  readonly leases: PostgresLeases;
  readonly logDuties: LogDuties;
  /** What strangers are shown: where there are witnesses, the newest checkpoint that enough of them signed. */
  readonly checkpoint: () => Promise<string>;
}

export interface StorageParts {
  readonly version: string;
  readonly onFault: (fault: CountersignError) => void;
}

/**
 * Database, keys and log, which must be there before anything is judged. What it opens is closed by `opened`. Throws `log-behind` for an older
 * database than others have seen of its log.
 */
export async function openStorage(
  config: Config,
  { version, onFault }: StorageParts,
  opened: AsyncDisposableStack,
): Promise<Storage> {
  await mkdir(config.data, { recursive: true, mode: 0o700 });
  const instance = await instanceId(config.data);
  const dataSource = await openDatabase(
    config.database === 'embedded' ? { data: config.data } : { url: config.database, data: config.data },
    { application: applicationOf(instance) },
  );
  opened.defer(() => dataSource.destroy());
  const keys = await openKeys({ data: config.data, origin: config.log.origin });
  const ledger = await openLedger({ dataSource, keys, origin: config.log.origin, dataDir: config.data });
  opened.defer(() => ledger.close());
  const channel = new Channel(dataSource, instance);
  opened.defer(() => channel.close());
  const leases = await PostgresLeases.open({ channel, id: instance, name: config.instance, version, onFault });
  opened.defer(() => leases.close());
  const cosigned = new PostgresCosigned(dataSource);
  if (config.log.witnesses) {
    const witnessing = await openWitnessing(config.log.witnesses, keys, ledger, cosigned, onFault);
    const duty = leases.share('duty', 'witnesses', witnessing);
    opened.defer(() => duty.withdraw());
  }
  const checkpoint = async (): Promise<string> =>
    (config.log.witnesses && (await cosigned.newest())) ?? (await ledger.checkpoint());
  const copied = {
    readTile: ledger.readTile,
    checkpoint,
    newest: () => ledger.checkpoint(),
    storedDigests: (digests: readonly string[]) => ledger.storedDigests(digests),
    storedContent: (digest: string) => ledger.storedContent(digest),
  };
  const logDuties = await openLogDuties(config, keys, leases, copied, onFault);
  opened.defer(() => logDuties.stop());
  return { dataSource, keys, ledger, records: new PostgresRecords(dataSource), channel, leases, logDuties, checkpoint };
}
