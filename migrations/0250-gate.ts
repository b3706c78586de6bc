import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Of an environment that others apply: the ref that they follow, and what they say. */
export class Gate1763740000250 implements MigrationInterface {
  readonly name = 'Gate1763740000250';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE environment ADD COLUMN gate jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE environment DROP COLUMN gate');
  }
}
