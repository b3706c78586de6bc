import { Any, type DataSource, type EntityManager, type EntitySchema, IsNull } from 'typeorm';
import type { Lease } from '../../audit/lease.js';
import type { LedgerTransaction } from '../../audit/ledger.js';
import type { Records, Tables, Where } from '../../review/records.js';
import { schemas } from './schemas.js';

/** Rows a statement may carry: PostgreSQL allows 65,535 parameters, our widest table has 18 columns. */
const BATCH = 1_000;

/** The records of src/review/records.ts in PostgreSQL. */
export class PostgresRecords implements Records {
  constructor(
    private readonly dataSource: DataSource,
    /** Nothing is written that is not fenced by it. */
    private readonly lease: Lease | null = null,
  ) {}

  async find<K extends keyof Tables>(table: K, where: Where<Tables[K]> = {}): Promise<Tables[K][]> {
    const { metadata, manager } = this.dataSource.getRepository<Tables[K]>(schemaOf(table));
    const order = Object.fromEntries(metadata.primaryColumns.map((column) => [column.propertyName, 'ASC']));
    return await manager.find<Tables[K]>(schemaOf(table), { where: plain(where), order } as never);
  }

  async select<K extends keyof Tables, C extends keyof Tables[K] & string>(
    table: K,
    columns: readonly C[],
    where: Where<Tables[K]>,
  ): Promise<Pick<Tables[K], C>[]> {
    const { manager } = this.dataSource;
    const select = Object.fromEntries(columns.map((column) => [column, true]));
    return await manager.find<Tables[K]>(schemaOf(table), { where: plain(where), select } as never);
  }

  async newest<K extends keyof Tables>(
    table: K,
    where: Where<Tables[K]>,
    by: keyof Tables[K] & string,
    limit: number,
  ): Promise<Tables[K][]> {
    const { manager } = this.dataSource;
    const order = { [by]: 'DESC' };
    return await manager.find<Tables[K]>(schemaOf(table), { where: plain(where), order, take: limit } as never);
  }

  async save<K extends keyof Tables>(
    transaction: LedgerTransaction,
    table: K,
    rows: readonly Tables[K][],
  ): Promise<void> {
    const manager = transaction.handle as EntityManager;
    const primary = this.dataSource.getMetadata(schemas[table]).primaryColumns.map((column) => column.propertyName);
    for (let i = 0; i < rows.length; i += BATCH) {
      await manager.upsert(schemaOf(table), rows.slice(i, i + BATCH) as never, primary);
    }
  }

  async remove<K extends keyof Tables>(
    transaction: LedgerTransaction,
    table: K,
    where: Partial<Tables[K]>,
  ): Promise<void> {
    await (transaction.handle as EntityManager).delete(schemaOf(table), plain(where));
  }

  async update<K extends keyof Tables>(
    table: K,
    where: Where<Tables[K]>,
    values: Partial<Tables[K]>,
    transaction?: LedgerTransaction,
  ): Promise<void> {
    const write = async (manager: EntityManager): Promise<void> => {
      await manager.update(schemaOf(table), plain(where), values as never);
    };
    const { lease } = this;
    if (transaction) return write(transaction.handle as EntityManager);
    if (!lease) return write(this.dataSource.manager);
    await this.dataSource.transaction(async (manager) => {
      await lease.fence(manager);
      await write(manager);
    });
  }
}

/** Which table's schema it is, TypeScript cannot follow through the mapped type. */
function schemaOf<K extends keyof Tables>(table: K): EntitySchema<Tables[K]> {
  return schemas[table] as unknown as EntitySchema<Tables[K]>;
}

/** Equality on every given column; to TypeORM `undefined` would mean "any" and null an error. */
function plain(where: object): object {
  const given = Object.entries(where).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([key, value]) => [key, operator(value)]));
}

function operator(value: unknown): unknown {
  if (value === null) return IsNull();
  return Array.isArray(value) ? Any(value) : value;
}
