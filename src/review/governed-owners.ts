import type { Environment } from '../change/environment.js';
import { GOVERNANCE } from '../change/environment.js';
import {
  GROUPS_PATH,
  type Groups,
  type Owners,
  OWNERS_PATH,
  ownersAsked,
  parseGroups,
  parseOwners,
} from '../change/owners.js';
import type { ProposedChange } from '../change/proposed-change.js';
import type { Circumstances } from '../policy/input.js';
import { isUnder } from '../source/path.js';
import type { TreeReader } from '../source/repository.js';
import { isGoverned, readText } from './governed-files.js';
import type { Law } from './law.js';

/** Who owns what and who belongs together, as a repository says at one commit. Null: it does not say. */
export interface Belonging {
  readonly owners: Owners | null;
  readonly groups: Groups | null;
}

/** Throws `config-invalid` with file and line. */
export async function readBelonging(tree: TreeReader, commit: string): Promise<Belonging> {
  const [groupsText, ownersText] = [
    await readText(tree, commit, GROUPS_PATH),
    await readText(tree, commit, OWNERS_PATH),
  ];
  const groups = groupsText === null ? null : parseGroups(groupsText);
  return { groups, owners: ownersText === null ? null : parseOwners(ownersText, groups ?? {}) };
}

/** What policy is told of it: nothing where the repository says nothing. */
export function belongingInput(
  change: ProposedChange,
  { belonging: { owners, groups }, settings, environments }: Pick<Law, 'belonging' | 'settings' | 'environments'>,
): Pick<Circumstances, 'owners' | 'groups'> {
  const { environment, commits } = change;
  const paths = new Set(commits.flatMap(({ files }) => files.map(({ path }) => path)));
  const touched = [...paths].filter((path) =>
    environment.name === GOVERNANCE
      ? isGoverned(path, settings)
      : !isGoverned(path, settings) && concerns(path, environment, environments),
  );
  return {
    ...(owners ? { owners: ownersAsked(owners, environment.name, touched.toSorted()) } : {}),
    ...(groups ? { groups } : {}),
  };
}

/** What lies in another environment is that one's to ask about; what lies in none may be shared by all. */
function concerns(path: string, environment: Environment, environments: readonly Environment[]): boolean {
  return isUnder(path, environment.path) || !environments.some((other) => isUnder(path, other.path));
}
