import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Exceptions, and the decisions that used them (src/review/records.ts). */
export class Exceptions1763700000070 implements MigrationInterface {
  readonly name = 'Exceptions1763700000070';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE exception (
        id text PRIMARY KEY, repository text NOT NULL, path text NOT NULL, rule text, scope jsonb, owner text, reason text, ticket text,
        expires timestamptz(3), principal text, key text, status text NOT NULL, refusal text, commit_id text NOT NULL,
        first_seen timestamptz(3) NOT NULL, log_index bigint);
      CREATE INDEX exception_by_time ON exception (first_seen DESC, id);
      CREATE INDEX exception_by_repository ON exception (repository);
      ALTER TABLE decision ADD COLUMN excepted jsonb NOT NULL DEFAULT '[]', ADD COLUMN exceptions jsonb NOT NULL DEFAULT '[]';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE exception; ALTER TABLE decision DROP COLUMN excepted, DROP COLUMN exceptions');
  }
}
