import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is shown of a request's advice: its number, what the rules said, whether the forge was told, and until when it stood. */
export class AdviceOfRequests1763710000100 implements MigrationInterface {
  readonly name = 'AdviceOfRequests1763710000100';

  async up(runner: QueryRunner): Promise<void> {
    // What rules said of earlier advice is in the log; the next look ends what is not open any more.
    await runner.query(`ALTER TABLE advice
      ADD COLUMN number integer,
      ADD COLUMN violations jsonb NOT NULL DEFAULT '[]',
      ADD COLUMN required jsonb NOT NULL DEFAULT '[]',
      ADD COLUMN reported_at timestamptz(3),
      ADD COLUMN ended_at timestamptz(3)`);
    await runner.query(`UPDATE advice SET number = substring(request from '/([0-9]+)/')::integer`);
    await runner.query('ALTER TABLE advice ALTER COLUMN number SET NOT NULL');
    await runner.query('CREATE INDEX advice_by_time ON advice (time DESC, id)');
    await runner.query('CREATE INDEX advice_open ON advice (repository) WHERE ended_at IS NULL');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX advice_open');
    await runner.query('DROP INDEX advice_by_time');
    await runner.query(`ALTER TABLE advice
      DROP COLUMN ended_at, DROP COLUMN reported_at, DROP COLUMN required, DROP COLUMN violations, DROP COLUMN number`);
  }
}
