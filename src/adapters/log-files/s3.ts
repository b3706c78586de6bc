import type { S3Client } from '@aws-sdk/client-s3';
import { invalid } from '../../audit/evidence.js';
import type { WritableLogFiles } from '../../audit/mirroring.js';
import { CountersignError } from '../../errors.js';

/** Where in an S3-compatible store; what is not said is found as the AWS SDK finds it (environment, profile, role of the machine). */
export interface S3Location {
  readonly bucket: string;
  /** Without slashes at its ends; '' is the whole bucket. */
  readonly prefix: string;
  readonly region?: string;
  /** Of a store that is not Amazon's; its bucket is then part of the path, not of the host name. */
  readonly endpoint?: string;
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** `s3://bucket/prefix`, with `?region=…&endpoint=https://…` where that is not Amazon's own. Throws `usage`. */
export function parseS3Location(text: string): S3Location {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const known = new Set(['region', 'endpoint']);
  if (url?.protocol !== 's3:' || url.hostname === '' || [...url.searchParams.keys()].some((key) => !known.has(key))) {
    throw new CountersignError('usage', `"${text}" is no place in an S3-compatible store`, {
      remedy: 'Write it like s3://bucket/prefix or s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-1',
    });
  }
  const [region, endpoint] = [url.searchParams.get('region'), url.searchParams.get('endpoint')];
  return {
    bucket: url.hostname,
    prefix: decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, ''),
    ...(region === null ? {} : { region }),
    ...(endpoint === null ? {} : { endpoint }),
  };
}

export interface OpenS3 {
  readonly sdk: typeof import('@aws-sdk/client-s3');
  /** For people. */
  readonly where: string;
  readonly key: (name: string) => string;
  /** Undefined for what is not there; rejects with `mirror-unavailable` (retry true). */
  readonly send: Send;
}

/** The SDK is loaded only here: it is large, and few need it. */
export async function openS3(location: S3Location): Promise<OpenS3> {
  const sdk = await import('@aws-sdk/client-s3');
  const { bucket, prefix, region, endpoint, credentials } = location;
  const client = new sdk.S3Client({
    ...(region === undefined ? (endpoint === undefined ? {} : { region: 'us-east-1' }) : { region }),
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(credentials ? { credentials } : {}),
    // Stores that are not Amazon's may not know newer checksums; what is copied here is checked by its own digests.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: 10_000, requestTimeout: 60_000 },
    maxAttempts: 3,
  });
  const where = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
  const key = (name: string): string => (prefix === '' ? name : `${prefix}/${name}`);
  return { sdk, where, key, send: sender(client, where) };
}

/** A log as objects of an S3-compatible store. */
export async function s3Files(location: S3Location): Promise<WritableLogFiles> {
  const { sdk, where, key, send } = await openS3(location);
  const Bucket = location.bucket;
  return {
    where,
    async read(name, limit) {
      const found = await send(new sdk.GetObjectCommand({ Bucket, Key: key(name) }));
      if (!found?.Body) return undefined;
      if ((found.ContentLength ?? 0) > limit) throw invalid(`it is longer than ${limit} bytes`, name);
      return found.Body.transformToByteArray();
    },
    async exists(name) {
      return (await send(new sdk.HeadObjectCommand({ Bucket, Key: key(name) }))) !== undefined;
    },
    async write(name, bytes) {
      const headers = name === 'checkpoint' ? mutable : immutable;
      const put = await send(new sdk.PutObjectCommand({ Bucket, Key: key(name), Body: bytes, ...headers }));
      if (!put) throw unavailable(where, `${name} was not taken`);
    },
    async remove(name) {
      await send(new sdk.DeleteObjectCommand({ Bucket, Key: key(name) }));
    },
    async removeAll(start) {
      for (;;) {
        const listed = await send(new sdk.ListObjectsV2Command({ Bucket, Prefix: key(start) }));
        const found = listed?.Contents?.flatMap(({ Key }) => (Key === undefined ? [] : [Key])) ?? [];
        for (const Key of found) await send(new sdk.DeleteObjectCommand({ Bucket, Key }));
        if (!listed?.IsTruncated) return;
      }
    },
  };
}

// For those who serve the bucket as it is.
const mutable = { ContentType: 'text/plain; charset=utf-8', CacheControl: 'no-cache' };
const immutable = { ContentType: 'application/octet-stream', CacheControl: 'public, max-age=31536000, immutable' };

type Send = S3Client['send'];

/** Undefined for what is not there; everything else that goes wrong can be tried again. */
function sender(client: S3Client, where: string): Send {
  const send = async (command: Parameters<Send>[0]): Promise<unknown> => {
    try {
      return await client.send(command);
    } catch (cause) {
      const { name, message, $metadata } = cause as Error & { $metadata?: { httpStatusCode?: number } };
      // A bucket that is not there is no file that is not there.
      if ($metadata?.httpStatusCode === 404 && name !== 'NoSuchBucket') return undefined;
      throw unavailable(where, message || name, cause);
    }
  };
  return send as Send;
}

function unavailable(where: string, why: string, cause?: unknown): CountersignError {
  return new CountersignError('mirror-unavailable', `${where} cannot be used: ${why}`, {
    remedy: 'Check bucket, endpoint, region and credentials (AWS_… in the environment)',
    retry: true,
    cause,
  });
}
