/** More alternatives than this in one glob's braces are taken literally. */
const MAX_ALTERNATIVES = 64;

/**
 * A glob as people write them in ignore lists: `**` any folders, `*` and `?` within one name, `{a,b}` either, everything else
 * itself. Matched without regular expressions, in time bounded by pattern times path: both come from repositories, and
 * a pattern with many stars would keep a backtracking matcher busy for ever (invariant 8).
 */
export function globMatcher(glob: string): (path: string) => boolean {
  const patterns = alternatives(glob).map((pattern) => pattern.split('/'));
  return (path) => {
    const names = path.split('/');
    return patterns.some((pattern) => matchFolders(pattern, names));
  };
}

/** Up to the first comma in one way only: a brace that is never closed would else be tried at each of its commas. */
const GROUP = /\{([^{},]*,[^{}]*)\}/;

function alternatives(glob: string): string[] {
  let done: string[] = [''];
  let rest = glob;
  for (let group = GROUP.exec(rest); group; group = GROUP.exec(rest)) {
    const before = rest.slice(0, group.index);
    const choices = group[1].split(',');
    if (done.length * choices.length > MAX_ALTERNATIVES) break;
    done = done.flatMap((start) => choices.map((choice) => start + before + choice));
    rest = rest.slice(group.index + group[0].length);
  }
  return done.map((start) => start + rest);
}

/** `**` stands for any number of names. Only the last one is ever tried again: an earlier one could not do better. */
function matchFolders(pattern: readonly string[], names: readonly string[]): boolean {
  return matchStars(
    pattern,
    names,
    (part) => part === '**',
    (part, name) =>
      matchStars(
        part,
        name,
        (char) => char === '*',
        (char, of) => char === '?' || char === of,
      ),
  );
}

interface Sequence<T> {
  readonly length: number;
  readonly [index: number]: T;
}

function matchStars<T>(
  pattern: Sequence<T>,
  text: Sequence<T>,
  isStar: (part: T) => boolean,
  same: (part: T, of: T) => boolean,
): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let from = 0;
  while (t < text.length) {
    if (p < pattern.length && isStar(pattern[p])) {
      star = p++;
      from = t;
    } else if (p < pattern.length && same(pattern[p], text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++from;
    } else return false;
  }
  while (p < pattern.length && isStar(pattern[p])) p++;
  return p === pattern.length;
}
