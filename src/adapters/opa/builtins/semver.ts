import { fail, text, type Builtins } from './builtin.js';

interface Version {
  readonly numbers: readonly bigint[];
  readonly pre: string;
}

const IDENTIFIERS = /^[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*$/;
const NUMBER = /^(0|[1-9]\d*)$/;

/** OPA's reading of semantic versions: a leading v is allowed. undefined if it is none. */
function parse(value: string): Version | undefined {
  let rest = value.replace(/^v/, '');
  const plus = rest.indexOf('+');
  if (plus >= 0) {
    if (!IDENTIFIERS.test(rest.slice(plus + 1))) return undefined;
    rest = rest.slice(0, plus);
  }
  let pre = '';
  const dash = rest.indexOf('-');
  if (dash >= 0) {
    pre = rest.slice(dash + 1);
    if (!IDENTIFIERS.test(pre) || pre.split('.').some((part) => /^0\d+$/.test(part))) return undefined;
    rest = rest.slice(0, dash);
  }
  const parts = rest.split('.');
  if (parts.length !== 3 || !parts.every((part) => NUMBER.test(part) && BigInt(part) < 1n << 63n)) return undefined;
  return { numbers: parts.map(BigInt), pre };
}

function compareVersions(a: Version, b: Version): number {
  for (const [i, x] of a.numbers.entries()) {
    const y = b.numbers[i];
    if (x !== y) return x < y ? -1 : 1;
  }
  if (a.pre === b.pre) return 0;
  if (a.pre === '' || b.pre === '') return a.pre === '' ? 1 : -1;
  return comparePre(a.pre.split('.'), b.pre.split('.'));
}

/** semver.org, item 11. */
function comparePre(a: readonly string[], b: readonly string[]): number {
  for (const [i, x] of a.entries()) {
    const y = b[i];
    if (y === undefined) return 1;
    if (x === y) continue;
    const [xNumeric, yNumeric] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (xNumeric && yNumeric) return BigInt(x) < BigInt(y) ? -1 : 1;
    if (xNumeric !== yNumeric) return xNumeric ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return a.length < b.length ? -1 : 0;
}

const version = (v: Parameters<typeof text>[0]) => parse(text(v)) ?? fail('not a semantic version');

export const semverBuiltins: Builtins = {
  'semver.is_valid': (_, v) => typeof v === 'string' && parse(v) !== undefined,
  'semver.compare': (_, a, b) => compareVersions(version(a), version(b)),
};
