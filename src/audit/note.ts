import { CountersignError } from '../errors.js';
import type { Ed25519Signer } from './crypto.js';
import { concatBytes, ed25519Verifier, fromBase64, fromHex, sha256, toBase64, toHex, utf8 } from './crypto.js';

// C2SP signed-note. Type bytes of keys whose signatures we can check.
const ed25519 = 1;
const cosignature = 4;
const maxNoteBytes = 1_000_000;
const maxSignatures = 100;

/** A public key as a note names it. */
export interface NoteVerifier {
  readonly name: string;
  /** First four bytes of SHA-256(name ‖ 0A ‖ type ‖ key), hex. */
  readonly keyId: string;
  readonly vkey: string;
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** True for keys of witnesses, which sign a time along with the note (C2SP tlog-cosignature). */
  readonly cosigns: boolean;
  verify(text: string, signature: Uint8Array): boolean;
}

export interface NoteSigner {
  readonly vkey: string;
  /** A signature line, with its newline; two while a key is being rotated. */
  sign(text: string): Promise<string>;
}

export interface OpenedNote {
  /** The signed text, its last newline included. */
  readonly text: string;
  /** Those of the verifiers given whose signature is there and good; never empty. */
  readonly signedBy: readonly NoteVerifier[];
  /** When each of the witnesses among them says it signed, in seconds since 1970. */
  readonly cosignedAt: ReadonlyMap<NoteVerifier, number>;
}

/** A witness's key: its signature also states a time (C2SP tlog-cosignature, cosignature/v1). */
export interface NoteCosigner {
  readonly vkey: string;
  /** A signature line over a checkpoint's text, with its newline. @param seconds since 1970. */
  cosign(text: string, seconds: number): Promise<string>;
}

interface SignatureLine {
  readonly name: string;
  readonly keyId: string;
  readonly signature: Uint8Array;
}

export function noteSigner(name: string, key: Ed25519Signer): NoteSigner {
  const { keyId, vkey } = describeKey(name, ed25519, key.publicKey);
  return {
    vkey,
    sign: async (text) => {
      const signature = await key.sign(utf8(signable(text)));
      return `— ${name} ${toBase64(concatBytes(fromHex(keyId, 4)!, signature))}\n`;
    },
  };
}

export function noteCosigner(name: string, key: Ed25519Signer): NoteCosigner {
  const { keyId, vkey } = describeKey(name, cosignature, key.publicKey);
  return {
    vkey,
    cosign: async (text, seconds) => {
      const signature = await key.sign(utf8(cosignable(signable(text), seconds)));
      return `— ${name} ${toBase64(concatBytes(fromHex(keyId, 4)!, bigEndian(seconds), signature))}\n`;
    },
  };
}

/** Signs with both, in this order: while one key takes over from another. */
export const bothSign = (first: NoteSigner, second: NoteSigner): NoteSigner => ({
  vkey: first.vkey,
  sign: async (text) => (await Promise.all([first.sign(text), second.sign(text)])).join(''),
});

const cosignable = (text: string, seconds: number): string => `cosignature/v1\ntime ${seconds}\n${text}`;

function bigEndian(seconds: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(seconds));
  return bytes;
}

/** Reads a vkey: `name+hex(key id)+base64(type ‖ key)`. Throws `keys-invalid`. */
export function parseVkey(vkey: string): NoteVerifier {
  const [name = '', keyId = '', ...rest] = vkey.split('+');
  const typed = fromBase64(rest.join('+'));
  const [type, key] = [typed?.[0], typed?.subarray(1)];
  if (!key || (type !== ed25519 && type !== cosignature) || key.length !== 32 || !isName(name)) {
    throw new CountersignError('keys-invalid', `"${vkey.slice(0, 200)}" is not the key of a log or witness`, {
      remedy: 'Give a vkey as `countersign keys --vkey` prints it: name+hash+key, Ed25519',
    });
  }
  const described = describeKey(name, type, key);
  if (described.vkey !== vkey || described.keyId !== keyId) {
    throw new CountersignError('keys-invalid', `the key id in "${vkey}" does not belong to its key`, {
      remedy: 'Copy the whole vkey again',
    });
  }
  const check = ed25519Verifier(key);
  return {
    name,
    keyId,
    vkey,
    publicKey: key,
    cosigns: type === cosignature,
    verify: (text, signature) => {
      if (type === ed25519) return check(utf8(text), signature);
      const time = cosignatureTime(signature);
      return time !== undefined && check(utf8(cosignable(text, time)), signature.subarray(8));
    },
  };
}

