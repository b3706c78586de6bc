import { z } from 'zod';
import { CountersignError } from '../errors.js';
import { roles } from '../review/authority.js';

/** Who holds a role, and where it counts. */
export interface AccessGrant {
  /** A token, a group of the issuer, whoever is on the machine, or who may let a change of governance in that policy does not allow. */
  readonly kind: 'token' | 'group' | 'machine' | 'override';
  /** What the token, the group, or the person is called. */
  readonly name: string;
  readonly login: string | null;
  readonly role: (typeof roles)[number];
  readonly repositories: readonly string[];
  readonly environments: readonly string[];
  /** RFC 3339. */
  readonly expires: string | null;
  readonly expired: boolean;
}

/** Who had what at an instant: as the service was configured at its last start before it. */
export interface AccessList {
  readonly at: string;
  /** Of the entry of that start. */
  readonly index: number;
  readonly since: string;
  readonly grants: readonly AccessGrant[];
}

/** The port to what the service logged of its starts. */
export interface Configurations {
  /** The one in force at an instant, newest start first; null before the first. Throws `content-missing` where it was erased. */
  at(
    instant: string,
  ): Promise<{ readonly index: number; readonly time: string; readonly configuration: unknown } | null>;
}

const place = { repositories: z.array(z.string()), environments: z.array(z.string()) };
const token = z.object({ name: z.string(), login: z.string(), role: z.enum(roles), expires: z.string(), ...place });
const administrators = z.object({
  name: z.string(),
  administrators: z.array(z.object({ name: z.string() })).default([]),
});
const schema = z.object({
  // Before there were roles, there were tokens for approving alone, and reading was open to the machine.
  tokens: z.array(token).default([]),
  access: z
    .object({
      configured: z.boolean(),
      loopback: z.enum(['read', 'token']),
      tokens: z.array(token),
      oidc: z
        .object({ issuer: z.string(), roles: z.array(z.object({ group: z.string(), role: z.enum(roles), ...place })) })
        .optional(),
    })
    .optional(),
  repositories: z.array(administrators).default([]),
  organisation: administrators.optional(),
});

/** Throws `not-found` for an instant before the service first started. */
export async function accessListAt(at: string, configurations: Configurations): Promise<AccessList> {
  const found = await configurations.at(at);
  if (!found) {
    throw new CountersignError('not-found', `at ${at} this service had not started yet`, {
      remedy: 'Ask for a later instant',
    });
  }
  return { at, index: found.index, since: found.time, grants: grantsIn(found.configuration, at) };
}

export function grantsIn(configuration: unknown, at: string): readonly AccessGrant[] {
  const { access, tokens, repositories, organisation } = schema.parse(configuration);
  const all = { repositories: ['*'], environments: ['*'] };
  const lasting = { expires: null, expired: false };
  const open = access === undefined || access.loopback === 'read';
  return [
    ...(access?.tokens ?? tokens).map(({ expires, ...rest }) => ({
      kind: 'token' as const,
      ...rest,
      expires,
      expired: Date.parse(expires) <= Date.parse(at),
    })),
    ...(access && !access.configured
      ? [{ kind: 'token' as const, name: 'administrator', login: 'administrator', role: 'administrator' as const, ...all, ...lasting }] // prettier-ignore
      : []),
    ...(access?.oidc?.roles ?? []).map(({ group, ...rest }) => ({
      kind: 'group' as const,
      name: group,
      login: null,
      ...rest,
      ...lasting,
    })),
    ...(open ? [{ kind: 'machine' as const, name: 'loopback', login: null, role: 'auditor' as const, ...all, ...lasting }] : []), // prettier-ignore
    ...[...repositories, ...(organisation ? [organisation] : [])].flatMap(
      ({ name: repository, administrators: people }) =>
        people.map(({ name }) => ({
          kind: 'override' as const,
          name,
          login: null,
          role: 'administrator' as const,
          repositories: [repository],
          environments: ['governance'],
          ...lasting,
        })),
    ),
  ];
}
