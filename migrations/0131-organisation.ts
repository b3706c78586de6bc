import type { MigrationInterface, QueryRunner } from 'typeorm';

/** At which commit the organisation's policy lies above that of a repository (src/review/records.ts). */
export class Organisation1763720000131 implements MigrationInterface {
  readonly name = 'Organisation1763720000131';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE repository ADD COLUMN organisation_commit text');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE repository DROP COLUMN organisation_commit');
  }
}