/** Seconds since 1970 that a cosignature (`u64be time ‖ signature`) states. */
function cosignatureTime(signature: Uint8Array): number | undefined {
  if (signature.length !== 72) return undefined;
  const time = signature.subarray(0, 8).reduce((n, byte) => n * 256 + byte, 0);
  return Number.isSafeInteger(time) ? time : undefined;
}

/** So that whoever mixed two trust files up sees it. */
const named = (keys: readonly Pick<NoteVerifier, 'name' | 'keyId'>[]): string =>
  [...keys.slice(0, 3).map(({ name, keyId }) => `${name.slice(0, 100)}+${keyId}`), ...(keys.length > 3 ? ['…'] : [])].join(', '); // prettier-ignore

/**
 * Opens a note under the keys given: signatures by other keys are ignored, a bad one by a given key refuses the note, and so
 * does the absence of any good one. Throws `note-invalid`.
 */
export function openNote(note: string, verifiers: readonly NoteVerifier[]): OpenedNote {
  const { text, lines } = parseNote(note);
  const signedBy = new Set<NoteVerifier>();
  const cosignedAt = new Map<NoteVerifier, number>();
  for (const line of lines) {
    const known = verifiers.find((verifier) => verifier.name === line.name && verifier.keyId === line.keyId);
    if (!known || signedBy.has(known)) continue;
    if (!known.verify(text, line.signature)) refuse(`the signature by ${known.name} (key ${known.keyId}) is wrong`);
    signedBy.add(known);
    if (known.cosigns) cosignedAt.set(known, cosignatureTime(line.signature)!);
  }
  if (signedBy.size === 0) refuse(`no signature by a trusted key (${named(verifiers)}); signed by ${named(lines)}`);
  return { text, signedBy: [...signedBy], cosignedAt };
}

/** Splits a note without judging its signatures. Throws `note-invalid`. */
export function parseNote(note: string): { readonly text: string; readonly lines: readonly SignatureLine[] } {
  if (note.length > maxNoteBytes) refuse('it is too long');
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n') || hasControlCharacters(note) || hasLoneSurrogates(note))
    refuse('it is no signed note');
  const text = note.slice(0, split + 1);
  const signatures = note
    .slice(split + 2)
    .split('\n')
    .slice(0, -1);
  if (signatures.length === 0 || signatures.length > maxSignatures) refuse('it has no signatures, or too many');
  return { text, lines: signatures.map(parseSignatureLine) };
}

function parseSignatureLine(line: string): SignatureLine {
  const [dash, name = '', encoded = '', ...more] = line.split(' ');
  const bytes = fromBase64(encoded);
  if (dash !== '—' || !isName(name) || more.length > 0 || !bytes || bytes.length < 5)
    refuse('a signature line is malformed');
  return { name, keyId: toHex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
}

function signable(text: string): string {
  if (!text.endsWith('\n') || hasControlCharacters(text) || hasLoneSurrogates(text))
    refuse('its text cannot be signed');
  return text;
}

function describeKey(name: string, type: number, key: Uint8Array): { readonly keyId: string; readonly vkey: string } {
  if (!isName(name)) throw new CountersignError('keys-invalid', `"${name}" cannot name a key: no spaces, no "+"`);
  const typed = concatBytes(new Uint8Array([type]), key);
  const keyId = toHex(sha256(utf8(`${name}\n`), typed).subarray(0, 4));
  return { keyId, vkey: `${name}+${keyId}+${toBase64(typed)}` };
}

export const isName = (name: string): boolean => name !== '' && !/[\s+\p{Cc}]/u.test(name) && !hasLoneSurrogates(name);
// C2SP signed-note: no ASCII control characters but the newline.
// oxlint-disable-next-line no-control-regex
const hasControlCharacters = (text: string): boolean => /[\u0000-\u0009\u000b-\u001f]/.test(text);
const hasLoneSurrogates = (text: string): boolean => /\p{Cs}/u.test(text);

function refuse(why: string): never {
  throw new CountersignError('note-invalid', `the signed note is refused: ${why}`);
}
