import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which rollouts were healthy, and what came back when one was not (src/review/returns.ts). */
export class Returns1763740000240 implements MigrationInterface {
  readonly name = 'Returns1763740000240';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE environment ADD COLUMN healthy text, ADD COLUMN healthy_decision text');
    await runner.query(`CREATE TABLE rollout_return (
      id text PRIMARY KEY, repository text NOT NULL, environment text NOT NULL, from_commit text NOT NULL, from_decision text NOT NULL,
      to_commit text, decision text, reason text NOT NULL, refusal text, time timestamptz(3) NOT NULL, ended_at timestamptz(3), log_index bigint)`);
    await runner.query(
      'CREATE INDEX rollout_return_by_environment ON rollout_return (repository, environment, time DESC)',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE rollout_return');
    await runner.query('ALTER TABLE environment DROP COLUMN healthy, DROP COLUMN healthy_decision');
  }
}
