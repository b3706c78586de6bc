import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CountersignError } from '../../errors.js';
import { isUnder } from '../../source/path.js';
import type { TreeEntry, TreeReader } from '../../source/repository.js';

const MAX_FILES = 200_000;

/**
 * A folder on disk (or one file in it) in the shape of a Git tree, for those who ask about files that are in no commit. Blob ids
 * are paths. Links are named, never followed; what is neither file, folder nor link is passed over; `.git` is not looked into.
 */
export class FolderTree implements TreeReader {
  private constructor(
    private readonly root: string,
    private readonly only: string | undefined,
  ) {}

  /** Throws `usage` if there is nothing at `path`. */
  static open(path: string): FolderTree {
    try {
      return statSync(path).isDirectory() ? new FolderTree(path, undefined) : new FolderTree('.', path);
    } catch (cause) {
      throw new CountersignError('usage', `there is no file or folder ${path}`, {
        remedy: 'Give a repository, a folder or a manifest',
        cause,
      });
    }
  }

  async tree(_commit: string, path = ''): Promise<readonly TreeEntry[]> {
    const entries: TreeEntry[] =
      this.only === undefined ? [] : [{ path: this.only, mode: '100644', id: this.only, type: 'blob' }];
    if (this.only === undefined) this.walk('', entries);
    const wanted = entries.filter((entry) => isUnder(entry.path, path));
    // In the order of bytes, as Git has it.
    return wanted.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  }

  async blob(id: string, limit = 64 * 1024 * 1024): Promise<Buffer> {
    let file: number;
    try {
      // What was a file when the folder was listed must not be a link to somewhere else by now.
      file = openSync(join(this.root, id), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (cause) {
      throw new CountersignError('object-missing', `${id} cannot be read: ${(cause as Error).message}`, {
        place: { file: id },
        cause,
      });
    }
    try {
      const { size } = fstatSync(file);
      if (size > limit) {
        throw new CountersignError(
          'manifest-too-large',
          `the file has ${size} bytes, more than the limit of ${limit}`,
          {
            place: { file: id },
            remedy: 'Split it, or list it under "ignore" if it is no manifest',
          },
        );
      }
      const bytes = Buffer.alloc(size);
      return bytes.subarray(0, readSync(file, bytes, 0, size, 0));
    } finally {
      closeSync(file);
    }
  }

  private walk(folder: string, entries: TreeEntry[]): void {
    for (const entry of readdirSync(join(this.root, folder), { withFileTypes: true })) {
      if (entry.name === '.git' || entry.name === 'node_modules') continue;
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) this.walk(path, entries);
      else if (entry.isSymbolicLink()) entries.push({ path, mode: '120000', id: path, type: 'blob' });
      else if (entry.isFile()) entries.push({ path, mode: '100644', id: path, type: 'blob' });
      if (entries.length > MAX_FILES) {
        throw new CountersignError('usage', `${this.root} holds more than ${MAX_FILES} files`, {
          remedy: 'Give the folder that holds the manifests',
        });
      }
    }
  }
}
