import type { InputReader } from './read.js';

/** Files as one list of {path, contents}, by path, as Conftest combines them. `nameOf` is what a file is called in it. */
export function combinedText(
  files: readonly string[],
  reader: InputReader,
  {
    as,
    nameOf = (file) => file,
  }: { readonly as?: string | undefined; readonly nameOf?: (file: string) => string } = {},
): string {
  const parts = files
    .map((file) => ({ path: nameOf(file), texts: reader.read(file, as).map((text) => Buffer.from(text).toString()) }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .flatMap(({ path, texts }) => texts.map((text) => `{"path":${JSON.stringify(path)},"contents":${text}}`));
  return `[${parts.join(',')}]`;
}
