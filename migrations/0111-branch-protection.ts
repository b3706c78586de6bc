import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How a forge guarded the branches that are deployed from, a row for each change of it. */
export class BranchProtection1763710000111 implements MigrationInterface {
  readonly name = 'BranchProtection1763710000111';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE protection (
      id text PRIMARY KEY, repository text NOT NULL, ref text NOT NULL, forge text NOT NULL, state text NOT NULL,
      settings jsonb NOT NULL, time timestamptz(3) NOT NULL, log_index bigint)`);
    await runner.query('CREATE INDEX protection_by_ref ON protection (repository, ref, time DESC)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE protection');
  }
}
