import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a change of policy would have done to the decisions before it (src/review/impact.ts). */
export class Impact1763700000090 implements MigrationInterface {
  readonly name = 'Impact1763700000090';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE decision ADD COLUMN impact jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE decision DROP COLUMN impact');
  }
}
