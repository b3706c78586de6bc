import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the service itself asks for while it works must not take longer as history grows. */
export class ReadsAtWork1763700000050 implements MigrationInterface {
  readonly name = 'ReadsAtWork1763700000050';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX drift_by_run ON drift (run);
      CREATE INDEX run_by_decision ON run (decision, outcome);
      CREATE INDEX run_open ON run (id) WHERE outcome = 'running';
      CREATE INDEX run_without_start ON run (id) WHERE started_index IS NULL;
      CREATE INDEX run_without_end ON run (id) WHERE finished_index IS NULL;
      CREATE INDEX push_without_index ON push (id) WHERE log_index IS NULL;
      CREATE INDEX decision_without_index ON decision (id) WHERE log_index IS NULL;
      CREATE INDEX drift_without_index ON drift (id) WHERE log_index IS NULL;
      CREATE INDEX fault_without_index ON fault (id) WHERE log_index IS NULL;
      CREATE INDEX approval_without_index ON approval (id) WHERE log_index IS NULL;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP INDEX drift_by_run, run_by_decision, run_open, run_without_start, run_without_end, push_without_index,
       decision_without_index, drift_without_index, fault_without_index, approval_without_index`,
    );
  }
}
