import { CountersignError } from '../../errors.js';

/** The text of each member of a JSON object, by key, without parsing the values. Throws `policy-failed` if it is no JSON object. */
export function membersOf(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = skipSpace(text, 0);
  if (text[at] !== '{') throw malformed();
  at = skipSpace(text, at + 1);
  while (text[at] !== '}') {
    const keyEnd = endOfString(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    at = skipSpace(text, keyEnd);
    if (text[at] !== ':') throw malformed();
    at = skipSpace(text, at + 1);
    const end = endOfValue(text, at);
    members.set(key, text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
    else if (text[at] !== '}') throw malformed();
  }
  return members;
}

/** The text of each element of a JSON array. */
export function elementsOf(text: string): string[] {
  const elements: string[] = [];
  let at = skipSpace(text, 0);
  if (text[at] !== '[') throw malformed();
  at = skipSpace(text, at + 1);
  while (text[at] !== ']') {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
    else if (text[at] !== ']') throw malformed();
  }
  return elements;
}

function endOfValue(text: string, at: number): number {
  let depth = 0;
  for (; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 34: // "
        at = endOfString(text, at) - 1;
        if (depth === 0) return at + 1;
        break;
      case 91: // [
      case 123: // {
        depth++;
        break;
      case 93: // ]
      case 125: // }
        if (depth === 0) return at;
        if (--depth === 0) return at + 1;
        break;
      case 44: // ,
        if (depth === 0) return at;
        break;
    }
  }
  throw malformed();
}

function endOfString(text: string, at: number): number {
  if (text[at] !== '"') throw malformed();
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 92) backslashes++;
    if (backslashes % 2 === 0) return end + 1;
  }
  throw malformed();
}

function skipSpace(text: string, at: number): number {
  for (; ; at++) {
    const code = text.charCodeAt(at);
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return at;
  }
}

function malformed(): CountersignError {
  return new CountersignError('policy-failed', 'the policy input is not a JSON object');
}
