import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Entries are listed and counted by type (src/report/queries.ts). */
export class EntriesByType1763700000003 implements MigrationInterface {
  readonly name = 'EntriesByType1763700000003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX log_entry_by_type ON log_entry (type, log_index)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX log_entry_by_type');
  }
}
