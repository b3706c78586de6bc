import { homedir } from 'node:os';

/** The SSH key that git signs with in this clone; else the person's usual one. */
export async function signingKey(clone: { config(name: string): Promise<string | null> } | null): Promise<string> {
  const configured = (await clone?.config('user.signingKey')) ?? null;
  return configured?.startsWith('/') ? configured : `${homedir()}/.ssh/id_ed25519`;
}
