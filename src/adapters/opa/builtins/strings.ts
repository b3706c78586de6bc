import { array, bigint, checkItems, fail, members, text, type Builtin, type Builtins } from './builtin.js';
import { sprintf } from '../sprintf.js';

/** True if any string of the first has any string of the second as `matches` says; each is a string or a list of them. */
function anyMatch(matches: (value: string, part: string) => boolean): Builtin {
  return (_, search, base) => {
    const list = (v: typeof search) => (typeof v === 'string' ? [v] : members(v).map(text));
    const parts = list(base);
    return list(search).some((value) => parts.some((part) => matches(value, part)));
  };
}

/** Of a part of a text. */
function codePoints(text: string, from: number, to: number): number {
  let count = to - from;
  for (let i = from; i < to - 1; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xd800) count--;
  return count;
}

export const stringBuiltins: Builtins = {
  sprintf: (_, format, args) => sprintf(text(format), array(args)),
  'strings.any_prefix_match': anyMatch((value, prefix) => value.startsWith(prefix)),
  'strings.any_suffix_match': anyMatch((value, suffix) => value.endsWith(suffix)),
  'strings.count': (_, value, part) => {
    const [all, one] = [text(value), text(part)];
    if (one === '') return codePoints(all, 0, all.length) + 1;
    let count = 0;
    for (let at = all.indexOf(one); at >= 0; at = all.indexOf(one, at + one.length)) count++;
    return count;
  },
  indexof_n: (_, value, part) => {
    const [all, one] = [text(value), text(part)];
    if (one === '') return fail('empty search character');
    const found: number[] = [];
    // Code points are counted on from the last place, so that a long text is gone through once.
    let [seen, index] = [0, 0];
    for (let at = all.indexOf(one); at >= 0; at = all.indexOf(one, at + 1)) {
      index += codePoints(all, seen, at);
      seen = at;
      found.push(index);
      checkItems(found.length);
    }
    return found;
  },
  'numbers.range_step': (_, from, to, by) => {
    const [first, last, step] = [bigint(from), bigint(to), bigint(by)];
    if (step <= 0n) return fail('step must be a positive integer');
    checkItems((first <= last ? last - first : first - last) / step);
    const numbers: bigint[] = [];
    if (first <= last) for (let n = first; n <= last; n += step) numbers.push(n);
    else for (let n = first; n >= last; n -= step) numbers.push(n);
    return numbers;
  },
};
