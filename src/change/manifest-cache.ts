import { type ManifestDocument, readDocument, splitDocuments } from '../cluster/documents.js';
import { defaultLimits, type Manifest, type ManifestLimits, readManifest } from '../cluster/manifest.js';
import type { ManifestObject } from '../cluster/object.js';
import { inNamespace } from '../cluster/scope.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { TreeReader } from '../source/repository.js';
import { commonParts } from './common-parts.js';
import { DocumentCache, type HeldDocument } from './document-cache.js';
import type { RenderedFolders } from './rendered-folders.js';

/** One file as it was read: what could be, and what stood in the way. */
export interface ReadFile {
  readonly objects: readonly ManifestObject[];
  readonly otherDocuments: number;
  readonly problems: readonly CountersignError[];
  /** Of the file, in bytes; 0 where it was never read. */
  readonly bytes: number;
}

/** A version of a file, wherever it is in history. */
export interface FileVersion {
  readonly id: string;
  readonly path: string;
}

interface ReadAs {
  /** For keys: what `namespace` says. */
  readonly variant: string;
  readonly namespace: string | null | undefined;
}

interface Kept {
  readonly read: ReadFile;
  /** undefined: it was read as a whole. */
  readonly parts: FileParts | undefined;
  readonly cost: number;
}

/** A file by its documents, which it shares with other files and other versions of itself. */
interface FileParts {
  readonly path: string;
  readonly bytes: Buffer;
  /** Where each document ends. */
  readonly ends: readonly number[];
  readonly held: readonly HeldDocument[];
}

/** Values parsed from YAML take about this many times the bytes of their text. */
const BYTES_PER_BYTE = 4;
const BYTES_PER_FILE = 400;
const BYTES_PER_OBJECT = 150;

const LFS_POINTER = Buffer.from('version https://git-lfs.github.com/spec/');

/**
 * Parsed manifests by blob id and path, the least recently used leaving first, bounded by bytes. The same document gives the same
 * objects by identity, so that digests and differences of what did not change cost nothing.
 */
export class ManifestCache {
  private readonly files = new Map<string, Kept | Promise<ReadFile>>();
  private readonly documents = new DocumentCache();
  private used = 0;

  constructor(
    private readonly capacity = 64 * 1024 * 1024,
    readonly limits: Partial<ManifestLimits> = {},
    /** Folders of Kustomize and Helm; without it they are only named. */
    readonly folders?: RenderedFolders,
  ) {}

  /** In bytes, estimated. */
  get held(): number {
    return this.used + this.documents.used;
  }

  /**
   * `namespace` as an environment's; undefined leaves objects as they are written. Faults of the file are in the answer; only
   * faults of the repository are thrown. `earlier` is a version of the file that may be here: only what differs is read then.
   */
  read(
    repository: Pick<TreeReader, 'blob'>,
    file: FileVersion,
    namespace?: string | null,
    earlier?: FileVersion,
  ): Promise<ReadFile> | ReadFile {
    const variant = namespace === undefined ? '' : (namespace ?? '-');
    const key = keyOf(file, variant);
    const known = this.files.get(key);
    if (known instanceof Promise) return known;
    if (known) {
      this.files.delete(key);
      this.files.set(key, known);
      return known.read;
    }
    const reading = this.load(repository, file, { variant, namespace }, earlier).then(
      (kept) => {
        this.keep(key, kept);
        return kept.read;
      },
      (error: unknown) => {
        this.files.delete(key);
        throw error;
      },
    );
    this.files.set(key, reading);
    return reading;
  }

  private async load(
    repository: Pick<TreeReader, 'blob'>,
    { id, path }: FileVersion,
    as: ReadAs,
    earlier: FileVersion | undefined,
  ): Promise<Kept> {
    let bytes: Buffer;
    try {
      bytes = await repository.blob(id, this.limits.bytes ?? defaultLimits.bytes);
    } catch (thrown) {
      const error = toCountersignError(thrown);
      if (error.code !== 'manifest-too-large') throw error;
      return whole({ objects: [], otherDocuments: 0, problems: [placed(error, path)], bytes: 0 });
    }
    const before = earlier && (await this.known(keyOf(earlier, as.variant)));
    return this.byDocuments(path, bytes, as, before) ?? whole(readFile(path, bytes, this.limits, as.namespace));
  }

  /** What is kept, or about to be. */
  private async known(key: string): Promise<Kept | undefined> {
    const known = this.files.get(key);
    // Its own reader is told what is wrong with it.
    if (known instanceof Promise) await known.catch(() => undefined);
    const kept = this.files.get(key);
    return kept instanceof Promise ? undefined : kept;
  }

