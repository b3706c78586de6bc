import { array, bigint, fail, members, text, type Builtin, type Builtins } from './builtin.js';
import { sprintf } from '../sprintf.js';

/** True if any string of the first has any string of the second as `matches` says; each is a string or a list of them. */
function anyMatch(matches: (value: string, part: string) => boolean): Builtin {
  return (_, search, base) => {
    const list = (v: typeof search) => (typeof v === 'string' ? [v] : members(v).map(text));
    const parts = list(base);
    return list(search).some((value) => parts.some((part) => matches(value, part)));
  };
}

export const stringBuiltins: Builtins = {
  sprintf: (_, format, args) => sprintf(text(format), array(args)),
  'strings.any_prefix_match': anyMatch((value, prefix) => value.startsWith(prefix)),
  'strings.any_suffix_match': anyMatch((value, suffix) => value.endsWith(suffix)),
  'strings.count': (_, value, part) => {
    const [all, one] = [text(value), text(part)];
    return one === '' ? Array.from(all).length + 1 : all.split(one).length - 1;
  },
  indexof_n: (_, value, part) => {
    const [all, one] = [Array.from(text(value)), Array.from(text(part))];
    if (one.length === 0) return fail('empty search character');
    const starts = [...all.keys()].slice(0, Math.max(0, all.length - one.length + 1));
    return starts.filter((i) => one.every((char, j) => all[i + j] === char));
  },
  'numbers.range_step': (_, from, to, by) => {
    const [first, last, step] = [bigint(from), bigint(to), bigint(by)];
    if (step <= 0n) return fail('step must be a positive integer');
    const numbers: bigint[] = [];
    if (first <= last) for (let n = first; n <= last; n += step) numbers.push(n);
    else for (let n = first; n >= last; n -= step) numbers.push(n);
    return numbers;
  },
};
