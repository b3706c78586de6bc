import type { DataSource, QueryRunner } from 'typeorm';
import { sha256, toHex, utf8 } from '../../audit/crypto.js';
import type { Queryable } from './log-storage.js';

// Advisory locks are numbered; these two say "countersign" and "log" to nobody but us, in our own database.
export const lockSpace = 0x43_53_49_47;
const lockLog = 1;
export const stagedChannel = 'countersign_staged';

interface Client {
  on(event: 'notification' | 'error' | 'end', listener: () => void): void;
  off(event: 'notification' | 'error' | 'end', listener: () => void): void;
  query(query: {
    readonly name: string;
    readonly text: string;
    readonly values: unknown[];
  }): Promise<{ readonly rows: unknown }>;
}

/**
 * The right to extend the log: an advisory lock that PostgreSQL takes back when this connection ends, and an epoch that fences
 * off whoever held it before but has not noticed yet.
 */
export class Lease {
  #lost = false;
  /** The one that holds the lock. */
  readonly connection: Queryable;
  /** For what is done at the same time. */
  readonly beside: Queryable;

  private constructor(
    private readonly runner: QueryRunner,
    private readonly client: Client,
    private readonly second: QueryRunner,
    secondClient: Client,
    readonly epoch: string,
    private readonly onStaged: () => void,
  ) {
    this.connection = prepared(client);
    this.beside = prepared(secondClient);
    client.on('notification', onStaged);
    client.on('error', this.#lose);
    client.on('end', this.#lose);
  }

  /** Undefined while another process holds it. `onStaged`: another process has staged an entry. */
  static async tryAcquire(dataSource: DataSource, onStaged: () => void): Promise<Lease | undefined> {
    const [runner, second] = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
    try {
      const client = (await runner.connect()) as Client;
      const [{ held }] = await runner.manager.query<{ held: boolean }[]>(
        'SELECT pg_try_advisory_lock($1, $2) AS held',
        [lockSpace, lockLog],
      );
      if (!held) {
        await runner.release();
        return undefined;
      }
      const [{ epoch }] = await runner.manager.query<{ epoch: string }[]>(
        'WITH next AS (UPDATE log_head SET epoch = epoch + 1 RETURNING epoch) SELECT epoch FROM next',
      );
      await runner.query(`LISTEN ${stagedChannel}`);
      const secondClient = (await second.connect()) as Client;
      return new Lease(runner, client, second, secondClient, epoch, onStaged);
    } catch (error) {
      await second.release().catch(() => undefined);
      await runner.release().catch(() => undefined);
      throw error;
    }
  }

  get lost(): boolean {
    return this.#lost;
  }

  async release(): Promise<void> {
    this.client.off('notification', this.onStaged);
    try {
      if (!this.#lost) {
        await this.runner.query(`UNLISTEN ${stagedChannel}`);
        await this.runner.query('SELECT pg_advisory_unlock($1, $2)', [lockSpace, lockLog]);
      }
    } catch {
      // The connection is gone, and PostgreSQL has taken the lock back with it.
    } finally {
      this.client.off('error', this.#lose);
      this.client.off('end', this.#lose);
      await this.second.release().catch(() => undefined);
      await this.runner.release().catch(() => undefined);
    }
  }

  readonly #lose = (): void => {
    this.#lost = true;
  };
}

/**
 * Its statements are few, and planned once: planning takes longer than most of them. Several may be asked at once, the tiles of a tree
 * for one, and a connection takes one at a time.
 */
function prepared(client: Client): Queryable {
  let turn: Promise<unknown> = Promise.resolve();
  return {
    query: async <T>(text: string, values: unknown[] = []) => {
      const answer = turn.then(() => client.query({ name: nameOf(text), text, values }));
      turn = answer.catch(() => undefined);
      return (await answer).rows as T;
    },
  };
}

/** Of a statement's own text: the connection may be leased again, and knows its statements still. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = toHex(sha256(utf8(text))).slice(0, 32)));
  return name;
}

const names = new Map<string, string>();
