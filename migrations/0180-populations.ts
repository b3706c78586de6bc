import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What reports ask for by decision (src/adapters/postgres/populations.ts). */
export class Populations1763720000180 implements MigrationInterface {
  readonly name = 'Populations1763720000180';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX live_object_by_decision ON live_object (decision)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX live_object_by_decision');
  }
}
