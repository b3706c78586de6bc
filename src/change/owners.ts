import { z } from 'zod';
import { CountersignError } from '../errors.js';
import { faultsError, faultsOf, readSettings } from '../settings.js';
import { globMatcher } from './glob.js';

/** Where a repository says who owns which of its paths, and which groups there are. */
export const OWNERS_PATH = '.countersign/owners';
export const GROUPS_PATH = '.countersign/groups.yaml';

/** Members by group, each a principal or a person of the identity map, lower case. */
export type Groups = Readonly<Record<string, readonly string[]>>;

interface OwnerRule {
  readonly pattern: string;
  readonly line: number;
  /** As written: addresses, and groups with an `@` before them. Empty: nobody, on purpose. */
  readonly owners: readonly string[];
  readonly matches: (path: string) => boolean;
}

interface Section {
  readonly name: string;
  readonly approvals: number;
  /** Globs of the environments that it is about; null: all. */
  readonly environments: readonly string[] | null;
  readonly rules: readonly OwnerRule[];
}

/** An owners file with its groups resolved. Made by `parseOwners` only. */
export interface Owners {
  readonly sections: readonly Section[];
  readonly groups: Groups;
}

/** What one rule of the owners file asks for a change, as the policy input shows it. */
export interface OwnersAsked {
  readonly pattern: string;
  readonly line: number;
  readonly section: string;
  readonly approvals: number;
  readonly owners: readonly string[];
  /** Everybody whom the owners stand for. */
  readonly people: readonly string[];
  /** How many changed files it decides about, and the first of them. */
  readonly files: number;
  readonly paths: readonly string[];
}

const PATHS_SHOWN = 20;
const SECTION = /^(\^)?\[([^\]]+)\](?:\[(\d+)\])?\s*(.*)$/;
const REMEDY = 'See docs/approvals.md for the format';

const groupsSchema = z.strictObject({
  apiVersion: z.literal('countersign.dev/v1'),
  groups: z.record(z.string(), z.array(z.string().min(1, { error: 'it must not be empty' }))).default({}),
});

/** Throws `config-invalid` with file and line. */
export function parseGroups(text: string, file = GROUPS_PATH): Groups {
  const settings = readSettings(text, file);
  const parsed = groupsSchema.safeParse(settings.value, { reportInput: true });
  if (!parsed.success) throw faultsError(faultsOf(parsed.error, groupsSchema), settings, REMEDY);
  return Object.fromEntries(
    Object.entries(parsed.data.groups).map(([name, members]) => [
      name.replace(/^@/, '').toLowerCase(),
      members.map((member) => member.toLowerCase()),
    ]),
  );
}

/**
 * Reads the CODEOWNERS of GitHub with the sections of GitLab: a path pattern and its owners a line, the last line of a section that
 * matches decides; `[Name][2] owners` begins a section with how many must approve, and a section `[environment shop/*]` is about
 * these environments only. Throws `config-invalid` with file and line for what would be read otherwise elsewhere.
 */
export function parseOwners(text: string, groups: Groups, file = OWNERS_PATH): Owners {
  const sections: (Section & { rules: OwnerRule[]; inherited: readonly string[] })[] = [];
  const begin = (name: string, approvals: number, inherited: readonly string[]): void => {
    const [, globs] = /^environment\s+(.+)$/.exec(name) ?? [];
    const environments = globs === undefined ? null : globs.split(/[\s,]+/);
    sections.push({ name, approvals, environments, rules: [], inherited });
  };
  begin('', 1, []);
  text.split(/\r?\n/).forEach((raw, i) => {
    const line = i + 1;
    const content = raw.trim();
    if (content === '' || content.startsWith('#')) return;
    const fail = (what: string, remedy: string): CountersignError =>
      new CountersignError('config-invalid', what, { place: { file, line }, remedy });
    const section = SECTION.exec(content);
    const words = wordsOf(section ? section[4] : content);
    const owners = (section ? words : words.slice(1)).map((owner) => readOwner(owner, groups, fail));
    if (section) {
      // An optional section asks for nothing; what it would say must not be taken for a demand.
      begin(section[2].trim(), section[1] ? 0 : Number(section[3] ?? 1), owners);
      return;
    }
    const current = sections.at(-1)!;
    const [pattern] = words;
    const decided = owners.length > 0 ? owners : current.inherited;
    current.rules.push({ pattern, line, owners: decided, matches: patternMatcher(pattern, fail) });
  });
  return { sections: sections.filter(({ rules }) => rules.length > 0), groups };
}

