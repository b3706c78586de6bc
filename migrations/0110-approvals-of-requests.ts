import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What an approval of an open request is bound to, where it came from, and what became of it at the merge. */
export class ApprovalsOfRequests1763710000110 implements MigrationInterface {
  readonly name = 'ApprovalsOfRequests1763710000110';

  async up(runner: QueryRunner): Promise<void> {
    // Advice from before knows neither tree nor digest; the next look judges again what is still open.
    await runner.query(`ALTER TABLE advice
      ADD COLUMN tree text,
      ADD COLUMN rendered_digest text,
      ADD COLUMN commits jsonb NOT NULL DEFAULT '[]',
      ADD COLUMN proposed jsonb NOT NULL DEFAULT '[]',
      ADD COLUMN object_changes integer NOT NULL DEFAULT 0,
      ADD COLUMN approvals jsonb NOT NULL DEFAULT '[]',
      ADD COLUMN author text`);
    await runner.query(`ALTER TABLE approval
      ADD COLUMN account jsonb,
      ADD COLUMN review text,
      ADD COLUMN advice text,
      ADD COLUMN used_for text`);
    await runner.query(`ALTER TABLE decision ADD COLUMN uncounted jsonb NOT NULL DEFAULT '[]'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE decision DROP COLUMN uncounted');
    await runner.query(
      'ALTER TABLE approval DROP COLUMN used_for, DROP COLUMN advice, DROP COLUMN review, DROP COLUMN account',
    );
    await runner.query(`ALTER TABLE advice DROP COLUMN author, DROP COLUMN approvals, DROP COLUMN object_changes,
      DROP COLUMN proposed, DROP COLUMN commits, DROP COLUMN rendered_digest, DROP COLUMN tree`);
  }
}
