import { existsSync } from 'node:fs';
import { CountersignError } from '../../errors.js';

export function missingRepository(path: string): CountersignError {
  const away = !existsSync(path);
  return new CountersignError(
    'repository-missing',
    away ? `there is nothing at ${path}` : `${path} is not a Git repository`,
    {
      remedy: away ? 'Check the path, or wait until it is back' : 'Name a work tree or a bare repository',
      retry: away,
    },
  );
}

export function emptyRepository(path: string): CountersignError {
  return new CountersignError('repository-empty', `${path} has no commits yet`, { remedy: 'Commit something first' });
}

export function corruptRepository(path: string, what: string): CountersignError {
  return new CountersignError('repository-corrupt', `${path} is damaged: ${what}`, {
    remedy: 'Run git fsck there and restore it from a good clone',
  });
}

export function badObject(id: string, what: string): CountersignError {
  return new CountersignError('repository-corrupt', `object ${id} cannot be read: ${what}`, {
    remedy: 'Run git fsck in the repository and restore it from a good clone',
  });
}

export function unknownRevision(path: string, revision: string, refs: readonly string[]): CountersignError {
  const some = refs.slice(0, 5).join(', ');
  return new CountersignError('revision-unknown', `${path} has no commit ${JSON.stringify(revision)}`, {
    remedy: some ? `Name one of ${some}` : 'Check the name, or fetch it first',
  });
}

export function missingObject(path: string, id: string): CountersignError {
  return new CountersignError('object-missing', `${path} does not hold object ${id}`, {
    remedy: 'Fetch it: a partial or shallow clone leaves objects out',
  });
}

export function tooLargeBlob(id: string, size: number, limit: number): CountersignError {
  return new CountersignError('manifest-too-large', `file ${id} has ${size} bytes, over the limit of ${limit}`, {
    remedy: 'Split it, or list it under ignore',
  });
}

export function commitTooLarge(id: string, size: number, limit: number): CountersignError {
  return new CountersignError('repository-unsupported', `object ${id} has ${size} bytes, over the limit of ${limit}`);
}

export function cutOffHistory(commit: string): CountersignError {
  return new CountersignError('repository-unsupported', `the history is cut off at commit ${commit}`, {
    remedy: 'This is a shallow clone: run git fetch --unshallow',
  });
}

export function shallowRemote(address: string): CountersignError {
  return new CountersignError(
    'repository-unsupported',
    `${address} is a shallow clone: who made its first commits cannot be known`,
    { remedy: 'Run git fetch --unshallow there, or follow the repository that it was cloned from' },
  );
}
