import { CountersignError } from '../errors.js';
import { isUnder } from '../source/path.js';
import type { TreeEntry, TreeReader } from '../source/repository.js';
import type { Environment } from './environment.js';

/** One environment at the commit that its branch holds. */
export interface EnvironmentAt {
  readonly environment: Environment;
  readonly commit: string;
}

/** How what one environment holds is proposed for another. */
export type Promotion =
  /** They are the same folder of two branches: the one branch moves to the other's commit. */
  | { readonly kind: 'branch'; readonly commit: string }
  /** They are two folders: the files of the one take the place of the other's. */
  | { readonly kind: 'folder'; readonly tree: TreeReader };

/** Throws `environment-invalid` where the two are one, or one folder lies in the other. */
export function promotion(reader: TreeReader, from: EnvironmentAt, to: EnvironmentAt): Promotion {
  const [source, target] = [from.environment, to.environment];
  if (source.path === target.path) {
    if (source.ref !== target.ref) return { kind: 'branch', commit: from.commit };
    throw invalid(source, target, 'have the same folder and branch', 'There is nothing to promote');
  }
  if (isUnder(source.path, target.path) || isUnder(target.path, source.path)) {
    throw invalid(source, target, 'lie in each other', 'Propose that change by hand');
  }
  return { kind: 'folder', tree: new PromotedTree(reader, from, to) };
}

/** The tree of the commit that `to` holds, but for its folder, which is that of `from`. Commit ids asked for do not count. */
class PromotedTree implements TreeReader {
  constructor(
    private readonly reader: TreeReader,
    private readonly from: EnvironmentAt,
    private readonly to: EnvironmentAt,
  ) {}

  async tree(_commit: string, path: string): Promise<TreeEntry[]> {
    const { reader, from, to } = this;
    const [source, target] = [from.environment.path, to.environment.path];
    const kept = (await reader.tree(to.commit, path)).filter((entry) => !isUnder(entry.path, target));
    if (!isUnder(target, path) && !isUnder(path, target)) return kept;
    const moved = (await reader.tree(from.commit, source))
      .map((entry) => ({ ...entry, path: target + entry.path.slice(source.length) }))
      .filter((entry) => isUnder(entry.path, path));
    return [...kept, ...moved].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  blob(id: string, limit?: number): Promise<Buffer> {
    return this.reader.blob(id, limit);
  }
}

/** What proposes it on a branch of its own, line by line for a shell in a clean clone. */
export function promotionCommands(promoted: Promotion, from: EnvironmentAt, to: EnvironmentAt): string[] {
  const branch = `promote/${to.environment.name}`;
  if (promoted.kind === 'branch') return [`git push origin ${from.commit}:refs/heads/${quoted(branch)}`];
  const [source, target] = [from.environment.path, to.environment.path];
  return [
    `git switch -c ${quoted(branch)} ${to.commit}`,
    `git rm -rq -- ${quoted(target)}`,
    `git read-tree -u --prefix=${quoted(`${target}/`)} ${quoted(`${from.commit}:${source}`)}`,
    `git commit -S -m ${quoted(`Promote ${from.environment.name} to ${to.environment.name}`)}`,
    `git push origin ${quoted(branch)}`,
  ];
}

/** For a shell, whatever characters a folder has. */
function quoted(text: string): string {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function invalid(from: Environment, to: Environment, what: string, remedy: string): CountersignError {
  return new CountersignError('environment-invalid', `${from.name} and ${to.name} ${what}`, { remedy });
}
