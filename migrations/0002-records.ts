import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the service remembers beside its log (src/review/records.ts). */
export class Records1763700000002 implements MigrationInterface {
  readonly name = 'Records1763700000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE repository (
        name text PRIMARY KEY, url text NOT NULL, state text NOT NULL, trouble jsonb, governance_ref text NOT NULL,
        governance_commit text, bundle_digest text, updated_at timestamptz(3) NOT NULL);
      CREATE TABLE push (
        id text PRIMARY KEY, repository text NOT NULL, ref text NOT NULL, kind text NOT NULL, old text, new text,
        time timestamptz(3) NOT NULL, log_index bigint);
      CREATE INDEX push_by_repository ON push (repository, time DESC);
      CREATE TABLE tip (repository text, ref text, commit_id text NOT NULL, push text NOT NULL, PRIMARY KEY (repository, ref));
      CREATE TABLE commit (
        repository text, id text, tree text NOT NULL, parents jsonb NOT NULL, author jsonb NOT NULL, committer jsonb NOT NULL,
        message text NOT NULL, signature jsonb NOT NULL, files jsonb NOT NULL, first_seen timestamptz(3) NOT NULL,
        PRIMARY KEY (repository, id));
      CREATE INDEX commit_by_first_seen ON commit (repository, first_seen DESC, id);
      CREATE TABLE environment (
        repository text, name text, path text NOT NULL, ref text NOT NULL, target text, namespace text, labels jsonb NOT NULL,
        ignore jsonb NOT NULL, head text, head_decision text, head_outcome text, approved text, approved_decision text,
        no_longer_compliant boolean NOT NULL, status text NOT NULL, trouble jsonb, updated_at timestamptz(3) NOT NULL,
        PRIMARY KEY (repository, name));
      CREATE TABLE change (
        id text PRIMARY KEY, repository text NOT NULL, environment text NOT NULL, operation text NOT NULL, ref text NOT NULL,
        push text NOT NULL, base text, head text NOT NULL, tree text NOT NULL, commits jsonb NOT NULL, object_changes integer NOT NULL,
        rendered_digest text NOT NULL, other_documents integer NOT NULL, not_rendered jsonb NOT NULL, time timestamptz(3) NOT NULL);
      CREATE INDEX change_by_time ON change (time DESC, id);
      CREATE INDEX change_by_environment ON change (repository, environment, time DESC, id);
      CREATE TABLE object_change (
        change text, position integer, op text NOT NULL, api_group text NOT NULL, version text NOT NULL, kind text NOT NULL,
        namespace text NOT NULL, name text NOT NULL, before jsonb, after jsonb, patch jsonb NOT NULL, path text NOT NULL, line integer NOT NULL,
        PRIMARY KEY (change, position));
      CREATE INDEX object_change_by_object ON object_change (kind, namespace, name);
      CREATE TABLE decision (
        id text PRIMARY KEY, change text NOT NULL, repository text NOT NULL, environment text NOT NULL, outcome text NOT NULL,
        violations jsonb NOT NULL, warnings jsonb NOT NULL, required jsonb NOT NULL, rules_run integer NOT NULL,
        rules_passed integer NOT NULL, error jsonb, bundle_digest text NOT NULL, wasm_digest text NOT NULL, input_digest text NOT NULL,
        result_digest text NOT NULL, time timestamptz(3) NOT NULL, milliseconds integer NOT NULL, log_index bigint);
      CREATE INDEX decision_by_time ON decision (time DESC, id);
      CREATE INDEX decision_by_environment ON decision (repository, environment, time DESC, id);
      CREATE INDEX decision_by_change ON decision (change);
      CREATE INDEX decision_by_index ON decision (log_index);
      CREATE TABLE run (
        id text PRIMARY KEY, repository text NOT NULL, environment text NOT NULL, decision text NOT NULL, reason text NOT NULL,
        started_at timestamptz(3) NOT NULL, started_index bigint, finished_at timestamptz(3), finished_index bigint,
        outcome text NOT NULL, planned jsonb NOT NULL, results jsonb, trouble jsonb);
      CREATE INDEX run_by_environment ON run (repository, environment, started_at DESC, id);
      CREATE TABLE drift (
        id text PRIMARY KEY, repository text NOT NULL, environment text NOT NULL, api_group text NOT NULL, version text NOT NULL,
        kind text NOT NULL, namespace text NOT NULL, name text NOT NULL, type text NOT NULL, fields jsonb NOT NULL, attribution jsonb,
        detected_at timestamptz(3) NOT NULL, log_index bigint, corrected_at timestamptz(3), run text);
      CREATE INDEX drift_by_time ON drift (detected_at DESC, id);
      CREATE TABLE live_object (
        repository text, environment text, api_group text, version text NOT NULL, kind text, namespace text, name text,
        target text NOT NULL, uid text NOT NULL, resource_version text NOT NULL, commit_id text NOT NULL, decision bigint NOT NULL, path text NOT NULL,
        line integer NOT NULL, digest text NOT NULL, health text NOT NULL, health_reason text NOT NULL, updated_at timestamptz(3) NOT NULL,
        PRIMARY KEY (repository, environment, api_group, kind, namespace, name));
      CREATE TABLE fault (
        id text PRIMARY KEY, repository text, environment text, trouble jsonb NOT NULL, time timestamptz(3) NOT NULL, log_index bigint);
      CREATE INDEX fault_by_time ON fault (time DESC, id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      'DROP TABLE repository, push, tip, commit, environment, change, object_change, decision, run, drift, live_object, fault',
    );
  }
}
