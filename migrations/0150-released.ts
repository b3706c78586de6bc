import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What readers are shown, in a row of its own: it is written while the next batch holds the lock on the head. */
export class Released1763710000150 implements MigrationInterface {
  readonly name = 'Released1763710000150';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE log_released (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        size bigint NOT NULL,
        note text
      )`);
    await runner.query('INSERT INTO log_released (size, note) SELECT released, note FROM log_head');
    await runner.query('ALTER TABLE log_head DROP COLUMN released, DROP COLUMN note');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE log_head ADD COLUMN released bigint NOT NULL DEFAULT 0, ADD COLUMN note text');
    await runner.query('UPDATE log_head SET released = log_released.size, note = log_released.note FROM log_released');
    await runner.query('DROP TABLE log_released');
  }
}
