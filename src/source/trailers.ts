const TRAILER = /^([A-Za-z0-9][A-Za-z0-9-]*)[ \t]*:\s*(.*)$/;
const MADE_BY_GIT = /^(?:Signed-off-by: |\(cherry picked from commit )/;

/** By name. */
export type Trailers = Readonly<Record<string, readonly string[]>>;

/** The values of one, in their order, whatever the case of its name. */
export function trailerValues(trailers: Trailers, name: string): readonly string[] {
  const wanted = name.toLowerCase();
  for (const key in trailers) if (key.toLowerCase() === wanted) return trailers[key];
  return [];
}

/**
 * The trailers of a commit message as git-interpret-trailers(1) finds them: the last paragraph, unless it is the title, if
 * all of its lines are trailers, or if git itself wrote one of them and a quarter are. Names that differ in case only are one.
 */
export function parseTrailers(message: string): Trailers {
  const lines = lastParagraph(message);
  const values: { name: string; value: string }[] = [];
  let trailers = 0;
  let others = 0;
  let fromGit = false;
  for (const line of lines) {
    if (MADE_BY_GIT.test(line)) fromGit = true;
    const match = TRAILER.exec(line);
    const last = values.at(-1);
    if (match) {
      values.push({ name: match[1], value: match[2].trim() });
      trailers++;
    } else if (/^\s/.test(line) && last) last.value = `${last.value} ${line.trim()}`;
    else if (line.startsWith('(cherry picked from commit ')) trailers++;
    else others++;
  }
  if (trailers === 0 || (others > 0 && !(fromGit && trailers * 3 >= others))) return {};
  return group(values);
}

function lastParagraph(message: string): string[] {
  const lines = message.trimEnd().split(/\r?\n/);
  const start = lines.findLastIndex((line) => line.trim() === '') + 1;
  return start === 0 ? [] : lines.slice(start);
}

function group(values: readonly { name: string; value: string }[]): Record<string, readonly string[]> {
  const byKey = new Map<string, { name: string; values: string[] }>();
  for (const { name, value } of values) {
    const entry = byKey.get(name.toLowerCase()) ?? { name, values: [] };
    entry.values.push(value);
    byKey.set(name.toLowerCase(), entry);
  }
  // fromEntries defines own properties, so a trailer called `constructor` is data like any other.
  return Object.fromEntries([...byKey.values()].map((entry) => [entry.name, entry.values]));
}
