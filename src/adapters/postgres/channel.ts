import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { databaseFault } from './faults.js';

const channel = 'countersign_instances';
/** Milliseconds after which a query is given up, and its connection with it. */
const PATIENCE = 5_000;
/** PostgreSQL's limit of a notification is 8,000 bytes. */
const LONGEST = 7_900;

type Listener = (body: unknown) => void;

/**
 * An instance's connection of its own, which no other work can keep waiting: its leases are renewed by it, and instances tell each
 * other by LISTEN and NOTIFY what is new. That only ever makes something happen sooner that is looked for anyway: what is told while
 * a connection is broken is lost.
 */
export class Channel {
  readonly #listeners = new Map<string, Listener[]>();
  #client: Promise<Client> | null = null;
  /** A connection takes one query at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(
    private readonly dataSource: DataSource,
    /** Of this instance: what it tells is for the others. */
    private readonly id: string,
  ) {}

  hear(topic: string, listener: Listener): void {
    this.#listeners.set(topic, [...(this.#listeners.get(topic) ?? []), listener]);
  }

  /** Never throws. False for what is too long to be told. */
  async tell(topic: string, body: unknown): Promise<boolean> {
    const payload = JSON.stringify({ from: this.id, topic, body });
    if (Buffer.byteLength(payload) > LONGEST) return false;
    await this.query('SELECT pg_notify($1, $2)', [channel, payload]).catch(() => undefined);
    return true;
  }

  /** On a new connection, if the last one broke. Throws `database-unavailable`. */
  query<T>(text: string, values: unknown[] = []): Promise<readonly T[]> {
    const answer = this.#turn.then(() => this.#query<T>(text, values));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async #query<T>(text: string, values: unknown[]): Promise<readonly T[]> {
    if (this.#closed) throw databaseFault(new Error('the connection is closed'));
    const connecting = (this.#client ??= this.#connect());
    try {
      const client = await connecting;
      return (await client.query(text, values)).rows as T[];
    } catch (error) {
      // What is wrong with a statement is no fault of its connection, but there is none among these that is wrong.
      this.#drop(connecting);
      throw databaseFault(error);
    }
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#closed = true;
    const client = await this.#client?.catch(() => null);
    this.#client = null;
    await client?.end().catch(() => undefined);
  }

  async #connect(): Promise<Client> {
    const { url, applicationName } = this.dataSource.options as { url: string; applicationName: string };
    const client = new Client({
      connectionString: url,
      application_name: applicationName,
      connectionTimeoutMillis: PATIENCE,
      query_timeout: PATIENCE,
      keepAlive: true,
    });
    const gone = (): void => {
      if (this.#client === connecting) this.#client = null;
    };
    client.on('error', gone);
    client.on('end', gone);
    client.on('notification', ({ payload }) => this.#heard(payload ?? ''));
    const connecting = client
      .connect()
      .then(() => client.query(`LISTEN ${channel}`))
      .then(() => client);
    return connecting;
  }

  #drop(connecting: Promise<Client>): void {
    if (this.#client === connecting) this.#client = null;
    // Nobody waits for it: a connection that hangs may take long to be told so.
    void connecting.then((client) => client.end()).catch(() => undefined);
  }

  #heard(payload: string): void {
    const { from, topic, body } = JSON.parse(payload) as { from: string; topic: string; body: unknown };
    if (from === this.id) return;
    for (const listener of this.#listeners.get(topic) ?? []) listener(body);
  }
}
