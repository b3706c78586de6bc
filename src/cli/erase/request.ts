import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { DataSource } from 'typeorm';
import { contentsNaming, inForceBy, type Naming } from '../../adapters/postgres/erase.js';
import { holdOn } from '../../adapters/postgres/retain.js';
import { openLogDatabase } from '../../adapters/postgres/open-log.js';
import { readOrigin } from '../../adapters/keys/file.js';
import { randomSalt, toHex } from '../../audit/crypto.js';
import { CountersignError } from '../../errors.js';
import { erasureText, refused } from '../../review/erasure.js';
import { held } from '../../review/legal-hold.js';
import { Subject } from '../../review/subject.js';
import type { RequestOptions } from '../erase.js';
import { follow } from '../follow.js';
import { subjectFile } from './files.js';

export interface Requested {
  readonly file: string;
  readonly naming: Naming;
  /** Names of commits' authors and committers under one of the subject's addresses that are not erased by themselves. */
  readonly beside: readonly string[];
}

/** Reads the whole log, running or stopped, and writes both files of a request. */
export async function writeRequest(options: RequestOptions): Promise<Requested> {
  const { reason, ticket } = options;
  const subject = new Subject([options.subject, ...options.also]);
  if (subject.names(reason) || subject.names(ticket)) {
    throw new CountersignError('usage', 'reason and ticket stay, and name the person', { remedy: 'Word them without' });
  }
  const origin = await readOrigin(options.data);
  const dataSource = await openLogDatabase(options.data, options.database);
  const progress = follow('contents');
  try {
    const repository = options.repository ?? (await onlyRepository(dataSource));
    const naming = await contentsNaming(dataSource.manager, subject, progress.at);
    const inForce = await inForceBy(dataSource.manager, naming.unsalted);
    if (inForce !== undefined) {
      throw refused(
        `the policy in force of ${inForce} names the person, and the next decision would store it again`,
        `Take the person out of its .countersign/ and countersign.yaml first`,
      );
    }
    const hold = await holdOn(dataSource.manager, naming.contents);
    if (hold) throw held(hold);
    const beside = await namesBeside(dataSource, subject);
    const salt = randomSalt();
    const file = options.out ?? `erasure-${ticket.replaceAll(/[^\w.-]+/g, '-')}.json`;
    const statement = {
      id: randomUUID(),
      origin,
      repository,
      subject: subject.digest(salt),
      contents: naming.contents,
      reason,
      ticket,
      time: new Date().toISOString(),
    };
    // The one that says whom first: a statement alone could be signed by somebody who cannot know what for.
    await writeNew(subjectFile(file), JSON.stringify({ salt: toHex(salt), terms: subject.written }));
    await writeNew(file, erasureText(statement));
    return { file, naming, beside };
  } finally {
    progress.end();
    await dataSource.destroy();
  }
}

async function writeNew(file: string, text: string): Promise<void> {
  await writeFile(file, text, { flag: 'wx', mode: 0o600 }).catch((cause: unknown) => {
    throw new CountersignError('usage', `${file} cannot be written: ${(cause as Error).message}`, {
      remedy: 'Name another with --out',
      cause,
    });
  });
}

async function onlyRepository(dataSource: DataSource): Promise<string> {
  const rows = await dataSource.query<{ name: string }[]>('SELECT name FROM repository ORDER BY name');
  if (rows.length === 1) return rows[0].name;
  throw new CountersignError('usage', `the service follows ${rows.length} repositories`, {
    remedy: 'Name the one whose allowed signers count with --repository',
  });
}

async function namesBeside(dataSource: DataSource, subject: Subject): Promise<readonly string[]> {
  const rows = await dataSource.query<{ name: string; email: string }[]>(
    `SELECT DISTINCT who->>'name' AS name, who->>'email' AS email
     FROM commit, LATERAL (VALUES (author), (committer)) AS people (who)`,
  );
  const found = rows.filter(({ name, email }) => name && email && subject.names(email) && !subject.names(name));
  return [...new Set(found.map(({ name }) => name))].toSorted();
}
