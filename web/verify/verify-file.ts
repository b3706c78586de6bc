import { openBlobZip } from '../../src/adapters/evidence/blob-zip.js';
import { parseTrust } from '../../src/audit/policy-file.js';
import type { Verification } from '../../src/audit/verify.js';
import { noEvidence, verifyEvidence } from '../../src/audit/verify.js';
import { CountersignError } from '../../src/errors.js';

export interface Asked {
  /** An evidence bundle. */
  readonly bundle: Blob;
  /** A vkey, or a C2SP tlog-policy. */
  readonly trust: string;
  /** A checkpoint kept from earlier. */
  readonly earlier?: string;
  readonly progress?: (entries: number, of: number) => void;
}

/**
 * What `countersign verify` says of a bundle, in a browser: all of it but replaying. Decisions are counted among what rests on the service's
 * word. Throws a CountersignError for a trust file that cannot be read; what is wrong with the bundle is in the result.
 */
export async function verifyFile({ bundle, trust: text, earlier, progress }: Asked): Promise<Verification> {
  const trust = parseTrust(text, 'the trust file');
  try {
    return await verifyEvidence(await openBlobZip(bundle), {
      trust,
      ...(earlier === undefined ? {} : { earlier }),
      ...(progress ? { progress } : {}),
    });
  } catch (error) {
    if (!(error instanceof CountersignError) || error.code !== 'bundle-invalid') throw error;
    return noEvidence(trust, error);
  }
}
