import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What an object's manifest said about its removal, and what a hook last ran for (src/reconcile/inventory.ts). */
export class RemovalAndHooks1763720000170 implements MigrationInterface {
  readonly name = 'RemovalAndHooks1763720000170';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE live_object
      ADD COLUMN removal jsonb NOT NULL DEFAULT '{"prune": "yes", "last": false, "wave": 0}',
      ADD COLUMN hook jsonb`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE live_object DROP COLUMN hook, DROP COLUMN removal');
  }
}
