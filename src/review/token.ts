import { createHash, randomBytes } from 'node:crypto';
import type { Authority, Role } from './authority.js';

/** A token as it is configured: what it allows, and its digest. */
export interface KnownToken {
  readonly name: string;
  readonly login: string;
  readonly role: Role;
  /** SHA-256, hex. */
  readonly sha256: string;
  readonly repositories: readonly string[];
  readonly environments: readonly string[];
  /** RFC 3339; null for never. */
  readonly expires: string | null;
}

export function authorityOfToken({ name, login, role, repositories, environments, expires }: KnownToken): Authority {
  return { token: name, login, roles: [{ role, repositories, environments }], expires };
}

/** 256 random bits: neither guessed nor found by its digest. */
export function newToken(): string {
  return `cs_${randomBytes(32).toString('base64url')}`;
}

/** SHA-256, hex: what is kept of a token. */
export function tokenDigest(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
