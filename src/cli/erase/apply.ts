import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DataSource } from 'typeorm';
import { openRepository } from '../../adapters/git/open.js';
import { readKeys } from '../../adapters/keys/file.js';
import { erase, type Erased } from '../../adapters/postgres/erase.js';
import { Lease } from '../../adapters/postgres/lease.js';
import { openLedger } from '../../adapters/postgres/ledger.js';
import { openStoppedDatabase } from '../../adapters/postgres/stopped.js';
import { CountersignError } from '../../errors.js';
import { type Authoriser, checkAuthorised, refused } from '../../review/erasure.js';
import { readSigners } from '../../source/governed-signers.js';
import type { Signers } from '../../source/signers.js';
import { readRequest, readText, subjectFile } from './files.js';

interface Where {
  readonly data: string;
  readonly database?: string;
  readonly signature?: readonly string[];
}

/**
 * Checks who signed, then erases, then removes the file that says whom it was about. Killed in between, the same command does the rest.
 * Throws `erasure-refused`, `data-folder` while the service runs.
 */
export async function applyRequest(
  file: string,
  { data, database, signature }: Where,
  progress: (done: number, of: number) => void,
): Promise<Erased & { readonly authorisers: readonly Authoriser[] }> {
  const { text, statement, subject } = await readRequest(file);
  const signatures = await Promise.all((signature ?? (await signaturesOf(file))).map(readText));
  const keys = await readKeys(data);
  if (statement.origin !== keys.origin)
    throw refused(`the statement is for the log ${statement.origin}, this one is ${keys.origin}`);
  const dataSource = await openStoppedDatabase(data, database);
  try {
    const { repository } = statement;
    const { commit, signers } = await governedSigners(dataSource, data, repository);
    const authorisers = checkAuthorised(text, signatures, signers, new Date());
    await requireAlone(dataSource);
    const ledger = await openLedger({ dataSource, keys, dataDir: data });
    try {
      const governance = { repository, commit };
      const erased = await erase({ dataSource, ledger, statement, text, signatures, authorisers, governance, subject, progress }); // prettier-ignore
      await rm(subjectFile(file), { force: true });
      return { ...erased, authorisers };
    } finally {
      await ledger.close();
    }
  } finally {
    await dataSource.destroy();
  }
}

/** A service elsewhere on the same database would write back what it still remembers. */
async function requireAlone(dataSource: DataSource): Promise<void> {
  const lease = await Lease.tryAcquire(dataSource, () => undefined);
  if (!lease)
    throw new CountersignError('log-conflict', 'a service is writing to this log', { remedy: 'Stop it first' });
  await lease.release();
}

async function signaturesOf(file: string): Promise<readonly string[]> {
  const folder = dirname(file);
  const names = await readdir(folder);
  return names.filter((name) => name.startsWith(`${basename(file)}.`) && name.endsWith('.sig')).toSorted().map((name) => join(folder, name)); // prettier-ignore
}

/** As the governance says that is in force, in the service's own mirror: no file that whoever runs this could have written. */
async function governedSigners(
  dataSource: DataSource,
  data: string,
  name: string,
): Promise<{ readonly commit: string; readonly signers: Signers }> {
  const [row] = await dataSource.query<{ commit: string | null }[]>(
    'SELECT governance_commit AS commit FROM repository WHERE name = $1',
    [name],
  );
  if (!row?.commit) {
    throw new CountersignError('erasure-refused', `no governance of a repository ${JSON.stringify(name)} is in force here`, {
      remedy: 'Ask again, and name a repository that this service follows with --repository',
    }); // prettier-ignore
  }
  const repository = await openRepository(join(data, 'mirrors', `${name}.git`));
  try {
    return { commit: row.commit, signers: await readSigners(repository, row.commit) };
  } finally {
    await repository.close();
  }
}
