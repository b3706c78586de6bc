import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Approvals, and the reviews that emergency changes still owe (src/review/records.ts). */
export class Approvals1763700000040 implements MigrationInterface {
  readonly name = 'Approvals1763700000040';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE approval (
        id text PRIMARY KEY, repository text NOT NULL, environment text, ref text, base text, head text, tree text, rendered_digest text,
        principal text, person text, key text, comment text, via text NOT NULL, status text NOT NULL, reason text, change text,
        claimed_time text, first_seen timestamptz(3) NOT NULL, log_index bigint);
      CREATE INDEX approval_by_time ON approval (first_seen DESC, id);
      CREATE INDEX approval_by_head ON approval (repository, environment, head);
      CREATE TABLE review_duty (
        id text PRIMARY KEY, repository text NOT NULL, environment text NOT NULL, change text NOT NULL, head text NOT NULL, principal text,
        reason text NOT NULL, ticket text, opened_at timestamptz(3) NOT NULL, due_at timestamptz(3) NOT NULL, closed_at timestamptz(3),
        approval text);
      CREATE INDEX review_duty_by_time ON review_duty (opened_at DESC, id);
      ALTER TABLE decision ADD COLUMN approvals jsonb NOT NULL DEFAULT '[]';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE approval, review_duty; ALTER TABLE decision DROP COLUMN approvals');
  }
}
