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

/**
 * A template may make several objects; the line is that of the only one of its kind, or of the only one whose name in the template
 * best fits the name that was rendered.
 */
function templatePlace({ text, file }: RenderedDocument, { files, inputs }: Inputs): Source {
  const kind = /^kind: *["']?(\w+)/m.exec(text)?.[1];
  // In a chart's crds/ there are no templates.
  const plain = (inputs.get(file)?.objects ?? []).filter(({ identity }) => identity.kind === kind);
  if (plain.length === 1) return { path: file, line: plain[0].source.line };
  const template = files.get(file)?.toString() ?? '';
  const ofKind = [...template.matchAll(/^kind: *["']?(\w+)/gm)].filter((match) => match[1] === kind);
  const [one] = ofKind.length === 1 ? ofKind : bestNamed(template, ofKind, nameIn(text));
  return { path: file, line: one ? template.slice(0, one.index).split('\n').length : 1 };
}

/** Of several documents of one kind those whose written name fits, with the most letters of its own: the one, or none or several. */
function bestNamed(
  template: string,
  ofKind: readonly RegExpExecArray[],
  name: string | undefined,
): readonly RegExpExecArray[] {
  if (name === undefined) return [];
  const fits = ofKind.flatMap((match) => {
    const begin = template.lastIndexOf('\n---', match.index) + 1;
    const end = template.indexOf('\n---', match.index);
    const written = nameIn(template.slice(begin, end < 0 ? undefined : end));
    const letters = written === undefined ? null : lettersOf(written, name);
    return letters === null ? [] : [{ match, letters }];
  });
  const most = Math.max(...fits.map(({ letters }) => letters));
  const best = fits.filter(({ letters }) => letters === most);
  return best.length === 1 ? [best[0].match] : [];
}

/** What stands under `metadata:` as the name, braces and all. */
function nameIn(document: string): string | undefined {
  const [, metadata = ''] = /^metadata:[^\S\n]*\n((?:[ \t#{].*\n?|\n)*)/m.exec(document) ?? [];
  const inner =
    /^ +name: *(.*\S)/m.exec(metadata)?.[1] ?? /^metadata: *\{.*?\bname: *([^,}]*[^,}\s])/m.exec(document)?.[1];
  return inner?.replaceAll(/^["']|["']$/g, '');
}

/** How many letters of a name are written out where all of them fit in their order; null where they do not. */
function lettersOf(written: string, name: string): number | null {
  const literals = written.split(/\{\{.*?\}\}/);
  if (literals.length === 1) return written === name ? name.length : null;
  const [first, last] = [literals[0], literals.at(-1)!];
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return null;
  let at = first.length;
  for (const literal of literals.slice(1, -1)) {
    const found = name.indexOf(literal, at);
    if (found < 0) return null;
    at = found + literal.length;
  }
  return at + last.length <= name.length ? literals.join('').length : null;
}
