import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What may not be removed, neither by retention nor by an erasure. A hold counts from its row on, and ends when the log tells of its release. */
export class LegalHolds1763740000261 implements MigrationInterface {
  readonly name = 'LegalHolds1763740000261';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE legal_hold (
      name text PRIMARY KEY,
      scope jsonb NOT NULL,
      reason text NOT NULL,
      by text NOT NULL,
      added_at timestamptz NOT NULL,
      -- Of the entries that tell of it; null until the service has written them.
      log_index bigint,
      released_at timestamptz,
      release_reason text,
      released_by text,
      released_index bigint
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE legal_hold');
  }
}
