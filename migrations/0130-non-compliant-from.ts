import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where the change begins that what is live no longer complies with (src/review/records.ts). */
export class NonCompliantFrom1763720000130 implements MigrationInterface {
  readonly name = 'NonCompliantFrom1763720000130';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE environment ADD COLUMN non_compliant_from text');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE environment DROP COLUMN non_compliant_from');
  }
}
