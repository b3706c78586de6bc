import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The newest checkpoint that enough witnesses have signed, one row. */
export class Cosigned0000000000060 implements MigrationInterface {
  readonly name = 'Cosigned0000000000060';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE log_cosigned (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        size bigint NOT NULL,
        note text NOT NULL
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE log_cosigned');
  }
}
