import { createHash } from 'node:crypto';
import { Asn1, at, malformed } from './asn1.js';
import { chainsOf, type Cms, isMadeBy, parseCms } from './cms.js';
import type { Certificate } from './x509-certificate.js';

/** RFC 3161, appendix A: the unsigned attribute that holds a token over the signature's bytes. */
export const TIME_STAMP_TOKEN = '1.2.840.113549.1.9.16.2.14';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const HASHES: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/**
 * When a trusted authority saw these bytes, in seconds since the epoch, by its RFC 3161 token. The authority's certificate must be
 * for time-stamping, valid then, and revoked never. Throws `signature-malformed` with what is wrong.
 */
export function timeStamped(
  token: Buffer,
  bytes: Buffer,
  trusted: readonly Certificate[],
  revoked: ReadonlySet<string>,
): number {
  const cms = parseCms(token, TST_INFO, trusted);
  const { content } = cms;
  if (!content) throw malformed('its time-stamp holds nothing');
  if (!createHash(cms.hash).update(content).digest().equals(cms.messageDigest) || !isMadeBy(cms))
    throw malformed('its time-stamp is not signed by the certificate it names');
  const info = Asn1.parse(content).sequence;
  const imprint = at(info, 2).sequence;
  const hash = HASHES[at(at(imprint, 0).sequence, 0).objectId];
  if (hash === undefined) throw malformed('its time-stamp uses a hash that is not accepted');
  if (!createHash(hash).update(bytes).digest().equals(at(imprint, 1).octets))
    throw malformed('its time-stamp is of another signature');
  const time = at(info, 4).generalizedTime;
  vouchedFor(cms, time, trusted, revoked);
  return time;
}

function vouchedFor(
  { signer, certificates }: Cms,
  time: number,
  trusted: readonly Certificate[],
  revoked: ReadonlySet<string>,
): void {
  if (!signer.timeStamping) throw malformed('its time-stamp is by a certificate that is not for time-stamping');
  const chains = chainsOf([signer], [...trusted, ...certificates], trusted);
  if (chains.length === 0) throw malformed('its time-stamp is by none of the authorities in .countersign/timestamps');
  if (chains.some((chain) => chain.some(({ fingerprint }) => revoked.has(fingerprint))))
    throw malformed('its time-stamp is by an authority that is revoked');
  const good = chains.some((chain) =>
    chain.every(
      ({ unusable, from, until, pathLength }, i) =>
        unusable === undefined && from <= time && time <= until && (i === 0 || pathLength >= i - 1),
    ),
  );
  if (!good) throw malformed('its time-stamp is by an authority that was not valid then');
}
