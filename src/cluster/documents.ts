import { type ManifestLimits, readManifest } from './manifest.js';
import type { KubernetesObject, ObjectIdentity } from './object.js';

/** What one document of a YAML file says, wherever it stands. */
export interface ManifestDocument {
  /** `line` counts from the first of the document's text, which is 0. */
  readonly objects: readonly {
    readonly identity: ObjectIdentity;
    readonly object: KubernetesObject;
    readonly line: number;
  }[];
  readonly otherDocuments: number;
  /** Line breaks in its text. */
  readonly lines: number;
}

const LINE_FEED = 0x0a;
const MARK = Buffer.from('\n---', 'latin1');

/**
 * A file's text cut where documents begin, each but the first with its `---`. A cut may be wrong where the text is not what most
 * manifests are: `readDocument` finds that out, and then the file must be read as a whole.
 */
export function splitDocuments(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + 1)) {
    const after = bytes[at + MARK.length];
    if (after !== undefined && after !== LINE_FEED && after !== 0x0d && after !== 0x20 && after !== 0x09) continue;
    parts.push(bytes.subarray(start, at + 1));
    start = at + 1;
  }
  parts.push(bytes.subarray(start));
  return parts;
}

/**
 * Reads a part of a file by itself; undefined where that could say something else than reading the whole file, or finds a fault,
 * whose place only the whole file gives. A mapping or list at the top cannot go on over a `---` at the start of a line: a quoted string
 * or what stands in brackets has no end when it is cut there and is a fault, and all other text of a mapping or list is indented.
 */
export function readDocument(
  path: string,
  part: Buffer,
  limits: Partial<ManifestLimits>,
): ManifestDocument | undefined {
  try {
    const { objects, otherDocuments, separable } = readManifest(path, part, limits);
    if (!separable) return undefined;
    return {
      objects: objects.map(({ identity, object, source }) => ({ identity, object, line: source.line - 1 })),
      otherDocuments,
      lines: countLines(part),
    };
  } catch {
    return undefined;
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) lines++;
  return lines;
}
