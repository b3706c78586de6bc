import { isUtf8 } from 'node:buffer';

/**
 * Git's paths are bytes, ours are strings. Valid UTF-8 stays as it is; any other byte becomes `\xHH` in its place, so that
 * a file keeps its folder (a rule that protects `policies/` still sees it). A backslash that already stands before
 * `xHH` becomes `\x5C`, which makes the mapping one to one: `encodePath(decodePath(bytes))` gives the same bytes.
 */
export function decodePath(bytes: Uint8Array): string {
  const buffer = asBuffer(bytes);
  const latin1 = buffer.toString('latin1');
  // eslint-disable-next-line no-control-regex -- ASCII is the common case and needs no decoding at all
  if (!/[^\x00-\x7f]|\\x/.test(latin1)) return latin1;
  if (isUtf8(buffer)) return escapeLiterals(buffer.toString('utf8'));
  let text = '';
  for (let i = 0; i < buffer.length;) {
    const length = sequenceLength(buffer, i);
    if (length > 0) text += escapeLiteral(buffer, i, length);
    else text += `\\x${buffer[i].toString(16).toUpperCase().padStart(2, '0')}`;
    i += Math.max(length, 1);
  }
  return text;
}

/** The bytes that `decodePath` made this string from. */
export function encodePath(path: string): Buffer {
  if (!path.includes('\\x')) return Buffer.from(path, 'utf8');
  const parts = path.split(/\\x([0-9A-F]{2})/);
  return Buffer.concat(parts.map((part, i) => (i % 2 ? Buffer.from(part, 'hex') : Buffer.from(part, 'utf8'))));
}

/**
 * Names that Git itself never checks out: `.`, `..`, `.git` in any case, and empty ones. They have no honest use, and a
 * path rule or a renderer that normalises them would look somewhere else than Git does (invariant 8).
 */
export function isUnsafePath(path: string): boolean {
  return /(?:^|\/)(?:\.{0,2}|\.git)(?:\/|$)/i.test(path);
}

/** '' for the whole tree; no leading `./`, no trailing slash. */
export function normalizeFolder(path: string): string {
  return path
    .replace(/^(?:\.\/)+/, '')
    .replace(/^\.$/, '')
    .replace(/\/+$/, '');
}

export function isUnder(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`);
}

function escapeLiterals(text: string): string {
  return text.replace(/\\(?=x[0-9A-F]{2})/g, '\\x5C');
}

function escapeLiteral(bytes: Buffer, at: number, length: number): string {
  if (bytes[at] !== 0x5c) return bytes.toString('utf8', at, at + length);
  return /^x[0-9A-F]{2}/.test(bytes.toString('latin1', at + 1, at + 4)) ? '\\x5C' : '\\';
}

/** Length of the valid UTF-8 sequence that starts here, or 0. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at];
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  return isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
