import type { MigrationInterface, QueryRunner } from 'typeorm';

/** When each exception counted, to be asked of any day. Of those that are there already the entries of the log say it. */
export class ExceptionsInForce1763740000220 implements MigrationInterface {
  readonly name = 'ExceptionsInForce1763740000220';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE exception ADD COLUMN counted jsonb NOT NULL DEFAULT '[]'`);
    // A leaf is a DSSE envelope, whose payload is an in-toto Statement.
    await runner.query(`UPDATE exception SET counted = told.counted FROM (
        SELECT id, jsonb_agg(jsonb_build_object('from', time, 'to', next) ORDER BY log_index) AS counted FROM (
          SELECT log_index, said ->> 'id' AS id, said ->> 'status' AS status, said ->> 'time' AS time,
            lead(said ->> 'time') OVER (PARTITION BY said ->> 'id' ORDER BY log_index) AS next
          FROM (SELECT log_index, convert_from(decode(convert_from(leaf, 'UTF8')::jsonb ->> 'payload', 'base64'), 'UTF8')::jsonb -> 'predicate' AS said
            FROM log_entry WHERE type = 'exception') AS entry) AS moved
        WHERE status = 'accepted' GROUP BY id) AS told
      WHERE told.id = exception.id`);
    await runner.query('CREATE INDEX decision_by_exceptions ON decision USING gin (exceptions jsonb_path_ops)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX decision_by_exceptions');
    await runner.query('ALTER TABLE exception DROP COLUMN counted');
  }
}
