import { RE2JS } from 're2js';
import { bigint, checkItems, fail, text, type Builtins } from './builtin.js';

/** RE2, as OPA's own: no pattern takes more than linear time, whatever a policy or an object holds. */
const compiled = new Map<string, RE2JS>();
const KEPT = 500;

function pattern(source: string): RE2JS {
  let known = compiled.get(source);
  if (!known) {
    try {
      known = RE2JS.compile(source);
    } catch (error) {
      return fail((error as Error).message);
    }
    if (compiled.size >= KEPT) compiled.clear();
    compiled.set(source, known);
  }
  return known;
}

/** Go's replacement syntax to that of re2js: `$name` and `${1}` become `${name}` and `$1`, a backslash is itself. */
function replacement(template: string): string {
  return template
    .replaceAll('\\', '\\\\')
    .replace(/\$(\w+)/g, '${$1}')
    .replace(/\$\{(\d+)\}/g, '$$$1');
}

export const regexBuiltins: Builtins = {
  'regex.replace': (_, value, source, template) =>
    pattern(text(source))
      .matcher(text(value))
      .replaceAll(replacement(text(template))),
  'regex.find_n': (_, source, value, limit) => {
    const matcher = pattern(text(source)).matcher(text(value));
    const asked = Number(bigint(limit));
    const most = asked < 0 ? Number.POSITIVE_INFINITY : asked;
    const found: string[] = [];
    for (let i = 0; i < most && matcher.find(); i++) {
      found.push(matcher.group() ?? '');
      checkItems(found.length);
    }
    return found;
  },
  'regex.split': (_, source, value) => {
    const all = text(value);
    if (all !== '' && text(source) === '') {
      checkItems(all.length);
      return Array.from(all);
    }
    const matcher = pattern(text(source)).matcher(all);
    const parts: string[] = [];
    let from = 0;
    // As Go's Regexp.Split: nothing before an empty match at the start, nothing after one at the end.
    while (matcher.find()) {
      const [start, end] = [matcher.start(), matcher.end()];
      if (end === 0 || (start === end && start === all.length)) continue;
      parts.push(all.slice(from, start));
      checkItems(parts.length);
      from = end;
    }
    return [...parts, all.slice(from)];
  },
};
