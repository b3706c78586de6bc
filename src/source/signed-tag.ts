import { signatureKind, type SignedPayload } from './signed-payload.js';

const LF = 0x0a;
const SPACE = 0x20;

/**
 * Takes an annotated tag apart as git does (gpg-interface.c, parse_signed_buffer): the signature begins at the last line that
 * looks like the start of one. A signature for the other object format is in a header, and in neither part.
 */
export function splitSignedTag(raw: Buffer): SignedPayload {
  let start = -1;
  for (let at = 0; at < raw.length;) {
    if (signatureKind(raw.subarray(at, at + 40)) !== 'none') start = at;
    const newline = raw.indexOf(LF, at);
    at = newline < 0 ? raw.length : newline + 1;
  }
  if (start < 0) return { payload: raw, signatures: [] };
  return { payload: withoutSignatureHeaders(raw.subarray(0, start)), signatures: [raw.subarray(start)] };
}

function withoutSignatureHeaders(raw: Buffer): Buffer {
  const kept: Buffer[] = [];
  let dropping = false;
  let at = 0;
  while (at < raw.length && raw[at] !== LF) {
    const newline = raw.indexOf(LF, at);
    const next = newline < 0 ? raw.length : newline + 1;
    dropping = raw[at] === SPACE ? dropping : raw.toString('latin1', at, at + 6) === 'gpgsig';
    if (!dropping) kept.push(raw.subarray(at, next));
    at = next;
  }
  return Buffer.concat([...kept, raw.subarray(at)]);
}

/** The tag objects that a merge commit carries in its `mergetag` headers. */
export function mergedTags(commit: Buffer): readonly Buffer[] {
  const tags: Buffer[][] = [];
  let current: Buffer[] | undefined;
  for (let at = 0; at < commit.length && commit[at] !== LF;) {
    const newline = commit.indexOf(LF, at);
    const next = newline < 0 ? commit.length : newline + 1;
    if (commit[at] === SPACE) current?.push(commit.subarray(at + 1, next));
    else if (commit.toString('latin1', at, at + 9) === 'mergetag ')
      tags.push((current = [commit.subarray(at + 9, next)]));
    else current = undefined;
    at = next;
  }
  return tags.map((lines) => Buffer.concat(lines));
}

/** What a tag object says that it is, a claim until its signature is checked. */
export function tagClaim(raw: Buffer): { readonly tag: string; readonly object: string } {
  const end = raw.indexOf('\n\n');
  const headers = raw.toString('utf8', 0, end < 0 ? raw.length : end);
  const header = (name: string): string => new RegExp(`^${name} (.*)$`, 'm').exec(headers)?.[1] ?? '';
  return { tag: header('tag'), object: header('object') };
}
