import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who is signed in with a browser (src/review/session.ts). Of the session's secret there is a digest only. */
export class Sessions1764000000270 implements MigrationInterface {
  readonly name = 'Sessions1764000000270';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE session (
      digest text PRIMARY KEY,
      id uuid NOT NULL UNIQUE,
      login text NOT NULL,
      groups jsonb NOT NULL,
      basis text NOT NULL,
      started timestamptz NOT NULL,
      seen timestamptz NOT NULL,
      ends timestamptz NOT NULL
    )`);
    await runner.query('CREATE INDEX session_by_login ON session (login, started)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE session');
  }
}
