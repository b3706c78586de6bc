import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What was said about heads of open requests: never a deployment decision, so apart from those. */
export class Advice1763690000030 implements MigrationInterface {
  name = 'Advice1763690000030';

  async up(queries: QueryRunner): Promise<void> {
    await queries.query(`CREATE TABLE advice (
      id text PRIMARY KEY,
      repository text NOT NULL,
      environment text NOT NULL,
      request text NOT NULL,
      target text NOT NULL,
      base text,
      head text NOT NULL,
      outcome text NOT NULL,
      description text NOT NULL,
      bundle_digest text NOT NULL,
      time timestamptz(3) NOT NULL
    )`);
    await queries.query('CREATE INDEX advice_by_head ON advice (repository, head)');
  }

  async down(queries: QueryRunner): Promise<void> {
    await queries.query('DROP TABLE advice');
  }
}
