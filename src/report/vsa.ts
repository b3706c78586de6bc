import { sha256, toHex, utf8, view, type Ed25519Signer } from '../audit/crypto.js';
import { sealEnvelope } from '../audit/dsse.js';
import type { LoggedEntry } from '../audit/entry.js';
import type { Json, JsonObject } from '../cluster/object.js';

const STATEMENT = 'https://in-toto.io/Statement/v1';
const VSA_PREDICATE = 'https://slsa.dev/verification_summary/v1';
/** DSSE's, for a Statement of in-toto. */
export const VSA_PAYLOAD = 'application/vnd.in-toto+json';

/**
 * What a decision entry says, as a Verification Summary of SLSA in a Statement of in-toto: of the commit, and of the objects that it renders to, that the policy in force
 * allowed or denied them there. It is made of the leaf alone, so that whoever has the log makes the same one. Null for every other entry: advice deploys nothing, and
 * what is pending or could not be judged has no result.
 */
export function verificationSummary(origin: string, { type, predicate, envelope }: LoggedEntry): JsonObject | null {
  const { id, outcome, advice, repository, environment, head, ref, renderedDigest, bundleDigest, time, approvals } = predicate; // prettier-ignore
  if (type !== 'decision' || advice === true || (outcome !== 'allow' && outcome !== 'deny')) return null;
  const said = [id, repository, environment, head, ref, renderedDigest, bundleDigest, time];
  if (!said.every((one): one is string => typeof one === 'string')) return null;
  const [decision, of, where, commit, branch, rendered, bundle, verified] = said;
  const verifier = `https://${encodeURI(origin)}`;
  const place = `${verifier}/${encodeURIComponent(of)}/${where.split('/').map(encodeURIComponent).join('/')}`;
  const passed = outcome === 'allow';
  const approved = Array.isArray(approvals) && approvals.length > 0;
  return {
    _type: STATEMENT,
    subject: [
      { name: `git:${of}`, digest: { gitCommit: commit }, annotations: { sourceRefs: [branch] } },
      ...(/^[0-9a-f]{64}$/.test(rendered) ? [{ name: `manifests:${where}`, digest: { sha256: rendered } }] : []),
    ],
    predicateType: VSA_PREDICATE,
    predicate: {
      verifier: { id: verifier },
      timeVerified: verified,
      resourceUri: place,
      policy: { uri: `${verifier}/policy/${bundle}`, digest: { sha256: bundle } },
      // The decision itself, which is a Statement of its own in the log and names the approvals by their ids.
      inputAttestations: [{ uri: `${verifier}/decision/${decision}`, digest: { sha256: toHex(sha256(envelope)) } }], // prettier-ignore
      verificationResult: passed ? 'PASSED' : 'FAILED',
      // Of no level of SLSA: what those ask of builds and forges was not looked at.
      verifiedLevels: passed ? ['ORG_SOURCE_POLICY_ALLOWED', ...(approved ? ['ORG_SOURCE_APPROVED'] : [])] : ['FAILED'],
      slsaVersion: '1.2',
    },
  };
}

/** One line: the summary in a DSSE envelope, signed by the service's key for entries, which the log names. Null where there is none. */
export async function sealSummary(origin: string, entry: LoggedEntry, signer: Ed25519Signer): Promise<string | null> {
  const summary = verificationSummary(origin, entry);
  if (!summary) return null;
  return `${view(await sealEnvelope(VSA_PAYLOAD, utf8(JSON.stringify(summary)), signer, false)).toString('utf8')}\n`;
}

/** The leaf that a summary was made of, as its first input says: SHA-256, hex. */
export function inputOf(summary: Json): string | undefined {
  const { predicate } = summary as { predicate?: { inputAttestations?: readonly { digest?: { sha256?: unknown } }[] } };
  const digest = predicate?.inputAttestations?.[0]?.digest?.sha256;
  return typeof digest === 'string' ? digest : undefined;
}

export const leafDigest = ({ envelope }: Pick<LoggedEntry, 'envelope'>): string => toHex(sha256(envelope));
