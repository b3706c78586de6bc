import type { Source } from '../cluster/object.js';
import type { Closure } from './closure.js';
import type { ReadFile } from './manifest-cache.js';
import type { RenderedDocument } from './renderer.js';

/** What a rendered document may have been made from. */
export interface Inputs {
  readonly files: ReadonlyMap<string, Buffer>;
  /** Those that are YAML, as they are written. */
  readonly inputs: ReadonlyMap<string, ReadFile>;
  readonly closure: Pick<Closure, 'resources' | 'generated'>;
}

/**
 * The file and line that a document was made from; undefined where several could be it or none is, and Kustomize has to be asked.
 * A template says where it is itself.
 */
export function placeOf(document: RenderedDocument, of: Inputs): Source | undefined {
  const { written } = document;
  if (!written) return templatePlace(document, of);
  const found: Source[] = [];
  for (const path of of.closure.resources) {
    for (const { identity, source } of of.inputs.get(path)?.objects ?? []) {
      if (identity.kind === written.kind && identity.name === written.name) found.push(source);
    }
  }
  for (const { kind, name, file, line } of of.closure.generated) {
    if (kind === written.kind && name === written.name) found.push({ path: file, line });
  }
  return found.length === 1 ? found[0] : undefined;
}

/** The line of a document in the file that Kustomize names; 1 where it cannot be told. */
export function placeIn(path: string, { written }: RenderedDocument, { inputs, closure }: Inputs): Source {
  const generated = closure.generated.find(({ file, kind, name }) => file === path && kind === written?.kind && name === written.name); // prettier-ignore
  if (generated) return { path, line: generated.line };
  const ofKind = (inputs.get(path)?.objects ?? []).filter(({ identity }) => identity.kind === written?.kind);
  const named = ofKind.find(({ identity }) => identity.name === written?.name) ?? (ofKind.length === 1 ? ofKind[0] : undefined); // prettier-ignore
  return { path, line: named?.source.line ?? 1 };
}

/** A template may make several objects; the line is that of the only one of its kind. */
function templatePlace({ text, file }: RenderedDocument, { files, inputs }: Inputs): Source {
  const kind = /^kind: *["']?(\w+)/m.exec(text)?.[1];
  // In a chart's crds/ there are no templates.
  const plain = (inputs.get(file)?.objects ?? []).filter(({ identity }) => identity.kind === kind);
  if (plain.length === 1) return { path: file, line: plain[0].source.line };
  const template = files.get(file)?.toString() ?? '';
  const ofKind = [...template.matchAll(/^kind: *["']?(\w+)/gm)].filter((match) => match[1] === kind);
  const line = ofKind.length === 1 ? template.slice(0, ofKind[0].index).split('\n').length : 1;
  return { path: file, line };
}
