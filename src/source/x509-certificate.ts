import { X509Certificate } from 'node:crypto';
import { CountersignError } from '../errors.js';
import { Asn1, at, malformed } from './asn1.js';

const RSA_MINIMUM_BITS = 2048;
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const EXTENSION = {
  keyUsage: '2.5.29.15',
  alternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  extendedKeyUsage: '2.5.29.37',
} as const;
/** What is looked at: a critical extension that is none of these may forbid what it would be used for. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION.keyUsage,
  EXTENSION.alternativeName,
  EXTENSION.basicConstraints,
  EXTENSION.extendedKeyUsage,
]);
/** Any purpose, protecting mail, signing code: what people's and gitsign's certificates are for. */
const SIGNING: ReadonlySet<string> = new Set(['2.5.29.37.0', '1.3.6.1.5.5.7.3.4', '1.3.6.1.5.5.7.3.3']);
const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
// eslint-disable-next-line no-control-regex
const PLAIN = /^[^\s\x00-\x1f\x7f-\uffff]+$/;

/** A certificate with what node:crypto does not tell of it. */
export interface Certificate {
  readonly certificate: X509Certificate;
  /** SHA-256, upper-case hexadecimal. */
  readonly fingerprint: string;
  /** DER of the issuer's name and of the serial number: how a signature names its certificate. */
  readonly issuer: Buffer;
  readonly serial: Buffer;
  /** Seconds since the epoch. */
  readonly from: number;
  readonly until: number;
  /** Addresses, else web addresses, that it was issued to. */
  readonly names: readonly string[];
  /** How many more authorities may stand below this one. */
  readonly pathLength: number;
  /** Why nothing that hangs on it counts. */
  readonly unusable?: string;
  /** Whether it is for time-stamping, and for nothing else (RFC 3161, 2.3). */
  readonly timeStamping: boolean;
  /** Why it may not sign commits itself. */
  readonly notForSigning?: string;
}

/** Throws `signature-malformed`. */
export function parseCertificate(der: Buffer): Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch (cause) {
    throw malformed(`a certificate in it is damaged (${(cause as Error).message})`);
  }
  const fields = at(Asn1.parse(der).sequence, 0).sequence;
  const first = fields[0]?.context === 0 ? 1 : 0;
  const extensions = readExtensions(fields.find(({ context }) => context === 3));
  const unknown = [...extensions].find(([id, { critical }]) => critical && !UNDERSTOOD.has(id));
  return {
    certificate,
    fingerprint: certificate.fingerprint256.replaceAll(':', ''),
    issuer: at(fields, first + 2).raw,
    serial: at(fields, first).raw,
    from: certificate.validFromDate.getTime() / 1000,
    until: certificate.validToDate.getTime() / 1000,
    names: namesOf(extensions.get(EXTENSION.alternativeName)?.value),
    timeStamping: isForTimeStamping(extensions.get(EXTENSION.extendedKeyUsage)),
    pathLength: pathLength(extensions.get(EXTENSION.basicConstraints)?.value),
    ...defined({
      unusable: unknown
        ? `a certificate has the critical extension ${unknown[0]}, which is not known`
        : extensions.has(EXTENSION.nameConstraints)
          ? 'a certificate constrains names, which is not checked'
          : weakness(certificate),
      notForSigning: notForSigning(extensions),
    }),
  };
}

type Extensions = ReadonlyMap<string, { readonly critical: boolean; readonly value: Buffer }>;

function readExtensions(written: Asn1 | undefined): Extensions {
  const found = new Map<string, { critical: boolean; value: Buffer }>();
  if (!written) return found;
  for (const extension of at(written.children, 0).sequence) {
    const parts = extension.sequence;
    const id = at(parts, 0).objectId;
    if (found.has(id)) throw malformed('a certificate has an extension twice');
    const flag = parts.length > 2 ? at(parts, 1) : undefined;
    found.set(id, {
      critical: flag?.isBoolean === true && flag.content[0] !== 0,
      value: at(parts, parts.length - 1).octets,
    });
  }
  return found;
}

function namesOf(value: Buffer | undefined): readonly string[] {
  if (!value) return [];
  const names = Asn1.parse(value).sequence;
  const tagged = (tag: number): string[] =>
    names.filter(({ context }) => context === tag).map(({ content }) => content.toString('latin1'));
  const [mail, web] = [tagged(1), tagged(6)];
  return (mail.length > 0 ? mail : web).filter((name) => PLAIN.test(name));
}

function pathLength(value: Buffer | undefined): number {
  const parts = value ? Asn1.parse(value).sequence : [];
  const limit = parts.find((part) => !part.isBoolean);
  return limit ? Number(BigInt(`0x${limit.content.toString('hex') || '0'}`)) : Number.POSITIVE_INFINITY;
}

function notForSigning(extensions: Extensions): string | undefined {
  const usage = extensions.get(EXTENSION.keyUsage)?.value;
  // Bits 0 and 1, the first byte says how many are unused: digital signature, content commitment.
  if (usage && ((Asn1.parse(usage).bits.at(0) ?? 0) & 0xc0) === 0) return 'its certificate is not for signing';
  const purposes = extensions.get(EXTENSION.extendedKeyUsage)?.value;
  if (purposes && !Asn1.parse(purposes).sequence.some(({ objectId }) => SIGNING.has(objectId)))
    return 'its certificate is for other purposes';
  return undefined;
}

function isForTimeStamping(purposes: { readonly critical: boolean; readonly value: Buffer } | undefined): boolean {
  if (!purposes?.critical) return false;
  const ids = Asn1.parse(purposes.value).sequence;
  return ids.length === 1 && ids[0].objectId === TIME_STAMPING;
}

function weakness(certificate: X509Certificate): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey;
  if (type === 'rsa') {
    return (details?.modulusLength ?? 0) < RSA_MINIMUM_BITS
      ? `RSA keys under ${RSA_MINIMUM_BITS} bits are not accepted`
      : undefined;
  }
  if (type === 'ec') return CURVES.has(details?.namedCurve ?? '') ? undefined : 'a certificate’s curve is not accepted';
  return type === 'ed25519' ? undefined : `keys of type ${type} are not accepted`;
}

/** Reads trusted certificates. Throws `signers-malformed` with the file. */
export function readRoots(content: Buffer, file: string): readonly Certificate[] {
  const text = content.toString('latin1');
  const fail = (what: string, remedy: string): CountersignError =>
    new CountersignError('signers-malformed', what, { place: { file }, remedy });
  if (/-----BEGIN [A-Z ]*PRIVATE KEY/.test(text))
    throw fail('this is a private key', 'Replace it: everybody who can read the repository has it');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw fail('there is no certificate in it', 'Put PEM certificates there');
  return blocks.map((block) => {
    const root = parseRoot(Buffer.from(block.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'), fail);
    if (!root.certificate.ca) throw fail('this certificate is no authority’s', 'Put the authority’s certificate there');
    if (root.unusable !== undefined) throw fail(root.unusable, 'Use an authority with a stronger certificate');
    return root;
  });
}

function parseRoot(der: Buffer, fail: (what: string, remedy: string) => CountersignError): Certificate {
  try {
    return parseCertificate(der);
  } catch (thrown) {
    // OpenSSL's own errors among them: nothing but the bytes can be at fault here.
    throw fail(`a certificate in it is damaged (${(thrown as Error).message})`, 'Export it again as PEM');
  }
}

function defined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<T>;
}
