import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve as resolvePath } from 'node:path';
import { CountersignError } from '../../errors.js';
import { OBJECT_ID } from '../../source/object-id.js';
import { corruptRepository, missingRepository } from './faults.js';
import { inPrefixes } from './refs.js';

const SYMBOLIC_DEPTH = 5;

interface PackedRefs {
  readonly stamp: string;
  readonly refs: ReadonlyMap<string, string>;
}

/**
 * The refs of a repository on this machine, read without starting a process: what an idle poll costs is a few stats.
 * Loose before packed: git writes packed-refs first and removes the loose file after it, so no moment loses a ref.
 */
export class LocalRefs {
  private packed: PackedRefs = { stamp: '', refs: new Map() };

  private constructor(
    private readonly path: string,
    private readonly gitDir: string,
    private readonly commonDir: string,
  ) {}

  /** Throws `repository-missing`, and `repository-unsupported` for refs that are not kept in files (reftable). */
  static async open(path: string, upward = false): Promise<LocalRefs> {
    const gitDir = await findGitDir(path, { upward });
    const common = await readOptional(join(gitDir, 'commondir'));
    const commonDir = common === undefined ? gitDir : resolvePath(gitDir, common.trim());
    if (await isFolder(join(commonDir, 'reftable'))) {
      throw new CountersignError('repository-unsupported', `${path} keeps its refs in a reftable`, {
        remedy: 'Install git 2.45 or newer, which can read it',
      });
    }
    return new LocalRefs(path, gitDir, commonDir);
  }

  /** Ids as they are stored: a tag's is the tag object's. Names are full refs, `HEAD`, or folders of refs. */
  async read(prefixes: readonly string[]): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const prefix of prefixes) {
      const name = prefix.replace(/\/$/, '');
      for (const ref of name === 'HEAD' ? [name] : await this.looseNames(name)) await this.add(ref, found);
    }
    for (const ref of (await this.packedRefs()).keys()) {
      if (!found.has(ref) && inPrefixes(ref, prefixes)) await this.add(ref, found);
    }
    if (found.size === 0 && !(await isFolder(this.commonDir))) throw missingRepository(this.path);
    return found;
  }

  private async add(ref: string, found: Map<string, string>): Promise<void> {
    const id = await this.resolve(ref, 0);
    if (id !== undefined) found.set(ref, id);
  }

  private async resolve(ref: string, depth: number): Promise<string | undefined> {
    const text = await readOptional(join(ref === 'HEAD' ? this.gitDir : this.commonDir, ref));
    if (text === undefined) return (await this.packedRefs()).get(ref);
    const value = text.trim();
    if (OBJECT_ID.test(value)) return value;
    const target = /^ref:\s*(refs\/[^\s]+)$/.exec(value)?.[1];
    if (target === undefined || target.split('/').includes('..') || depth >= SYMBOLIC_DEPTH) {
      throw corruptRepository(this.path, `the ref ${ref} holds ${JSON.stringify(value.slice(0, 80))}`);
    }
    return this.resolve(target, depth + 1);
  }

  /** The ref itself if it is a file, every file below it if it is a folder. */
  private async looseNames(name: string): Promise<string[]> {
    try {
      const entries = await readdir(join(this.commonDir, name), { withFileTypes: true });
      const below = entries
        .filter((entry) => !entry.name.endsWith('.lock'))
        .map(async (entry) => {
          const path = `${name}/${entry.name}`;
          return entry.isDirectory() ? this.looseNames(path) : [path];
        });
      return (await Promise.all(below)).flat();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOTDIR') return [name];
      if (code === 'ENOENT') return [];
      throw error;
    }
  }

  private async packedRefs(): Promise<ReadonlyMap<string, string>> {
    const file = join(this.commonDir, 'packed-refs');
    const stamp = await stat(file, { bigint: true }).then(
      (found) => `${found.ino}:${found.size}:${found.mtimeNs}`,
      () => 'none',
    );
    if (stamp === this.packed.stamp) return this.packed.refs;
    const refs = new Map<string, string>();
    for (const line of ((await readOptional(file)) ?? '').split('\n')) {
      const space = line.indexOf(' ');
      if (OBJECT_ID.test(line.slice(0, space))) refs.set(line.slice(space + 1), line.slice(0, space));
    }
    this.packed = { stamp, refs };
    return refs;
  }
}

/** The folder of a work tree, of a linked work tree (whose .git is a file), or a bare repository itself. */
export async function findGitDir(path: string, options: { upward?: boolean } = {}): Promise<string> {
  const dotGit = join(path, '.git');
  const pointer = await readOptional(dotGit);
  if (pointer !== undefined) return resolvePath(path, pointer.replace(/^gitdir:\s*/, '').trim());
  for (const folder of [dotGit, path]) {
    if ((await isFolder(join(folder, 'objects'))) || (await readOptional(join(folder, 'commondir'))) !== undefined)
      return folder;
  }
  const parent = dirname(path);
  if (!options.upward || parent === path || !(await isFolder(path))) throw missingRepository(path);
  return findGitDir(parent, options).catch(() => {
    throw missingRepository(path);
  });
}

export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** undefined where there is no such file; a folder is none. */
export async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined;
    throw error;
  }
}
