import { type ManifestDocument, readDocument, splitDocuments } from '../cluster/documents.js';
import { defaultLimits, type Manifest, type ManifestLimits, readManifest } from '../cluster/manifest.js';
import type { ManifestObject } from '../cluster/object.js';
import { inNamespace } from '../cluster/scope.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { TreeReader } from '../source/repository.js';
import { DocumentCache } from './document-cache.js';
import type { RenderedFolders } from './rendered-folders.js';

/** One file as it was read: what could be, and what stood in the way. */
export interface ReadFile {
  readonly objects: readonly ManifestObject[];
  readonly otherDocuments: number;
  readonly problems: readonly CountersignError[];
  /** Of the file, in bytes; 0 where it was never read. */
  readonly bytes: number;
}

/** Who reads the bytes of files; `null` and names are the environment's namespace, undefined leaves objects as they are written. */
export interface Parser {
  parse(path: string, bytes: Buffer, namespace?: string | null): Promise<ReadFile> | ReadFile;
  /** As `readDocument`. */
  document(
    path: string,
    part: Buffer,
    namespace?: string | null,
  ): Promise<ManifestDocument | undefined> | ManifestDocument | undefined;
}

interface Kept {
  readonly read: ReadFile;
  /** Of the documents that it shares with other files. */
  readonly documents: readonly string[];
  readonly cost: number;
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
  private readonly parser: Parser;
  private used = 0;

  constructor(
    private readonly capacity = 64 * 1024 * 1024,
    readonly limits: Partial<ManifestLimits> = {},
    /** Who parses, for those who want it done in another thread. */
    parser?: Parser,
    /** Folders of Kustomize and Helm; without it they are only named. */
    readonly folders?: RenderedFolders,
  ) {
    this.parser = parser ?? {
      parse: (path, bytes, namespace) => readFile(path, bytes, limits, namespace),
      document: (path, part, namespace) => readNamespaced(path, part, limits, namespace),
    };
  }

  /** In bytes, estimated. */
  get held(): number {
    return this.used + this.documents.used;
  }

  /**
   * `namespace` as an environment's; undefined leaves objects as they are written. Faults of the file are in the answer; only
   * faults of the repository are thrown.
   */
  read(
    repository: TreeReader,
    file: { id: string; path: string },
    namespace?: string | null,
  ): Promise<ReadFile> | ReadFile {
    const variant = namespace === undefined ? '' : (namespace ?? '-');
    const key = `${file.id} ${file.path}\0${variant}`;
    const known = this.files.get(key);
    if (known instanceof Promise) return known;
    if (known) {
      this.files.delete(key);
      this.files.set(key, known);
      return known.read;
    }
    const reading = this.load(repository, file, variant, namespace).then(
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
    repository: TreeReader,
    { id, path }: { id: string; path: string },
    variant: string,
    namespace?: string | null,
  ): Promise<Kept> {
    let bytes: Buffer;
    try {
      bytes = await repository.blob(id, this.limits.bytes ?? defaultLimits.bytes);
    } catch (thrown) {
      const error = toCountersignError(thrown);
      if (error.code !== 'manifest-too-large') throw error;
      return whole({ objects: [], otherDocuments: 0, problems: [placed(error, path)], bytes: 0 });
    }
    return (
      (await this.byDocuments(path, bytes, variant, namespace)) ??
      whole(await this.parser.parse(path, bytes, namespace))
    );
  }

  /** undefined: the file must be read as a whole. */
  private async byDocuments(
    path: string,
    bytes: Buffer,
    variant: string,
    namespace?: string | null,
  ): Promise<Kept | undefined> {
    if (path.endsWith('.json') || isLfsPointer(bytes)) return undefined;
    const parts = splitDocuments(bytes);
    if (parts.length > (this.limits.documents ?? defaultLimits.documents)) return undefined;
    const held = parts.map((part) =>
      this.documents.acquire(part, variant, () => this.parser.document(path, part, namespace)),
    );
    const keys = held.map(({ key }) => key);
    let kept = false;
    try {
      const objects: ManifestObject[] = [];
      let otherDocuments = 0;
      let line = 1;
      for (const { document } of held) {
        const read = document instanceof Promise ? await document : document;
        if (!read) return undefined;
        for (const { identity, object, line: own } of read.objects)
          objects.push({ identity, object, source: { path, line: line + own } });
        otherDocuments += read.otherDocuments;
        line += read.lines;
      }
      kept = true;
      const cost = BYTES_PER_FILE + objects.length * BYTES_PER_OBJECT;
      return { read: { objects, otherDocuments, problems: [], bytes: bytes.length }, documents: keys, cost };
    } finally {
      if (!kept) this.documents.release(keys);
    }
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
      this.documents.release(value.documents);
    }
  }
}

function whole(read: ReadFile): Kept {
  return { read, documents: [], cost: read.bytes * BYTES_PER_BYTE + BYTES_PER_FILE };
}

function isLfsPointer(bytes: Buffer): boolean {
  return bytes.length < 1024 && bytes.subarray(0, LFS_POINTER.length).equals(LFS_POINTER);
}

export function readNamespaced(
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
