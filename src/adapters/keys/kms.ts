import type { KMSClient } from '@aws-sdk/client-kms';
import { ed25519Verifier } from '../../audit/crypto.js';
import type { Ed25519Signer } from '../../audit/crypto.js';
import { CountersignError } from '../../errors.js';

/** What KMS signs as it is (MessageType RAW), in bytes. A checkpoint has some two hundred; an entry may have more than this. */
const maxMessageBytes = 4096;
// RFC 8410: what stands before a raw Ed25519 public key in its DER form.
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

interface KmsReference {
  readonly key: string;
  readonly region?: string;
  readonly endpoint?: string;
}

/** `kms:KEY`, an id, ARN or `alias/NAME`, with `?region=…&endpoint=https://…` where the AWS SDK does not find them by itself. */
export function parseKmsReference(text: string): KmsReference {
  const [, key, query = ''] = /^kms:([\w:/+=,.@-]+)(?:\?(.*))?$/.exec(text.trim()) ?? [];
  const options = new URLSearchParams(query);
  const [region, endpoint] = [options.get('region'), options.get('endpoint')];
  const strange = [...options.keys()].some((name) => name !== 'region' && name !== 'endpoint');
  if (key === undefined || strange || (endpoint !== null && !URL.canParse(endpoint))) {
    throw new CountersignError('keys-invalid', `"${text.slice(0, 200)}" names no key in AWS KMS`, {
      remedy:
        'Write it like kms:arn:aws:kms:eu-central-1:111122223333:key/… or kms:alias/countersign?region=eu-central-1',
    });
  }
  return { key, ...(region === null ? {} : { region }), ...(endpoint === null ? {} : { endpoint }) };
}

/**
 * An Ed25519 key that never leaves AWS KMS (key spec ECC_NIST_EDWARDS25519); it needs kms:GetPublicKey and kms:Sign. Every signature is
 * checked before it is used. Throws `keys-invalid` for a key of another kind, `keys-unavailable` while KMS does not answer.
 */
export async function kmsSigner(reference: string): Promise<Ed25519Signer> {
  const { key: KeyId, region, endpoint } = parseKmsReference(reference);
  // Loaded only here: the SDK is large, and few need it.
  const sdk = await import('@aws-sdk/client-kms');
  const client: KMSClient = new sdk.KMSClient({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    requestHandler: { connectionTimeout: 5_000, requestTimeout: 10_000 },
    maxAttempts: 3,
  });
  const found = await asking(KeyId, () => client.send(new sdk.GetPublicKeyCommand({ KeyId })));
  const der = Buffer.from(found.PublicKey ?? []);
  if (found.KeySpec !== 'ECC_NIST_EDWARDS25519' || der.length !== 44 || !der.subarray(0, 12).equals(spkiPrefix)) {
    throw new CountersignError('keys-invalid', `the key ${KeyId} in KMS is ${found.KeySpec ?? 'of no known kind'}`, {
      remedy: 'Create one with key spec ECC_NIST_EDWARDS25519 and key usage SIGN_VERIFY',
    });
  }
  const publicKey = der.subarray(12);
  const verify = ed25519Verifier(publicKey);
  return {
    publicKey,
    async sign(message) {
      if (message.length > maxMessageBytes) {
        throw new CountersignError('keys-invalid', `KMS signs no more than ${maxMessageBytes} bytes as they are`, {
          remedy: "Keep only the log's key in KMS: checkpoints are short, entries may be longer",
        });
      }
      const { Signature } = await asking(KeyId, () =>
        client.send(
          new sdk.SignCommand({ KeyId, Message: message, MessageType: 'RAW', SigningAlgorithm: 'ED25519_SHA_512' }),
        ),
      );
      if (!Signature || !verify(message, Signature)) {
        throw new CountersignError('keys-unavailable', `what KMS gave is no signature by the key ${KeyId}`, {
          retry: true,
        });
      }
      return Signature;
    },
  };
}

const wrongByName = /AccessDenied|NotFound|InvalidKeyUsage|UnsupportedOperation|Disabled|KMSInvalidState|Credentials/;

async function asking<T>(key: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    const { name, message } = cause as Error;
    const wrong = wrongByName.test(name);
    throw new CountersignError('keys-unavailable', `AWS KMS does not sign with ${key}: ${name}: ${message}`, {
      remedy: wrong
        ? 'See that the key is enabled, and that this service may call kms:GetPublicKey and kms:Sign on it'
        : 'This is tried again by itself; see that KMS can be reached from here',
      retry: true,
      cause,
    });
  }
}
