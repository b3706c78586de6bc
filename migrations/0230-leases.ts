import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Several service processes over one database: who is there, and who does what. Times are the database's own. */
export class Leases1763740000230 implements MigrationInterface {
  readonly name = 'Leases1763740000230';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE instance (
      id uuid PRIMARY KEY,
      name text NOT NULL,
      version text NOT NULL,
      started_at timestamptz NOT NULL DEFAULT now(),
      seen_at timestamptz NOT NULL DEFAULT now(),
      -- Until then it may be taken for alive.
      until timestamptz NOT NULL
    )`);
    await runner.query(`CREATE TABLE lease (
      kind text NOT NULL,
      name text NOT NULL,
      -- Grows with every holder: a write that names another one is late.
      epoch bigint NOT NULL DEFAULT 0,
      instance uuid,
      since timestamptz,
      -- Who has less to do, and asks for it.
      wanted_by uuid,
      PRIMARY KEY (kind, name)
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE lease');
    await runner.query('DROP TABLE instance');
  }
}
