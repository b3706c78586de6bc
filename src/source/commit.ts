import { isUtf8 } from 'node:buffer';
import { CountersignError } from '../errors.js';
import { OBJECT_ID } from './object-id.js';
import type { Commit, PersonClaim } from './repository.js';
import { parseTrailers } from './trailers.js';

const LF = 0x0a;
const SPACE = 0x20;

interface Header {
  readonly name: string;
  /** The bytes after the name and its space, up to the line's end; continuation lines are left out. */
  readonly value: Buffer;
}

/** Reads a commit object's exact bytes. Throws `repository-corrupt` where they are no commit. */
export function parseCommit(id: string, raw: Buffer): Commit {
  const { headers, message } = splitHeaders(raw);
  const values = (name: string): Buffer[] => headers.filter((header) => header.name === name).map(({ value }) => value);
  const one = (name: string): Buffer => {
    const [value] = values(name);
    if (value === undefined) throw corrupt(id, `it has no ${name}`);
    return value;
  };
  const encoding = values('encoding')[0]?.toString('latin1');
  const text = (bytes: Buffer): string => decodeText(bytes, encoding);
  const messageText = text(message);
  // As git does: the tree comes first and the parents right after it. Such names further down are not theirs.
  if (headers[0]?.name !== 'tree') throw corrupt(id, 'it does not begin with its tree');
  return {
    id,
    tree: objectId(id, headers[0].value),
    parents: parentHeaders(headers).map(({ value }) => objectId(id, value)),
    author: parsePerson(one('author'), text),
    committer: parsePerson(one('committer'), text),
    message: messageText,
    trailers: parseTrailers(messageText),
    raw,
  };
}

function parentHeaders(headers: readonly Header[]): readonly Header[] {
  const end = headers.findIndex(({ name }, i) => i > 0 && name !== 'parent');
  return headers.slice(1, end < 0 ? headers.length : end);
}

function splitHeaders(raw: Buffer): { headers: Header[]; message: Buffer } {
  const headers: Header[] = [];
  let at = 0;
  while (at < raw.length && raw[at] !== LF) {
    const newline = raw.indexOf(LF, at);
    const end = newline < 0 ? raw.length : newline;
    if (raw[at] !== SPACE) {
      const space = raw.indexOf(SPACE, at);
      const nameEnd = space < 0 || space > end ? end : space;
      headers.push({ name: raw.toString('latin1', at, nameEnd), value: raw.subarray(Math.min(nameEnd + 1, end), end) });
    }
    at = end + 1;
  }
  return { headers, message: raw.subarray(Math.min(at + 1, raw.length)) };
}

function objectId(commit: string, value: Buffer): string {
  const id = value.toString('latin1');
  if (!OBJECT_ID.test(id)) throw corrupt(commit, 'it names a tree or parent that is no object id');
  return id;
}

/** Without an `encoding` header, or with one nobody knows: UTF-8, else Latin-1, in which every byte has a character. */
function decodeText(bytes: Buffer, encoding: string | undefined): string {
  if (encoding !== undefined && !/^utf-?8$/i.test(encoding)) {
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes);
    } catch {
      // An unknown encoding, or bytes that do not follow it: read as if it were not declared.
    }
  }
  return isUtf8(bytes) ? bytes.toString('utf8') : bytes.toString('latin1');
}

function parsePerson(value: Buffer, text: (bytes: Buffer) => string): PersonClaim {
  const open = value.indexOf('<');
  const close = value.lastIndexOf('>');
  const emailEnd = open < 0 ? -1 : value.indexOf('>', open);
  const date = value.toString('latin1', close + 1, value.length);
  return {
    name: text(value.subarray(0, open < 0 ? value.length : open)).trim(),
    email: emailEnd < 0 ? '' : text(value.subarray(open + 1, emailEnd)).trim(),
    time: rememberedTime(date),
  };
}

/** The date that was read last: of most commits author's and committer's are one. */
let known = { date: '', time: '1970-01-01T00:00:00+00:00' };

function rememberedTime(date: string): string {
  if (known.date !== date) known = { date, time: claimedTime(date) };
  return known.time;
}

const YEAR_10000 = 253_402_300_800;

/** RFC 3339. What git cannot read as a date it shows as the epoch; so do we. */
function claimedTime(date: string): string {
  const [, seconds = '0', sign = '+', hours = '00', minutes = '00'] =
    /^\s*(-?\d{1,15})(?:\s+([+-])(\d\d)(\d\d)\s*$)?/.exec(date) ?? [];
  const known = Number(hours) < 24 && Number(minutes) < 60;
  const offset = known ? (Number(hours) * 60 + Number(minutes)) * 60 * (sign === '-' ? -1 : 1) : 0;
  const local = Number(seconds) + offset;
  if (local < -62_135_596_800 || local >= YEAR_10000) return '1970-01-01T00:00:00+00:00';
  return `${new Date(local * 1000).toISOString().slice(0, 19)}${known ? `${sign}${hours}:${minutes}` : '+00:00'}`;
}

function corrupt(id: string, what: string): CountersignError {
  return new CountersignError('repository-corrupt', `commit ${id} cannot be read: ${what}`, {
    remedy: 'Run git fsck in the repository',
  });
}
