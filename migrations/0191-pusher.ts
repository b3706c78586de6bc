import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who pushed, by the forge's word (src/review/pusher.ts). */
export class Pusher1763730000191 implements MigrationInterface {
  readonly name = 'Pusher1763730000191';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE push ADD COLUMN pusher jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE push DROP COLUMN pusher');
  }
}
