import { createHash } from 'node:crypto';
import { parseSshKey, verifySshBlob, wasTouched, type SshKey } from './ssh-key.js';
import { decodeBase64, malformed, WireReader, wireString } from './ssh-wire.js';

const MAGIC = 'SSHSIG';
const KEYS_REMEMBERED = 1024;

/** An armoured SSH signature taken apart (PROTOCOL.sshsig of OpenSSH). */
export interface SshSignature {
  readonly key: SshKey;
  readonly namespace: string;
  readonly reserved: Buffer;
  readonly hash: 'sha256' | 'sha512';
  readonly signature: Buffer;
}

/** Throws `signature-malformed`. */
export function parseSshSignature(armoured: Buffer): SshSignature {
  const text = armoured.toString('latin1').replaceAll('\r\n', '\n');
  const body = /^-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n*$/.exec(text)?.[1];
  const blob = body === undefined ? undefined : decodeBase64(body.replaceAll('\n', ''));
  if (!blob) throw malformed('its armour is damaged');
  if (blob.toString('latin1', 0, MAGIC.length) !== MAGIC) throw malformed(`it does not begin with ${MAGIC}`);
  const reader = new WireReader(blob.subarray(MAGIC.length));
  const version = reader.uint32();
  if (version !== 1) throw malformed(`its version is ${version}, known is 1`);
  const key = rememberedKey(reader.string());
  const namespace = reader.text();
  const reserved = reader.string();
  const hash = reader.text();
  const signature = reader.string();
  reader.end('the signature');
  if (hash !== 'sha256' && hash !== 'sha512') throw malformed(`it hashes with ${JSON.stringify(hash)}`);
  return { key, namespace, reserved, hash, signature };
}

/** Whether the signature's own key made it over `message`. Whose key that is, and in which namespace, is the caller's question. */
export function verifySshSignature(signature: SshSignature, message: Buffer): boolean {
  const digest = createHash(signature.hash).update(message).digest();
  const signed = Buffer.concat([
    Buffer.from(MAGIC, 'latin1'),
    wireString(signature.namespace),
    wireString(signature.reserved),
    wireString(signature.hash),
    wireString(digest),
  ]);
  return verifySshBlob(signature.key, signature.signature, signed);
}

/** ssh-keygen accepts a security key that nobody touched; malware on the signer's machine can make such signatures. */
export function signerWasPresent(signature: SshSignature): boolean {
  return wasTouched(signature.key, signature.signature);
}

/** Few keys sign many commits, and making one ready costs more than a verification. */
const remembered = new Map<string, SshKey>();

function rememberedKey(blob: Buffer): SshKey {
  const id = blob.toString('latin1');
  const known = remembered.get(id);
  if (known) return known;
  const key = parseSshKey(Buffer.from(blob));
  if (remembered.size >= KEYS_REMEMBERED) remembered.clear();
  remembered.set(id, key);
  return key;
}
