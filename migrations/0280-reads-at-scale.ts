import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Lists that are asked for by time alone, and filters that few rows pass, over a million of decisions (test/bench/questions.bench.ts). Of decisions
 * only those that a rule denied, or that could not be judged, take room in them.
 */
export class ReadsAtScale1763750000280 implements MigrationInterface {
  readonly name = 'ReadsAtScale1763750000280';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX push_by_time ON push (time DESC, id);
      CREATE INDEX push_not_advanced ON push (time DESC, id) WHERE kind <> 'advanced';
      CREATE INDEX commit_by_time ON commit (first_seen DESC, id, repository);
      CREATE INDEX commit_by_signer ON commit ((signature ->> 'principal'), first_seen DESC);
      CREATE INDEX commit_by_signature ON commit ((signature ->> 'status'), first_seen DESC);
      CREATE INDEX run_by_time ON run (started_at DESC, id);
      CREATE INDEX run_by_end ON run (repository, environment, outcome, finished_at DESC);
      CREATE INDEX approval_by_environment ON approval (environment, first_seen DESC, id);
      CREATE INDEX approval_not_accepted ON approval (first_seen DESC, id) WHERE status <> 'accepted';
      CREATE INDEX decision_by_rule ON decision USING gin (jsonb_path_query_array(violations, '$[*].rule') jsonb_path_ops);
      CREATE INDEX decision_in_error ON decision (time DESC, id) WHERE outcome = 'error';
    `);
    // Of what an index says, and no column, there are no statistics before.
    await runner.query('ANALYZE decision, commit');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP INDEX push_by_time, push_not_advanced, commit_by_time, commit_by_signer, commit_by_signature, run_by_time, run_by_end, approval_by_environment,
       approval_not_accepted, decision_by_rule, decision_in_error`,
    );
  }
}
