import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';
import type { EnvelopeKey } from '../audit/dsse.js';
import { CountersignError } from '../errors.js';
import { faultsError, faultsOf, readSettings } from '../settings.js';
import type { TreeReader } from '../source/repository.js';
import { readText } from './governed-files.js';

/** Who may say what about how images were made: governed, as signers are. */
export const ATTESTERS_PATH = '.countersign/attesters.yaml';
export const PROVENANCE = 'https://slsa.dev/provenance/v1';

/** A key that is believed, and what it is believed about. */
export interface Attester {
  readonly name: string;
  readonly key: EnvelopeKey;
  /** in-toto predicate types that it may state. */
  readonly predicates: readonly string[];
  /** Builders (`runDetails.builder.id`) that it may speak for in provenance, `*` standing for any text; none: any. */
  readonly builders: readonly string[];
}

export interface Attesters {
  /** Where envelopes lie in the repository. */
  readonly folder: string;
  readonly attesters: readonly Attester[];
}

const FOLDER = 'attestations';

const schema = z.strictObject({
  apiVersion: z.literal('countersign.dev/v1'),
  folder: z
    .string()
    .regex(/^(?!\.countersign(\/|$))(?!\/)[^\0]+$/, 'it must be a folder of the repository that is not governed itself')
    .default(FOLDER),
  attesters: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(100),
        key: z.string(),
        predicates: z.array(z.string().min(1)).min(1).default([PROVENANCE]),
        builders: z.array(z.string().min(1)).default([]),
      }),
    )
    .min(1),
});

/** Null: the repository names none, and no attestation is looked at. Throws `config-invalid` with file and line. */
export async function readAttesters(tree: TreeReader, commit: string): Promise<Attesters | null> {
  const text = await readText(tree, commit, ATTESTERS_PATH);
  return text === null ? null : parseAttesters(text);
}

export function parseAttesters(text: string): Attesters {
  const settings = readSettings(text, ATTESTERS_PATH);
  const parsed = schema.safeParse(settings.value, { reportInput: true });
  const faults = parsed.success ? [] : faultsOf(parsed.error, schema);
  const attesters: Attester[] = [];
  const { attesters: written, folder } = parsed.data ?? { attesters: [], folder: FOLDER };
  written.forEach(({ name, key, predicates, builders }, i) => {
    if (written.findIndex((other) => other.name === name) < i) {
      faults.push({ path: ['attesters', i, 'name'], message: `"${name}" is already the name of another` });
    }
    try {
      attesters.push({ name, key: publicKey(name, key), predicates, builders });
    } catch (thrown) {
      const message = thrown instanceof CountersignError ? thrown.message : 'it is no public key in PEM';
      faults.push({ path: ['attesters', i, 'key'], message });
    }
  });
  if (faults.length > 0) throw faultsError(faults, settings, 'See docs/attestations.md for an example');
  return { folder: folder.replace(/\/+$/, ''), attesters };
}

/** Ed25519, ECDSA over P-256, P-384 and P-521, RSA of 2048 bits or more: what cosign and in-toto sign with. */
function publicKey(keyid: string, pem: string): EnvelopeKey {
  // createPublicKey would derive one from a private key, which has no business in a repository.
  if (!pem.includes('-----BEGIN PUBLIC KEY-----'))
    throw new CountersignError('config-invalid', 'it is no public key in PEM (BEGIN PUBLIC KEY)');
  const key = createPublicKey(pem);
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ed25519') return { keyid, verify: (message, signature) => holds(null, message, key, signature) };
  const hashes = { prime256v1: ['sha256'], secp384r1: ['sha384', 'sha256'], secp521r1: ['sha512', 'sha256'] }[details?.namedCurve ?? '']; // prettier-ignore
  if (type === 'ec' && hashes) {
    return { keyid, verify: (message, signature) => hashes.some((hash) => holds(hash, message, key, signature)) };
  }
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048) {
    return { keyid, verify: (message, signature) => ['sha256', 'sha512'].some((hash) => holds(hash, message, key, signature)) }; // prettier-ignore
  }
  throw new CountersignError('config-invalid', 'it must be Ed25519, ECDSA over a NIST curve, or RSA of at least 2048 bits'); // prettier-ignore
}

function holds(hash: string | null, message: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  try {
    return verify(hash, message, key, signature);
  } catch {
    return false; // a signature of another form is none of this key
  }
}
