/** A prefix is a whole ref name or a folder of them; no prefixes at all: every ref. */
export function inPrefixes(ref: string, prefixes: readonly string[] | undefined): boolean {
  if (!prefixes) return true;
  return prefixes.some((prefix) => ref === prefix || ref.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`));
}
