import { type Manifest, type ManifestLimits, readManifest } from '../cluster/manifest.js';
import type { ManifestObject } from '../cluster/object.js';
import { inNamespace } from '../cluster/scope.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { TreeReader } from '../source/repository.js';
import type { RenderedFolders } from './rendered-folders.js';

/** One file as it was read: what could be, and what stood in the way. */
export interface ReadFile {
  readonly objects: readonly ManifestObject[];
  readonly otherDocuments: number;
  readonly problems: readonly CountersignError[];
  /** Of the file, in bytes; 0 where it was never read. */
  readonly bytes: number;
}

/** Values parsed from YAML take about this many times the bytes of their text. */
const BYTES_PER_BYTE = 4;

const LFS_POINTER = Buffer.from('version https://git-lfs.github.com/spec/');

/**
 * Parsed manifests by blob id and path, the least recently used leaving first, bounded by bytes. The same blob gives the same
 * objects by identity, so that digests and differences of what did not change cost nothing.
 */
export class ManifestCache {
  private readonly files = new Map<string, ReadFile | Promise<ReadFile>>();
  private used = 0;

  constructor(
    private readonly capacity = 64 * 1024 * 1024,
    readonly limits: Partial<ManifestLimits> = {},
    /** Who parses, for those who want it done in another thread. */
    private readonly parse?: (path: string, bytes: Buffer) => Promise<ReadFile>,
    /** Folders of Kustomize and Helm; without it they are only named. */
    readonly folders?: RenderedFolders,
  ) {}

  /**
   * `namespace` as an environment's; undefined leaves objects as they are written. Faults of the file are in the answer; only
   * faults of the repository are thrown.
   */
  read(
    repository: TreeReader,
    file: { id: string; path: string },
    namespace?: string | null,
  ): Promise<ReadFile> | ReadFile {
    const key = `${file.id} ${file.path}\0${namespace === undefined ? '' : (namespace ?? '-')}`;
    const known = this.files.get(key);
    if (known) {
      if (!(known instanceof Promise)) this.touch(key, known);
      return known;
    }
    const reading = this.load(repository, file, namespace).then(
      (read) => {
        this.keep(key, read);
        return read;
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
    namespace?: string | null,
  ): Promise<ReadFile> {
    let bytes: Buffer;
    try {
      bytes = await repository.blob(id, this.limits.bytes ?? 10 * 1024 * 1024);
    } catch (thrown) {
      const error = toCountersignError(thrown);
      if (error.code !== 'manifest-too-large') throw error;
      return { objects: [], otherDocuments: 0, problems: [placed(error, path)], bytes: 0 };
    }
    const { parse } = this;
    return parse && namespace === undefined ? parse(path, bytes) : readFile(path, bytes, this.limits, namespace);
  }

  private keep(key: string, read: ReadFile): void {
    this.files.delete(key);
    this.files.set(key, read);
    this.used += cost(read);
    for (const [oldest, value] of this.files) {
      if (this.used <= this.capacity) break;
      if (value instanceof Promise) continue;
      this.files.delete(oldest);
      this.used -= cost(value);
    }
  }

  private touch(key: string, read: ReadFile): void {
    this.files.delete(key);
    this.files.set(key, read);
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
  if (bytes.length < 1024 && bytes.subarray(0, LFS_POINTER.length).equals(LFS_POINTER)) {
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
  if (namespace === undefined) return { ...manifest, problems: [], bytes: bytes.length };
  const problems: CountersignError[] = [];
  const objects = manifest.objects.map((object) => {
    try {
      return inNamespace(object, namespace);
    } catch (thrown) {
      problems.push(toCountersignError(thrown));
      return object;
    }
  });
  return { objects, otherDocuments: manifest.otherDocuments, problems, bytes: bytes.length };
}

function placed(error: CountersignError, file: string): CountersignError {
  if (error.place?.file === file) return error;
  const { remedy, retry } = error;
  return new CountersignError(error.code, error.message, { place: { file }, remedy, retry, cause: error.cause });
}

function cost(read: ReadFile): number {
  return read.bytes * BYTES_PER_BYTE + 400;
}
