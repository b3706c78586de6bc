import { z } from 'zod';
import { type Fault, faultsError, faultsOf, readSettings } from '../settings.js';

/** Where a repository keeps its identity map. */
export const IDENTITIES_PATH = '.countersign/identities.yaml';

/** What somebody was seen as: any of it may be known. */
export interface IdentityClaim {
  /** An address or another name as `.countersign/allowed_signers` or a key's user id gives it. */
  readonly principal?: string;
  /** A key's fingerprint: `SHA256:…`, or hexadecimal for OpenPGP and X.509. */
  readonly key?: string;
  /** How the person logs in to this service. */
  readonly login?: string;
  readonly account?: { readonly forge: string; readonly name: string };
}

/** Which keys, addresses, logins and forge accounts are one person's. Made by `parseIdentities` only. */
export interface Identities {
  /** Ids of all persons. */
  readonly people: readonly string[];
  /** From each handle to the one person whose it is. */
  readonly owners: ReadonlyMap<string, string>;
}

export const NO_IDENTITIES: Identities = { people: [], owners: new Map() };

const REMEDY = 'See docs/signatures.md for the format';
// eslint-disable-next-line no-control-regex
const PLAIN = /^[^\s\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff*?!]+$/u;

const name = z
  .string()
  .regex(PLAIN, { error: 'it must be one exact name, without spaces, wildcards or hidden characters' });
const names = z.array(name).default([]);
const key = z.string().refine((text) => keyHandle(text) !== undefined, {
  error: 'it must be SHA256:… as ssh-keygen -l prints it, or the 40 or 64 hexadecimal digits of a fingerprint',
});
const schema = z.strictObject({
  apiVersion: z.literal('countersign.dev/v1'),
  people: z
    .array(
      z.strictObject({
        person: name,
        principals: names,
        keys: z.array(key).default([]),
        logins: names,
        accounts: z.record(z.string().min(1, { error: 'it must not be empty' }), names).default({}),
      }),
    )
    .default([]),
});

/**
 * Reads an identity map. What stands for two people would let one of them approve their own change under the other's name, so
 * it is an error, not a choice. Throws `config-invalid` that names every fault at once, each with file and line.
 */
export function parseIdentities(text: string, file = IDENTITIES_PATH): Identities {
  const settings = readSettings(text, file);
  const parsed = schema.safeParse(settings.value, { reportInput: true });
  if (!parsed.success) throw faultsError(faultsOf(parsed.error, schema), settings, REMEDY);
  const faults: Fault[] = [];
  const owners = new Map<string, string>();
  const people = new Set<string>();
  parsed.data.people.forEach(({ person, principals, keys, logins, accounts }, i) => {
    const at = ['people', i] as const;
    if (people.has(person)) faults.push({ path: [...at, 'person'], message: `"${person}" is listed twice` });
    people.add(person);
    const claim = (handle: string, written: string, path: readonly PropertyKey[]): void => {
      const owner = owners.get(handle);
      if (owner !== undefined && owner !== person)
        faults.push({ path, message: `"${written}" is both ${owner}'s and ${person}'s` });
      owners.set(handle, owner ?? person);
    };
    principals.forEach((one, j) => claim(principalHandle(one), one, [...at, 'principals', j]));
    keys.forEach((one, j) => claim(keyHandle(one)!, one, [...at, 'keys', j]));
    logins.forEach((one, j) => claim(loginHandle(one), one, [...at, 'logins', j]));
    for (const [forge, accountNames] of Object.entries(accounts))
      accountNames.forEach((one, j) => claim(accountHandle(forge, one), one, [...at, 'accounts', forge, j]));
  });
  if (faults.length > 0) throw faultsError(faults, settings, REMEDY);
  return { people: [...people], owners };
}

/** Everybody whom some part of the claim names: who must be kept from approving is any of them. */
export function peopleOf({ owners }: Identities, claim: IdentityClaim): readonly string[] {
  const handles = [
    claim.principal === undefined ? undefined : principalHandle(claim.principal),
    claim.key === undefined ? undefined : keyHandle(claim.key),
    claim.login === undefined ? undefined : loginHandle(claim.login),
    claim.account && accountHandle(claim.account.forge, claim.account.name),
  ];
  const found = handles.map((handle) => (handle === undefined ? undefined : owners.get(handle)));
  return [...new Set(found.filter((person) => person !== undefined))];
}

/** The one person whom the claim names; undefined for nobody, and for a claim whose parts name different people. */
export function personOf(identities: Identities, claim: IdentityClaim): string | undefined {
  const people = peopleOf(identities, claim);
  return people.length === 1 ? people[0] : undefined;
}

/** No mail system and no forge keeps two people apart by case alone. */
function principalHandle(principal: string): string {
  return `principal ${principal.toLowerCase()}`;
}

function accountHandle(forge: string, account: string): string {
  return `account ${forge.toLowerCase()} ${account.toLowerCase()}`;
}

/** Whoever gives out logins may. */
function loginHandle(login: string): string {
  return `login ${login}`;
}

function keyHandle(fingerprint: string): string | undefined {
  const normal = normalFingerprint(fingerprint);
  return normal && `key ${normal}`;
}

/** A fingerprint in its one spelling, whatever program printed it; undefined for what is none. */
export function normalFingerprint(text: string): string | undefined {
  if (/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(text)) return text.replace(/=$/, '');
  const digits = text.replaceAll(/[\s:]/g, '').toUpperCase();
  return /^(?:[0-9A-F]{40}|[0-9A-F]{64})$/.test(digits) ? digits : undefined;
}