  /** undefined: the file must be read as a whole. */
  private byDocuments(path: string, bytes: Buffer, as: ReadAs, before: Kept | undefined): Kept | undefined {
    if (path.endsWith('.json') || isLfsPointer(bytes)) return undefined;
    const old = before?.parts;
    const { head, tail, from, to } = old ? commonParts(old.bytes, old.ends, bytes) : NOTHING_COMMON;
    const between = from === to && head + tail > 0 ? [] : splitDocuments(bytes.subarray(from, old ? to : undefined));
    if (head + between.length + tail > (this.limits.documents ?? defaultLimits.documents)) return undefined;
    const held: HeldDocument[] = [];
    const share = (start: number, end: number) => {
      for (let i = start; i < end; i++) held.push(this.documents.share(old!.held[i]));
    };
    share(0, head);
    for (const part of between) {
      const read = () => readNamespaced(path, part, this.limits, as.namespace);
      held.push(this.documents.acquire(part, as.variant, read));
      if (held.at(-1)!.document) continue;
      this.documents.release(held);
      return undefined;
    }
    if (old) share(old.held.length - tail, old.held.length);
    const ends = old ? old.ends.slice(0, head) : [];
    let end = from;
    for (const part of between) ends.push((end += part.length));
    if (old && tail > 0) for (const at of old.ends.slice(-tail)) ends.push(at + bytes.length - old.bytes.length);
    const read = { ...assemble(path, held, old?.path === path ? before!.read.objects : []), bytes: bytes.length };
    const cost = BYTES_PER_FILE + read.objects.length * BYTES_PER_OBJECT + bytes.length;
    return { read, parts: { path, bytes, ends, held }, cost };
  }

  private keep(key: string, kept: Kept): void {
    this.files.delete(key);
    this.files.set(key, kept);
    this.used += kept.cost;
    for (const [oldest, value] of this.files) {
      if (this.held <= this.capacity) break;
      if (value instanceof Promise) continue;
      this.files.delete(oldest);
      this.used -= value.cost;
      if (value.parts) this.documents.release(value.parts.held);
    }
  }
}

function keyOf({ id, path }: FileVersion, variant: string): string {
  return `${id} ${path}\0${variant}`;
}

function whole(read: ReadFile): Kept {
  return { read, parts: undefined, cost: read.bytes * BYTES_PER_BYTE + BYTES_PER_FILE };
}

function isLfsPointer(bytes: Buffer): boolean {
  return bytes.length < 1024 && bytes.subarray(0, LFS_POINTER.length).equals(LFS_POINTER);
}

const NOTHING_COMMON = { head: 0, tail: 0, from: 0, to: 0 };

/** What the documents say at the lines where they stand; `known` are entries of an earlier version, which stay one if they are equal. */
function assemble(
  path: string,
  held: readonly HeldDocument[],
  known: readonly ManifestObject[],
): Omit<ReadFile, 'bytes'> {
  const objects: ManifestObject[] = [];
  let otherDocuments = 0;
  let line = 1;
  for (const { document } of held) {
    for (const { identity, object, line: own } of document!.objects) {
      const same = known[objects.length];
      if (same?.object === object && same.source.line === line + own) objects.push(same);
      else objects.push({ identity, object, source: { path, line: line + own } });
    }
    otherDocuments += document!.otherDocuments;
    line += document!.lines;
  }
  return { objects, otherDocuments, problems: [] };
}

function readNamespaced(
  path: string,
  part: Buffer,
  limits: Partial<ManifestLimits>,
  namespace?: string | null,
): ManifestDocument | undefined {
  const document = readDocument(path, part, limits);
  if (!document || namespace === undefined) return document;
  try {
    const objects = document.objects.map(({ line, ...written }) => {
      const { identity, object } = inNamespace({ ...written, source: { path, line } }, namespace);
      return { identity, object, line };
    });
    return { ...document, objects };
  } catch {
    return undefined;
  }
}

/** A file's bytes to objects; what cannot be read becomes a problem with its place. */
export function readFile(
  path: string,
  bytes: Buffer,
  limits: Partial<ManifestLimits>,
  namespace?: string | null,
): ReadFile {
  const nothing = { objects: [], otherDocuments: 0, bytes: bytes.length };
  if (isLfsPointer(bytes)) {
    const remedy = 'Commit the file itself, or list it under "ignore"';
    const error = new CountersignError(
      'manifest-malformed',
      'the file is a Git LFS pointer, its content is elsewhere',
      { place: { file: path }, remedy },
    );
    return { ...nothing, problems: [error] };
  }
  let manifest: Manifest;
  try {
    manifest = readManifest(path, bytes, limits);
  } catch (thrown) {
    return { ...nothing, problems: [placed(toCountersignError(thrown), path)] };
  }
  const { otherDocuments } = manifest;
  if (namespace === undefined) return { ...nothing, objects: manifest.objects, otherDocuments, problems: [] };
  const problems: CountersignError[] = [];
  const objects = manifest.objects.map((object) => {
    try {
      return inNamespace(object, namespace);
    } catch (thrown) {
      problems.push(toCountersignError(thrown));
      return object;
    }
  });
  return { objects, otherDocuments, problems, bytes: bytes.length };
}

function placed(error: CountersignError, file: string): CountersignError {
  if (error.place?.file === file) return error;
  const { remedy, retry } = error;
  return new CountersignError(error.code, error.message, { place: { file }, remedy, retry, cause: error.cause });
}
