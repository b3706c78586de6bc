import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Exports that are taken by themselves: one row a period of a schedule, so that none is taken twice. */
export class ScheduledExports1763740000260 implements MigrationInterface {
  readonly name = 'ScheduledExports1763740000260';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE export_schedule (
      name text PRIMARY KEY,
      -- When it was first seen: what was due before that is not made up.
      begun timestamptz NOT NULL
    )`);
    await runner.query(`CREATE TABLE scheduled_export (
      name text NOT NULL,
      since timestamptz NOT NULL,
      until timestamptz NOT NULL,
      due timestamptz NOT NULL,
      made_at timestamptz,
      -- Of the export's entry in the log.
      log_index bigint,
      file text,
      attempts int NOT NULL DEFAULT 0,
      trouble jsonb,
      PRIMARY KEY (name, since, until)
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE scheduled_export');
    await runner.query('DROP TABLE export_schedule');
  }
}
