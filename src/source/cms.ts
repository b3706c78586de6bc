import { verify } from 'node:crypto';
import { Asn1, at, malformed } from './asn1.js';
import { type Certificate, parseCertificate } from './x509-certificate.js';

const DEPTH = 8;
const OID = {
  signedData: '1.2.840.113549.1.7.2',
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

/** What a CMS message is over. */
export const DATA = '1.2.840.113549.1.7.1';

/** A CMS signature (RFC 5652) by one signer, taken apart. */
export interface Cms {
  readonly certificates: readonly Certificate[];
  readonly signer: Certificate;
  readonly hash: string;
  readonly algorithm: string;
  /** What it holds; undefined if it is detached. */
  readonly content: Buffer | undefined;
  /** The signed attributes as they are signed: a set, in DER. */
  readonly attributes: Buffer;
  readonly messageDigest: Buffer;
  readonly signature: Buffer;
  /** Nobody signed these. */
  readonly unsigned: readonly Asn1[];
}

/** Reads a message over content of this type; `known` are certificates that it may leave out. Throws `signature-malformed`. */
export function parseCms(bytes: Buffer, contentType: string, known: readonly Certificate[] = []): Cms {
  const info = Asn1.parse(bytes).sequence;
  if (at(info, 0).objectId !== OID.signedData) throw malformed('it holds no signed data');
  const parts = at(at(info, 1).children, 0).sequence;
  const content = at(parts, 2).sequence;
  if (at(content, 0).objectId !== contentType) throw malformed('it is over something else');
  const certificates = (parts.find(({ context }) => context === 0)?.children ?? []).map(({ raw }) =>
    parseCertificate(raw),
  );
  const signers = at(parts, parts.length - 1).set;
  if (signers.length !== 1) throw malformed(`it has ${signers.length} signers`);
  return {
    certificates,
    content: content.length > 1 ? at(at(content, 1).children, 0).octets : undefined,
    ...parseSigner(at(signers, 0).sequence, contentType, [...certificates, ...known]),
  };
}

function parseSigner(
  parts: readonly Asn1[],
  contentType: string,
  certificates: readonly Certificate[],
): Omit<Cms, 'certificates' | 'content'> {
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
  if (attribute(attributes, OID.contentType).objectId !== contentType) throw malformed('it is not over data');
  const signed = attributes.raw;
  signed[0] = 0x31;
  const last = at(parts, parts.length - 1);
  return {
    signer,
    hash,
    algorithm: at(at(parts, 4).sequence, 0).objectId,
    attributes: signed,
    messageDigest: attribute(attributes, OID.messageDigest).octets,
    signature: at(parts, 5).octets,
    unsigned: last.context === 1 ? last.children : [],
  };
}

function attribute(attributes: Asn1, id: string): Asn1 {
  const values = valuesOf(attributes.children, id);
  if (values.length !== 1) throw malformed('a signed attribute is missing or there twice');
  return values[0];
}

/** All values of the attributes of this type. */
export function valuesOf(attributes: readonly Asn1[], id: string): readonly Asn1[] {
  return attributes
    .filter(({ sequence }) => at(sequence, 0).objectId === id)
    .flatMap(({ sequence }) => at(sequence, 1).set);
}

/** Whether the signer's key made the signature over the signed attributes. */
export function isMadeBy({ signer: { certificate }, algorithm, hash, attributes, signature }: Cms): boolean {
  const [type, own] = ALGORITHMS[algorithm] ?? [];
  const { publicKey } = certificate;
  if (type === undefined) throw malformed(`its algorithm ${algorithm} is not accepted`);
  if (publicKey.asymmetricKeyType !== type || (own !== '' && own !== hash)) return false;
  return verify(type === 'ed25519' ? null : hash, attributes, publicKey, signature);
}

/** Every way from the signer up to a trusted authority. */
export function chainsOf(
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
