import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The log. An entry is never updated nor deleted. A tile is no row of its own: level 0 is the leaf hashes of log_entry, and each
 * level above is the roots, in log_tile, of the full tiles below.
 */
export class Log0000000000001 implements MigrationInterface {
  readonly name = 'Log0000000000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE log_outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        type text NOT NULL,
        leaf bytea NOT NULL CHECK (length(leaf) <= 65535)
      )`);
    await runner.query(`
      CREATE TABLE log_entry (
        log_index bigint PRIMARY KEY CHECK (log_index >= 0),
        leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32),
        outbox_id bigint NOT NULL UNIQUE,
        type text NOT NULL,
        leaf bytea NOT NULL
      )`);
    await runner.query(`CREATE INDEX log_entry_keys ON log_entry (log_index) WHERE type = 'key'`);
    await runner.query(`
      CREATE TABLE log_tile (
        level smallint NOT NULL,
        number bigint NOT NULL,
        root bytea NOT NULL CHECK (length(root) = 32),
        PRIMARY KEY (level, number)
      )`);
    // One row: the tree, who may extend it (each lease has an epoch of its own), and what readers are shown.
    await runner.query(`
      CREATE TABLE log_head (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        epoch bigint NOT NULL,
        size bigint NOT NULL,
        root bytea NOT NULL,
        released bigint NOT NULL,
        note text
      )`);
    await runner.query(`INSERT INTO log_head (epoch, size, root, released) VALUES (0, 0, sha256(''), 0)`);
    await runner.query(`
      CREATE TABLE content (
        digest bytea PRIMARY KEY CHECK (length(digest) = 32),
        encoding text NOT NULL,
        size bigint NOT NULL,
        bytes bytea NOT NULL
      )`);
    // Compressed already: PostgreSQL need not try again.
    await runner.query('ALTER TABLE content ALTER COLUMN bytes SET STORAGE EXTERNAL');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE content, log_head, log_tile, log_entry, log_outbox');
  }
}
