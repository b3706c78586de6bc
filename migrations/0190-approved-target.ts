import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where the objects go that are approved: an approval for one target is none for another. */
export class ApprovedTarget1763730000190 implements MigrationInterface {
  readonly name = 'ApprovedTarget1763730000190';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE change ADD COLUMN target text');
    await runner.query('ALTER TABLE approval ADD COLUMN target text');
    await runner.query('ALTER TABLE advice ADD COLUMN environment_target text');
    // What is there is held to where its environment goes now: from here on, moving that takes approvals of its own.
    for (const [table, column] of [
      ['change', 'target'],
      ['approval', 'target'],
      ['advice', 'environment_target'],
    ])
      await runner.query(`UPDATE ${table} SET ${column} = environment.target FROM environment
        WHERE environment.repository = ${table}.repository AND environment.name = ${table}.environment`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE advice DROP COLUMN environment_target');
    await runner.query('ALTER TABLE approval DROP COLUMN target');
    await runner.query('ALTER TABLE change DROP COLUMN target');
  }
}
