import { diff } from 'node:util';

/** Lines around a difference. */
const CONTEXT = 3;

/** How a text becomes another, as a unified diff that `patch` and `git apply` read; '' where they are the same. */
export function lineDiff(before: string, after: string, file: string): string {
  if (before === after) return '';
  // Asked the other way round, so that what is new is an insertion.
  const entries = deletionsFirst(diff(linesOf(after), linesOf(before)));
  const lines = [`--- a/${file}`, `+++ b/${file}`];
  for (const [from, to] of hunks(entries.map(([change]) => change !== 0))) {
    const part = entries.slice(from, to);
    const count = (...kinds: readonly number[]) => (list: typeof entries) => list.filter(([change]) => kinds.includes(change)).length; // prettier-ignore
    const [inOld, inNew] = [count(0, -1), count(0, 1)];
    const range = (in_: typeof inOld) => `${in_(entries.slice(0, from)) + 1},${in_(part)}`;
    lines.push(`@@ -${range(inOld)} +${range(inNew)} @@`);
    lines.push(...part.map(([change, line]) => `${change === 0 ? ' ' : change > 0 ? '+' : '-'}${printed(line)}`));
  }
  return lines.join('\n');
}

/** Each with the break that ends it. */
const linesOf = (text: string): string[] => text.split(/(?<=\n)/);

const printed = (line: string): string =>
  line.endsWith('\n') ? line.slice(0, -1) : `${line}\n\\ No newline at end of file`;

/** As everybody reads them: what goes, then what comes. */
function deletionsFirst<T extends readonly [number, unknown]>(entries: readonly T[]): T[] {
  const found: T[] = [];
  for (let i = 0; i < entries.length;) {
    const end = entries.findIndex(([change], at) => at >= i && (change === 0) !== (entries[i][0] === 0));
    const run = entries.slice(i, end < 0 ? entries.length : end);
    found.push(...(run[0][0] === 0 ? run : run.toSorted(([a], [b]) => a - b)));
    i += run.length;
  }
  return found;
}

/** From and to of what is shown: differences with what is around them, joined where that touches. */
function hunks(differs: readonly boolean[]): [from: number, to: number][] {
  const found: [number, number][] = [];
  for (const [i, different] of differs.entries()) {
    if (!different) continue;
    const [from, to] = [Math.max(0, i - CONTEXT), Math.min(differs.length, i + CONTEXT + 1)];
    const last = found.at(-1);
    if (last && from <= last[1]) last[1] = to;
    else found.push([from, to]);
  }
  return found;
}
