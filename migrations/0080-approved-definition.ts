import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How an environment was defined when its last approved commit was allowed (src/review/records.ts). */
export class ApprovedDefinition1763700000080 implements MigrationInterface {
  readonly name = 'ApprovedDefinition1763700000080';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE environment ADD COLUMN approved_definition jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE environment DROP COLUMN approved_definition');
  }
}
