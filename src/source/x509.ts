import { createHash, verify } from 'node:crypto';
import { CountersignError } from '../errors.js';
import { Asn1, at, malformed } from './asn1.js';
import { decodeBase64 } from './ssh-wire.js';
import { refuse, type Signed, type Standing, time } from './standing.js';
import { type Certificate, parseCertificate } from './x509-certificate.js';

const ARMOUR = /^-----BEGIN SIGNED MESSAGE-----\n([A-Za-z0-9+/=\n]+)-----END SIGNED MESSAGE-----\n*$/;
const LIMIT = 256 * 1024;
const DEPTH = 8;
const SHORT_LIVED = 86_400;
const OID = {
  signedData: '1.2.840.113549.1.7.2',
  data: '1.2.840.113549.1.7.1',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
} as const;
const HASHES: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
/** Type of key and hash that an algorithm is for; '' where that says the digest's algorithm alone. */
const ALGORITHMS: Readonly<Record<string, readonly [string, string]>> = {
  '1.2.840.113549.1.1.1': ['rsa', ''],
  '1.2.840.113549.1.1.11': ['rsa', 'sha256'],
  '1.2.840.113549.1.1.12': ['rsa', 'sha384'],
  '1.2.840.113549.1.1.13': ['rsa', 'sha512'],
  '1.2.840.10045.4.3.2': ['ec', 'sha256'],
  '1.2.840.10045.4.3.3': ['ec', 'sha384'],
  '1.2.840.10045.4.3.4': ['ec', 'sha512'],
  '1.3.101.112': ['ed25519', ''],
};
const WEAK_ALGORITHM = /sha-?1(?!\d)|md[245]|dsa-with-sha(?!\d)/i;

interface Authorities {
  readonly x509: readonly Certificate[];
  readonly revoked: ReadonlySet<string>;
}

/** A detached CMS signature (RFC 5652) by one signer, taken apart. */
interface Cms {
  readonly certificates: readonly Certificate[];
  readonly signer: Certificate;
  readonly hash: string;
  readonly algorithm: string;
  /** The signed attributes as they are signed: a set, in DER. */
  readonly attributes: Buffer;
  readonly messageDigest: Buffer;
  readonly signature: Buffer;
}

/**
 * Checks a CMS signature: that it is over exactly this, and that its certificate comes from a governed authority and was valid
 * when the log first saw it. Revocation lists are not fetched: `revoked_signers` names what no longer counts. Throws
 * `signature-malformed`.
 */
export function checkX509(signed: Signed, authorities: Authorities, seen: Date): Standing {
  try {
    return check(signed, authorities, seen);
  } catch (cause) {
    // What OpenSSL and the ASN.1 reader make of damaged bytes is not all foreseen; it must stop no reading.
    throw cause instanceof CountersignError ? cause : malformed((cause as Error).message);
  }
}

function check({ signature, payload, what }: Signed, { x509, revoked }: Authorities, seen: Date): Standing {
  const cms = parseCms(signature);
  const { signer } = cms;
  const key = signer.fingerprint;
  if (!createHash(cms.hash).update(payload).digest().equals(cms.messageDigest) || !isMadeBy(signer, cms))
    return { key, ...refuse(`the signature is not of this ${what}`) };
  const chains = chainsOf([signer], [...x509, ...cms.certificates], x509);
  if (chains.length === 0)
    return {
      key,
      status: 'unknown_key',
      reason: 'the certificate comes from none of the authorities in .countersign/x509',
    };
  const standings = chains.map((chain) => standing(chain, revoked, seen));
  // A revoked authority must not be got round by another way up to the same key.
  const best =
    standings.find(({ status }) => status === 'revoked') ?? standings.find(({ status }) => status === 'verified');
  return { key, ...(best ?? standings[0]) };
}

function standing(chain: readonly Certificate[], revoked: ReadonlySet<string>, seen: Date): Standing {
  const [signer] = chain;
  if (chain.some(({ fingerprint }) => revoked.has(fingerprint)))
    return { status: 'revoked', reason: 'the certificate or its authority is revoked' };
  const unusable = chain.find((one) => one.unusable !== undefined)?.unusable ?? signer.notForSigning;
  if (unusable !== undefined) return refuse(unusable);
  if (chain.slice(0, -1).some(({ certificate }) => WEAK_ALGORITHM.test(certificate.signatureAlgorithm ?? '')))
    return refuse('a certificate is signed with SHA-1 or MD5, which can be forged');
  // The signer is no authority, so the first authority stands above none.
  if (chain.some(({ pathLength }, i) => i > 0 && pathLength < i - 1))
    return refuse('the chain of authorities is too long');
  const seconds = seen.getTime() / 1000;
  const early = chain.find(({ from }) => seconds < from);
  if (early) return refuse(`the certificate is valid only after ${time(early.from)}`);
  const late = chain.find(({ until }) => seconds > until);
  if (late === signer && signer.until - signer.from <= SHORT_LIVED) {
    return refuse(
      `the certificate was valid only until ${time(late.until)}: without a time-stamp or log time that this version can verify, nothing says that it signed before`,
    );
  }
  if (late) return { status: 'expired', reason: `the certificate was valid only before ${time(late.until)}` };
  const [principal] = signer.names;
  return principal === undefined ? refuse('the certificate names no address') : { status: 'verified', principal };
}

