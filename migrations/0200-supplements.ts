import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Evidence of who made a drift that came after it was recorded (src/reconcile/recorded-supplements.ts). */
export class Supplements1763730000200 implements MigrationInterface {
  readonly name = 'Supplements1763730000200';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE drift ADD COLUMN supplements jsonb NOT NULL DEFAULT '[]'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE drift DROP COLUMN supplements');
  }
}
