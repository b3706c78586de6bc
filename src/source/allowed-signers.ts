import { CountersignError } from '../errors.js';
import { parseSshKey, type SshKey } from './ssh-key.js';
import { decodeBase64 } from './ssh-wire.js';

/** One line of an allowed_signers file: see ssh-keygen(1), ALLOWED SIGNERS. */
export interface AllowedSigner {
  /** Patterns with `*`, `?` and a leading `!`, as written. */
  readonly principals: readonly string[];
  readonly key: SshKey;
  readonly certAuthority: boolean;
  /** undefined: every namespace. */
  readonly namespaces?: readonly string[];
  /** Seconds since the epoch. */
  readonly validAfter?: number;
  readonly validBefore?: number;
  readonly line: number;
}

const WORD = /^(?:"([^"]*)"|([^\s"]+))(?:[ \t]+|$)/;
const OPTIONS = /^(?:"(?:[^"\\]|\\.)*"|[^\s"])+/;
const OPTION = /^([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|$)/;
const KEY_TYPE = /^(?:ssh-|ecdsa-|sk-)\S+$/;

/**
 * Reads git's own format. Stricter than ssh-keygen in one point: times must end in `Z`, because a time in whatever zone the
 * reading machine is in means something else on the next one. Throws `signers-malformed` with file and line.
 */
export function parseAllowedSigners(text: string, file: string): readonly AllowedSigner[] {
  const signers: AllowedSigner[] = [];
  text.split('\n').forEach((raw, i) => {
    const content = raw.trim();
    if (content === '' || content.startsWith('#')) return;
    const fail = (what: string, remedy: string): CountersignError =>
      new CountersignError('signers-malformed', what, { place: { file, line: i + 1 }, remedy });
    signers.push(parseLine(content, i + 1, fail));
  });
  return signers;
}

type Fail = (what: string, remedy: string) => CountersignError;

function parseLine(content: string, line: number, fail: Fail): AllowedSigner {
  const principals = WORD.exec(content);
  if (!principals) throw fail('the principals cannot be read', 'Write: principals [options] key-type key');
  let rest = content.slice(principals[0].length);
  let options: Omit<AllowedSigner, 'principals' | 'key' | 'line'> = { certAuthority: false };
  if (!KEY_TYPE.test(rest.split(/\s/)[0])) {
    const written = OPTIONS.exec(rest)?.[0] ?? '';
    options = parseOptions(written, fail);
    rest = rest.slice(written.length).trimStart();
  }
  const names = (principals[1] ?? principals[2]).split(',').filter((name) => name !== '');
  if (names.length === 0) throw fail('no principal is named', 'Begin the line with an address');
  return { principals: names, key: parseKey(rest, fail), ...options, line };
}

function parseKey(text: string, fail: Fail): SshKey {
  const [type = '', encoded = ''] = text.split(/\s+/);
  const remedy = 'Paste the line from the .pub file, without its comment';
  if (type === '') throw fail('the line has no key', remedy);
  const blob = encoded === '' ? undefined : decodeBase64(encoded);
  if (!blob) throw fail(`the ${type} key is not base64`, remedy);
  try {
    const key = parseSshKey(blob);
    if (key.certificate)
      throw fail('a certificate cannot be listed', 'List its authority with the option cert-authority');
    if (key.algorithm !== type) throw fail(`the key is a ${key.algorithm}, not a ${type}`, remedy);
    return key;
  } catch (error) {
    if (error instanceof CountersignError && error.code === 'signature-malformed') throw fail(error.message, remedy);
    throw error;
  }
}

function parseOptions(written: string, fail: Fail): Omit<AllowedSigner, 'principals' | 'key' | 'line'> {
  const options: { certAuthority: boolean; namespaces?: string[]; validAfter?: number; validBefore?: number } = {
    certAuthority: false,
  };
  const seen = new Set<string>();
  for (let rest = written; rest !== '';) {
    const match = OPTION.exec(rest);
    if (!match)
      throw fail(
        `the options cannot be read at ${JSON.stringify(rest)}`,
        'Write them as name="value", with commas between',
      );
    const [whole, name, value] = match;
    rest = rest.slice(whole.length);
    const key = name.toLowerCase();
    if (seen.has(key)) throw fail(`the option ${key} is there twice`, 'Keep one of them');
    seen.add(key);
    const wanted = (): string => {
      if (value === undefined) throw fail(`the option ${key} has no value`, `Write ${key}="…"`);
      return value;
    };
    if (key === 'cert-authority' && value === undefined) options.certAuthority = true;
    else if (key === 'namespaces') options.namespaces = wanted().split(',');
    else if (key === 'valid-after') options.validAfter = parseTime(wanted(), key, fail);
    else if (key === 'valid-before') options.validBefore = parseTime(wanted(), key, fail);
    else
      throw fail(
        `the option ${JSON.stringify(name)} is not known`,
        'Known are cert-authority, namespaces, valid-after, valid-before',
      );
  }
  if (
    options.validAfter !== undefined &&
    options.validBefore !== undefined &&
    options.validBefore <= options.validAfter
  ) {
    throw fail('the key is never valid: valid-before is not after valid-after', 'Exchange the two times');
  }
  return options;
}

/** YYYYMMDD[HHMM[SS]]Z in seconds since the epoch. */
function parseTime(text: string, option: string, fail: Fail): number {
  const match = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z|UTC)?$/.exec(text);
  if (!match) throw fail(`${option} ${JSON.stringify(text)} is no time`, 'Write it as YYYYMMDDHHMMSSZ');
  const [, year, month, day, hour = '00', minute = '00', second = '00', zone] = match;
  if (!zone) throw fail(`${option} ${text} does not say its zone`, `Write it in UTC with a Z at its end: ${text}Z`);
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const date = new Date(iso);
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso)
    throw fail(`${option} ${text} is no time`, 'Check its month, day and hour');
  return date.getTime() / 1000;
}

/** OpenSSH's pattern lists: some pattern matches and no negated one does. */
export function matchesPatterns(text: string, patterns: readonly string[]): boolean {
  let matched = false;
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(text, pattern.slice(1))) return false;
    } else if (matchesPattern(text, pattern)) matched = true;
  }
  return matched;
}

/** `*` and `?` only. Linear in the text: an expression from `a*a*a*…` would take exponential time. */
function matchesPattern(text: string, pattern: string): boolean {
  let at = 0;
  let wanted = 0;
  let star = -1;
  let resume = 0;
  while (at < text.length) {
    if (wanted < pattern.length && pattern[wanted] === '*') {
      star = wanted++;
      resume = at;
    } else if (wanted < pattern.length && (pattern[wanted] === '?' || pattern[wanted] === text[at])) {
      wanted++;
      at++;
    } else if (star >= 0) {
      wanted = star + 1;
      at = ++resume;
    } else return false;
  }
  while (pattern[wanted] === '*') wanted++;
  return wanted === pattern.length;
}