/** Every way from the signer up to a trusted authority. */
function chainsOf(
  chain: readonly Certificate[],
  known: readonly Certificate[],
  trusted: readonly Certificate[],
): Certificate[][] {
  const last = chain[chain.length - 1];
  if (chain.length > 1 && trusted.some(({ fingerprint }) => fingerprint === last.fingerprint)) return [[...chain]];
  if (chain.length >= DEPTH) return [];
  return known
    .filter(
      (issuer, i) =>
        known.findIndex(({ fingerprint }) => fingerprint === issuer.fingerprint) === i &&
        !chain.some(({ fingerprint }) => fingerprint === issuer.fingerprint) &&
        issuer.certificate.ca &&
        last.certificate.checkIssued(issuer.certificate) &&
        last.certificate.verify(issuer.certificate.publicKey),
    )
    .slice(0, 4)
    .flatMap((issuer) => chainsOf([...chain, issuer], known, trusted));
}

function isMadeBy({ certificate }: Certificate, { algorithm, hash, attributes, signature }: Cms): boolean {
  const [type, own] = ALGORITHMS[algorithm] ?? [];
  const { publicKey } = certificate;
  if (type === undefined) throw malformed(`its algorithm ${algorithm} is not accepted`);
  if (publicKey.asymmetricKeyType !== type || (own !== '' && own !== hash)) return false;
  return verify(type === 'ed25519' ? null : hash, attributes, publicKey, signature);
}

function parseCms(armoured: Buffer): Cms {
  if (armoured.length > LIMIT) throw malformed('it is too large');
  const body = ARMOUR.exec(armoured.toString('latin1').replaceAll('\r\n', '\n'))?.[1].replaceAll('\n', '');
  const bytes = body === undefined ? undefined : decodeBase64(body);
  if (!bytes) throw malformed('its armour is damaged');
  const info = Asn1.parse(bytes).sequence;
  if (at(info, 0).objectId !== OID.signedData) throw malformed('it holds no signed data');
  const parts = at(at(info, 1).children, 0).sequence;
  const content = at(parts, 2).sequence;
  if (at(content, 0).objectId !== OID.data || content.length !== 1) throw malformed('it is not detached');
  const certificates = (parts.find(({ context }) => context === 0)?.children ?? []).map(({ raw }) =>
    parseCertificate(raw),
  );
  const signers = at(parts, parts.length - 1).set;
  if (signers.length !== 1) throw malformed(`it has ${signers.length} signers`);
  return { certificates, ...parseSigner(at(signers, 0).sequence, certificates) };
}

function parseSigner(parts: readonly Asn1[], certificates: readonly Certificate[]): Omit<Cms, 'certificates'> {
  const name = at(parts, 1);
  if (name.context !== undefined) throw malformed('it does not name its certificate by issuer and number');
  const [issuer, serial] = [at(name.sequence, 0).raw, at(name.sequence, 1).raw];
  const signer = certificates.find((one) => one.issuer.equals(issuer) && one.serial.equals(serial));
  if (!signer) throw malformed('its certificate is not in it');
  const hash = HASHES[at(at(parts, 2).sequence, 0).objectId];
  if (hash === undefined) throw malformed('its hash is not accepted');
  // Without them the same bytes could be passed off as attributes of another signature.
  const attributes = at(parts, 3);
  if (attributes.context !== 0) throw malformed('it has no signed attributes');
  if (!attribute(attributes, OID.contentType).raw.equals(CONTENT_IS_DATA)) throw malformed('it is not over data');
  const signed = attributes.raw;
  signed[0] = 0x31;
  return {
    signer,
    hash,
    algorithm: at(at(parts, 4).sequence, 0).objectId,
    attributes: signed,
    messageDigest: attribute(attributes, OID.messageDigest).octets,
    signature: at(parts, 5).octets,
  };
}

/** DER of OID.data. */
const CONTENT_IS_DATA = Buffer.from('06092a864886f70d010701', 'hex');

function attribute(attributes: Asn1, id: string): Asn1 {
  const found = attributes.children.filter(({ sequence }) => at(sequence, 0).objectId === id);
  const values = found.length === 1 ? at(found[0].sequence, 1).set : [];
  if (values.length !== 1) throw malformed('a signed attribute is missing or there twice');
  return values[0];
}