/** Which owners are asked when these paths change in that environment. */
export function ownersAsked(owners: Owners, environment: string, paths: readonly string[]): readonly OwnersAsked[] {
  const asked: OwnersAsked[] = [];
  for (const { name, approvals, environments, rules } of owners.sections) {
    if (approvals === 0 || environments?.some((glob) => globMatcher(glob)(environment)) === false) continue;
    const byRule = new Map<OwnerRule, string[]>();
    for (const path of paths) {
      const rule = rules.findLast(({ matches }) => matches(path));
      if (rule && rule.owners.length > 0) byRule.set(rule, [...(byRule.get(rule) ?? []), path]);
    }
    for (const [{ pattern, line, owners: written }, files] of byRule) {
      asked.push({
        pattern,
        line,
        section: name,
        approvals,
        owners: written,
        people: [...new Set(written.flatMap((owner) => membersOf(owner, owners.groups)))].toSorted(),
        files: files.length,
        paths: files.slice(0, PATHS_SHOWN),
      });
    }
  }
  return asked;
}

/** Whose a file is, by what the owners file asked when it changed: in each section the last line that fits. */
export function ownersOfPath(asked: readonly OwnersAsked[], path: string): readonly string[] {
  const deciding = new Map<string, OwnersAsked>();
  for (const one of asked) {
    // Of many files only the first are named.
    const fits =
      one.paths.includes(path) || (one.files > one.paths.length && patternMatcher(one.pattern, refused)(path));
    if (fits && one.line > (deciding.get(one.section)?.line ?? 0)) deciding.set(one.section, one);
  }
  return [...new Set([...deciding.values()].flatMap(({ owners }) => owners))];
}

const refused: Fail = (what) => new CountersignError('internal', what);

type Fail = (what: string, remedy: string) => CountersignError;

function readOwner(owner: string, groups: Groups, fail: Fail): string {
  if (!owner.startsWith('@')) {
    if (/^[^@\s]+@[^@\s]+$/.test(owner)) return owner.toLowerCase();
    throw fail(`${JSON.stringify(owner)} is neither an address nor a @group`, 'Write bo@example.org, or @team');
  }
  const group = owner.slice(1).toLowerCase();
  if (Object.hasOwn(groups, group)) return `@${group}`;
  const known = Object.keys(groups).map((name) => `@${name}`);
  throw fail(
    `there is no group ${owner}`,
    `Define it in ${GROUPS_PATH}${known.length ? ` (there are ${known.join(', ')})` : ''}`,
  );
}

function membersOf(owner: string, groups: Groups): readonly string[] {
  return owner.startsWith('@') ? groups[owner.slice(1)] : [owner];
}

/** A backslash keeps a blank in its word; a `#` begins a comment. */
function wordsOf(text: string): string[] {
  const words = text.match(/(?:\\.|[^\s\\])+/g) ?? [];
  const comment = words.findIndex((word) => word.startsWith('#'));
  return (comment < 0 ? words : words.slice(0, comment)).map((word) => word.replace(/\\(.)/g, '$1'));
}

/** As gitignore reads a pattern, but for what CODEOWNERS leaves out: `!` and `[…]`. */
function patternMatcher(pattern: string, fail: Fail): (path: string) => boolean {
  if (/^!|[[\]{}]/.test(pattern))
    throw fail(
      `the pattern ${pattern} has a ! or brackets, which owners files do not know`,
      'Write a line for each path',
    );
  const folder = pattern.endsWith('/');
  const plain = pattern.replace(/^\//, '').replace(/\/$/, '');
  const anchored = pattern.startsWith('/') || plain.includes('/');
  const glob = anchored ? plain : `**/${plain}`;
  const [itself, within] = [globMatcher(glob), globMatcher(`${glob}/**`)];
  // docs/* is what lies in docs, and not what lies deeper.
  const shallow = plain.endsWith('/*');
  return (path) => (!folder && itself(path)) || (!shallow && path !== plain && within(path));
}
