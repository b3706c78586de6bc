import type { OrganisationRules } from '../change/environments.js';
import type { Json, JsonObject } from '../cluster/object.js';
import { CountersignError, type Place } from '../errors.js';
import type { SettingsText } from '../settings.js';
import type { StarterChoice, StarterProfile } from './bundle.js';
import type { Rule } from './decision.js';
import { given } from './given.js';

/**
 * The organisation's files are named `organisation:policies/…` wherever a place is told. No path in a repository may begin so: it
 * could otherwise pass its own file off as the organisation's.
 */
export const ORGANISATION_PREFIX = 'organisation:';

/** What an organisation lays above the policy of its repositories, at the last approved commit of its own. */
export interface OrganisationPolicy {
  /** As the service calls it. */
  readonly repository: string;
  readonly commit: string;
  /** Its policy folder as texts, by path under the prefix. */
  readonly files: ReadonlyMap<string, string>;
  /** The prefix and the folder they lie in. */
  readonly root: string;
  readonly rules: OrganisationRules;
}

export const NO_RULES: OrganisationRules = {
  starter: { profile: 'off', off: [], data: {} },
  allow: { exceptions: [], off: [], settings: [] },
};

/** Settings whose default is stricter than what one could write there; the others only make rules speak that are silent without. */
const LOOSENING: ReadonlySet<string> = new Set(['break_glass', 'protected', 'production', 'max_deletions']);

const PROFILES: readonly StarterProfile[] = ['off', 'baseline', 'strict'];

/** The stricter of two profiles. */
export function higher(a: StarterProfile, b: StarterProfile): StarterProfile {
  return PROFILES[Math.max(PROFILES.indexOf(a), PROFILES.indexOf(b))];
}

/** What a repository chooses, never less than what the organisation does. */
export function flooredChoice(own: StarterChoice, organisation: OrganisationPolicy | undefined): StarterChoice {
  if (!organisation) return own;
  const { starter, allow } = organisation.rules;
  return { ...own, floor: { profile: starter.profile, off: starter.off, mayTurnOff: allow.off } };
}

/** The starter rules' settings: a repository's where the organisation leaves them to it. */
export function flooredSettings(own: JsonObject, organisation: OrganisationPolicy | undefined): JsonObject {
  if (!organisation) return own;
  const left = Object.entries(own).filter(([key]) => !isTaken(key, organisation.rules));
  return { ...organisation.rules.starter.data, ...Object.fromEntries(left) };
}

function isTaken(setting: string, { starter, allow }: OrganisationRules): boolean {
  if (allows(allow.settings, setting)) return false;
  return Object.hasOwn(starter.data, setting) || (starter.profile !== 'off' && LOOSENING.has(setting));
}

function allows(list: readonly string[], name: string): boolean {
  return list.includes('*') || list.includes(name);
}

/** Why nobody in a repository may except a rule; null where they may. */
export function withheldBy(organisation: OrganisationPolicy | undefined): (rule: Rule) => string | null {
  return ({ id, organisation: theirs }) => {
    if (!organisation || !theirs || allows(organisation.rules.allow.exceptions, id)) return null;
    return `${id} is a rule of the organisation (${organisation.repository}), which allows no exception from it here`;
  };
}

/** What a repository's own choice says against the organisation's. It has no effect; whoever brings it is told so. */
export function overruled(
  own: { readonly off: readonly string[]; readonly data: JsonObject },
  organisation: OrganisationPolicy | undefined,
  rules: readonly Rule[],
  written: SettingsText,
): readonly CountersignError[] {
  if (!organisation) return [];
  const at = ['policies', 'starter'];
  const refuse = (message: string, path: readonly PropertyKey[]): CountersignError =>
    new CountersignError('config-invalid', message, {
      place: written.place([...at, ...path]),
      remedy: `Remove it, or have it allowed in ${organisation.repository}, under organisation.allow of its countersign.yaml`,
    });
  const theirs = new Set(rules.filter((rule) => rule.organisation).map(({ id }) => id));
  return [
    ...own.off.flatMap((id, i) =>
      theirs.has(id) ? [refuse(`${id} cannot be switched off here: the organisation wants it`, ['off', i])] : [],
    ),
    ...Object.keys(own.data).flatMap((key) =>
      isTaken(key, organisation.rules) ? [refuse(`the setting ${key} is the organisation's`, ['data', key])] : [],
    ),
  ];
}

/** Data names that a repository may not give: whatever the organisation's rules and data are, and what its starters read. */
export function reservedData(
  organisation: OrganisationPolicy,
  data: JsonObject,
  starters: Iterable<string>,
): string[][] {
  const rego = [...organisation.files].filter(([path]) => path.endsWith('.rego')).map(([, text]) => text);
  const packages = [...rego, ...starters].map(packagePath).filter((path) => path.length > 0);
  return [
    ['countersign', 'settings'],
    ...Object.keys(data)
      .filter((key) => key !== 'countersign')
      .map((key) => [key]),
    ...packages,
  ];
}

/** `package a.b["c-d"]` as names. */
function packagePath(text: string): string[] {
  const [, written = ''] = /^package\s+(.+)$/m.exec(text) ?? [];
  return [...written.matchAll(/\["((?:[^"\\]|\\.)*)"\]|[\w]+/g)].map(([word, quoted]) => quoted ?? word);
}

/** Throws `rego-invalid` for data of a repository that lies at, or below, what is reserved, or holds it. */
export function refuseReserved(
  data: Json,
  reserved: readonly (readonly string[])[],
  placeOf: (path: readonly string[]) => Place,
): void {
  for (const names of reserved) {
    const path = given(data, names);
    if (!path) continue;
    throw new CountersignError('rego-invalid', `data.${path.join('.')} is the organisation's`, {
      place: placeOf(path),
      remedy: 'Give the data another name: what the organisation’s rules read is not for a repository to add to',
    });
  }
}
