import { CountersignError } from '../errors.js';
import { IDENTITIES_PATH, NO_IDENTITIES, parseIdentities } from './identities.js';
import { type OpenPgpKey, readOpenPgpKeys } from './openpgp-key.js';
import type { TreeEntry, TreeReader } from './repository.js';
import { readLogKeys } from './rekor.js';
import { readRoots } from './x509-certificate.js';
import { ALLOWED_SIGNERS_PATH, parseSigners, REVOKED_SIGNERS_PATH, type Signers } from './signers.js';

const LIMIT = 4 * 1024 * 1024;
const FOLDER_LIMIT = 4096;

/** Where a repository keeps its people's OpenPGP keys, and those of its forge. */
export const KEYS_PATH = '.countersign/keys';
export const FORGE_KEYS_PATH = '.countersign/forge-keys';
/** Certificates of authorities. */
export const X509_PATH = '.countersign/x509';
/** Certificates of authorities for time-stamps, and public keys of transparency logs. */
export const TIMESTAMPS_PATH = '.countersign/timestamps';
export const LOGS_PATH = '.countersign/logs';

/**
 * The signers that a repository names in itself, as of one commit: the caller chooses the last approved one (invariant 2).
 * No file: nobody. Throws `signers-malformed` and `config-invalid` for files that cannot be read exactly.
 */
export async function readSigners(repository: TreeReader, commit: string): Promise<Signers> {
  const files = new Map((await repository.tree(commit, '.countersign')).map((entry) => [entry.path, entry]));
  const text = async (file: string): Promise<{ text: string; file: string } | undefined> => {
    const entry = files.get(file);
    if (entry) return { text: (await content(repository, entry)).toString('utf8'), file };
    if ([...files.keys()].some((path) => path.startsWith(`${file}/`))) throw notAFile(file);
    return undefined;
  };
  const [allowed, revoked, identities, people, forge, x509, timestamps, logs] = await Promise.all([
    text(ALLOWED_SIGNERS_PATH),
    text(REVOKED_SIGNERS_PATH),
    text(IDENTITIES_PATH),
    keysIn(repository, files, KEYS_PATH, false),
    keysIn(repository, files, FORGE_KEYS_PATH, true),
    eachFile(repository, files, X509_PATH, /\.(?:pem|crt|cer)$/, readRoots),
    eachFile(repository, files, TIMESTAMPS_PATH, /\.(?:pem|crt|cer)$/, readRoots),
    eachFile(repository, files, LOGS_PATH, /\.(?:pem|pub)$/, readLogKeys),
  ]);
  // A forge's key that somebody also lists as a person's stays the forge's: it must not pass for anybody.
  const forges = new Set(forge.map(({ primary }) => primary));
  return {
    ...parseSigners(allowed ?? { text: '', file: ALLOWED_SIGNERS_PATH }, revoked),
    openpgp: [...forge, ...people.filter(({ primary }) => !forges.has(primary))],
    x509,
    timestamps,
    logs,
    identities: identities ? parseIdentities(identities.text, identities.file) : NO_IDENTITIES,
  };
}

function keysIn(
  repository: TreeReader,
  files: ReadonlyMap<string, TreeEntry>,
  folder: string,
  forge: boolean,
): Promise<readonly OpenPgpKey[]> {
  return eachFile(repository, files, folder, /\.(?:asc|gpg|pgp)$/, (bytes, file) =>
    readOpenPgpKeys(bytes, file, forge),
  );
}

async function eachFile<T>(
  repository: TreeReader,
  files: ReadonlyMap<string, TreeEntry>,
  folder: string,
  name: RegExp,
  read: (bytes: Buffer, file: string) => readonly T[] | Promise<readonly T[]>,
): Promise<readonly T[]> {
  const entries = [...files.values()].filter(({ path }) => path.startsWith(`${folder}/`) && name.test(path));
  if (entries.length > FOLDER_LIMIT) {
    throw new CountersignError(
      'signers-malformed',
      `there are ${entries.length} files, at most ${FOLDER_LIMIT} are read`,
      {
        place: { file: folder },
      },
    );
  }
  const all: T[] = [];
  for (const entry of entries) all.push(...(await read(await content(repository, entry), entry.path)));
  return all;
}

async function content(repository: TreeReader, entry: TreeEntry): Promise<Buffer> {
  if (!entry.mode.startsWith('100')) throw notAFile(entry.path);
  return repository.blob(entry.id, LIMIT);
}

function notAFile(file: string): CountersignError {
  return new CountersignError('signers-malformed', 'this is not an ordinary file', {
    place: { file },
    remedy: 'Put the file itself there, no folder and no link',
  });
}
