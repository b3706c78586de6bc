import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { openCheckpoint } from '../../audit/checkpoint.js';
import { toBase64 } from '../../audit/crypto.js';
import type { KeyRing } from '../../audit/keys.js';
import { parseVkey } from '../../audit/note.js';
import { checkPromises } from '../../audit/sequencer.js';
import { CountersignError } from '../../errors.js';
import { openKeys } from '../keys/file.js';
import { installSuccessor, prepareSuccessor } from '../keys/successor.js';
import { migrate } from './connect.js';
import { Lease } from './lease.js';
import { openLedger } from './ledger.js';
import { LogReader } from './log-storage.js';
import { CheckpointFile } from './seen-checkpoint.js';

/** A log that ended without its last entries, as the first entry of the one that follows it names it. */
export interface Predecessor {
  readonly origin: string;
  readonly vkey: string;
  /** Entries of the last checkpoint that was signed, and its root, base64. */
  readonly size: number;
  readonly root: string;
  /** The first of them, which the database still holds. */
  readonly held: number;
  /** The database schema that keeps the old log and its records. */
  readonly schema: string;
  /** The signed note of that checkpoint. */
  readonly checkpoint: string;
}

interface Plan {
  readonly id: string;
  readonly origin: string;
  readonly predecessor: Predecessor;
}

const planFile = 'plan.json';

/*
 * The order, each step durable before the next, and each done only once when a killed process takes it up again:
 *
 *   1. DATA/continuing/plan.json        what is going to happen; new keys beside it
 *   2. the old tables into a schema of their own, empty ones in their place, in one transaction
 *   3. the new log's first entries, its checkpoint in DATA/continuing
 *   4. keys and checkpoint change places with the old ones
 *   5. DATA/continuing goes
 *
 * A service that starts in between is refused: its checkpoint promises entries that the database lacks, or was signed by another key.
 */
export async function continueLog(
  dataSource: DataSource,
  data: string,
  keys: KeyRing,
  origin: string | undefined,
): Promise<Plan> {
  const staging = join(data, 'continuing');
  const plan = (await readPlan(staging)) ?? (await makePlan(dataSource, data, staging, keys, origin));
  const aside = plan.predecessor.schema;
  await moveTables(dataSource, aside);
  const fresh = await openKeys({ data: staging, origin: plan.origin });
  const ledger = await openLedger({ dataSource, keys: fresh, dataDir: staging });
  try {
    await nameLost(ledger, plan);
  } finally {
    await ledger.close();
  }
  await installSuccessor(data, staging, aside);
  await rm(staging, { recursive: true, force: true });
  return plan;
}

async function makePlan(
  dataSource: DataSource,
  data: string,
  staging: string,
  keys: KeyRing,
  origin = successorOf(keys.origin),
): Promise<Plan> {
  if (origin === keys.origin) {
    throw new CountersignError('usage', `the new log needs another origin than ${keys.origin}`, {
      remedy: 'An origin names one log for ever; give another with --origin',
    });
  }
  const reader = new LogReader(dataSource);
  const head = await reader.head();
  const last = (await new CheckpointFile(data).load()) ?? head.note;
  if (last === undefined) throw new CountersignError('usage', 'there is no log yet that another could follow');
  const fault = await checkPromises(head, last, head.note, reader.readTile, keys).catch((error: unknown) => error);
  if (!fault) {
    throw new CountersignError(
      'usage',
      'this log holds everything that it promised: there is no reason for a new one',
      {
        remedy: 'Start the service: countersign serve',
      },
    );
  }
  if (!(fault instanceof CountersignError) || fault.code !== 'log-behind') throw fault;
  const { size, root } = openCheckpoint(last, parseVkey(keys.log.vkey));
  const predecessor: Predecessor = {
    origin: keys.origin,
    vkey: keys.log.vkey,
    size,
    root: toBase64(root),
    held: head.size,
    schema: `log_until_${size}_${randomUUID().slice(0, 8)}`,
    checkpoint: last,
  };
  const plan = { id: randomUUID(), origin, predecessor };
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true, mode: 0o700 });
  await prepareSuccessor(data, staging, origin);
  await writeFile(join(staging, `${planFile}.new`), JSON.stringify(plan), { flush: true });
  await rename(join(staging, `${planFile}.new`), join(staging, planFile));
  return plan;
}

async function readPlan(staging: string): Promise<Plan | undefined> {
  const text = await readFile(join(staging, planFile), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Plan);
}

/** `log.example.org/prod` to `log.example.org/prod/2`, and that to `…/3`. */
function successorOf(origin: string): string {
  const [, stem, n] = /^(.*)\/(\d{1,6})$/.exec(origin) ?? [];
  return stem === undefined ? `${origin}/2` : `${stem}/${Number(n) + 1}`;
}

async function moveTables(dataSource: DataSource, schema: string): Promise<void> {
  const [{ moved }] = await dataSource.query<{ moved: boolean }[]>(
    'SELECT EXISTS (SELECT FROM information_schema.schemata WHERE schema_name = $1) AS moved',
    [schema],
  );
  if (!moved) await move(dataSource, schema);
  await migrate(dataSource);
  // What runs have put into targets is still there, and may be pruned; nothing of it counts as decided by the new log.
  await dataSource.query(
    `INSERT INTO live_object SELECT (jsonb_populate_record(NULL::live_object, to_jsonb(old) || '{"digest": "", "decision": -1}')).*
     FROM ${schema}.live_object old ON CONFLICT DO NOTHING`,
  );
}

async function move(dataSource: DataSource, schema: string): Promise<void> {
  const lease = await Lease.tryAcquire(dataSource, () => undefined);
  if (!lease)
    throw new CountersignError('log-conflict', 'a service is writing to this log', { remedy: 'Stop it first' });
  try {
    await dataSource.transaction(async (manager) => {
      await manager.query(`CREATE SCHEMA ${schema}`);
      const tables = await manager.query<{ name: string }[]>(
        `SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1`,
      );
      for (const { name } of tables) await manager.query(`ALTER TABLE "${name}" SET SCHEMA ${schema}`);
    });
  } finally {
    await lease.release();
  }
}

async function nameLost(ledger: Awaited<ReturnType<typeof openLedger>>, plan: Plan): Promise<void> {
  for await (const { type, predicate } of ledger.entries(0, await ledger.size()))
    if (type === 'genesis' && predicate['id'] === plan.id) return;
  const { origin, vkey, size, root, held, checkpoint } = plan.predecessor;
  await ledger.append({
    type: 'genesis',
    subjects: [{ name: `log:${origin}`, digest: { sha256: Buffer.from(root, 'base64').toString('hex') } }],
    predicate: { id: plan.id, of: 'log', predecessor: { origin, vkey, size, root, held, checkpoint } },
  });
}
