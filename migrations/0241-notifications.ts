import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How far each destination was told of what is in the log (src/report/notifications.ts). */
export class Notifications1763740000241 implements MigrationInterface {
  readonly name = 'Notifications1763740000241';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE notification (
      destination text PRIMARY KEY, next_index bigint NOT NULL, told jsonb NOT NULL DEFAULT '[]', failing_since timestamptz(3), fault text)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE notification');
  }
}
