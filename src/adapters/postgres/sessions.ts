import type { DataSource } from 'typeorm';
import type { Session, Sessions } from '../../review/session.js';
import { rowsOf } from './log-storage.js';

/** Of one person; who signs in once more ends the one that was not used for longest. */
const MOST_SESSIONS = 20;

/** How stale `seen` may be, so that not every request writes. */
const SEEN_EVERY = `interval '1 minute'`;

interface Row {
  readonly id: string;
  readonly login: string;
  readonly groups: readonly string[];
  readonly basis: string;
  readonly started: Date;
  readonly seen: Date;
  readonly ends: Date;
}

/** src/review/session.ts on PostgreSQL. */
export class PostgresSessions implements Sessions {
  constructor(private readonly dataSource: DataSource) {}

  async start(
    digest: string,
    { id, login, groups, basis, startedAt, seenAt, endsAt }: Session,
    replaced: string | null,
  ): Promise<void> {
    // What is over is of no use to anybody, and goes when somebody comes.
    await rowsOf(this.dataSource, 'DELETE FROM session WHERE digest = $1 OR ends <= $2', [replaced, startedAt]);
    await rowsOf(
      this.dataSource,
      `INSERT INTO session (digest, id, login, groups, basis, started, seen, ends) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [digest, id, login, JSON.stringify(groups), basis, startedAt, seenAt, endsAt],
    );
    await rowsOf(
      this.dataSource,
      `DELETE FROM session WHERE digest IN (
         SELECT digest FROM session WHERE login = $1 ORDER BY seen DESC, started DESC OFFSET ${MOST_SESSIONS})`,
      [login],
    );
  }

  async find(digest: string, now: string, idleSince: string): Promise<Session | null> {
    const [row] = await rowsOf<Row>(
      this.dataSource,
      'SELECT * FROM session WHERE digest = $1 AND ends > $2 AND seen > $3',
      [digest, now, idleSince],
    );
    if (!row) return null;
    await rowsOf(
      this.dataSource,
      `UPDATE session SET seen = $2 WHERE digest = $1 AND seen < $2::timestamptz - ${SEEN_EVERY}`,
      [digest, now],
    );
    return sessionOf(row);
  }

  async end(digest: string): Promise<Session | null> {
    const [row] = await this.#ended('digest = $1', digest);
    return row ? sessionOf(row) : null;
  }

  async list(now: string, idleSince: string): Promise<readonly Session[]> {
    const rows = await rowsOf<Row>(
      this.dataSource,
      'SELECT * FROM session WHERE ends > $1 AND seen > $2 ORDER BY started DESC, id LIMIT 1000',
      [now, idleSince],
    );
    return rows.map(sessionOf);
  }

  async endOf(login: string): Promise<number> {
    return (await this.#ended('login = $1', login)).length;
  }

  /** A statement that begins with WITH is answered by TypeORM with its rows alone. */
  #ended(which: string, value: string): Promise<Row[]> {
    return rowsOf<Row>(
      this.dataSource,
      `WITH ended AS (DELETE FROM session WHERE ${which} RETURNING *) SELECT * FROM ended`,
      [value],
    );
  }
}

function sessionOf({ id, login, groups, basis, started, seen, ends }: Row): Session {
  const [startedAt, seenAt, endsAt] = [started, seen, ends].map((time) => time.toISOString());
  return { id, login, groups, basis, startedAt, seenAt, endsAt };
}
