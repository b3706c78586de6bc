import { createWriteStream } from 'node:fs';
import { access, rename, rm, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { manifestFileOf } from '../adapters/evidence/listing.js';
import { CountersignError } from '../errors.js';
import type { ExportManifest } from '../report/export-entry.js';
import { jsonOf, notKnown, reach } from './ask.js';

type Manifest = ExportManifest & { readonly index: number };

/** Writes what a service answers to a new file, with its manifest beside it; half a listing is never left behind under its name. */
export async function fetchListing(
  address: URL,
  file: string,
): Promise<{ readonly manifest: Manifest; readonly manifestFile: string }> {
  const manifestFile = manifestFileOf(file);
  for (const path of [file, manifestFile]) await requireNew(path);
  const response = await reach(address);
  const said = response.headers.get('countersign-export');
  if (!response.ok || said === null || !response.body) throw await refusal(response, address);
  const manifest = JSON.parse(said) as Manifest;
  const partial = `${file}.part`;
  try {
    const body = Readable.fromWeb(response.body);
    await pipeline(body, createWriteStream(partial, { flags: 'wx' }));
    await writeFile(manifestFile, `${JSON.stringify(manifest, null, 2)}\n`, { flag: 'wx' });
    await rename(partial, file);
  } catch (cause) {
    await rm(partial, { force: true });
    if (cause instanceof CountersignError) throw cause;
    throw new CountersignError('usage', `${file} could not be written: ${(cause as Error).message}`, { cause });
  }
  return { manifest, manifestFile };
}

async function requireNew(path: string): Promise<void> {
  const there = await access(path).then(() => true, () => false); // prettier-ignore
  if (there) throw new CountersignError('usage', `${path} is there already`, { remedy: 'Name a new file with --to' });
}

async function refusal(response: Response, address: URL): Promise<CountersignError> {
  const { detail, remedy } = await jsonOf<{ detail?: string; remedy?: string }>(response, address);
  if (response.status === 401) return notKnown(detail ?? '');
  return new CountersignError(
    'query-invalid',
    detail ?? `${address.origin} answers ${response.status}`,
    remedy ? { remedy } : {},
  );
}
