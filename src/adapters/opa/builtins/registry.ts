import { cryptoBuiltins } from './crypto.js';
import type { Builtin, Builtins } from './builtin.js';
import { netBuiltins } from './net.js';
import { objectBuiltins } from './objects.js';
import { regexBuiltins } from './regex.js';
import { semverBuiltins } from './semver.js';
import { stringBuiltins } from './strings.js';
import { inUtc, timeBuiltins } from './time.js';
import { unitBuiltins } from './units.js';

/** Builtins that OPA's Wasm leaves to its host and that policies call often. The others are Go's. */
const hostBuiltins: Builtins = {
  ...stringBuiltins,
  ...regexBuiltins,
  ...semverBuiltins,
  ...unitBuiltins,
  ...netBuiltins,
  ...cryptoBuiltins,
  ...objectBuiltins,
  ...timeBuiltins,
};

/** Here where the time zone is UTC, in Go otherwise. */
const ZONED = new Set(['time.date', 'time.clock', 'time.weekday']);

/** The builtin of a name: ours, else Go's, which is started by the first name that needs it. */
export function builtinOf(name: string, go: (name: string) => Builtin): Builtin {
  const ours = Object.hasOwn(hostBuiltins, name) ? hostBuiltins[name] : undefined;
  if (!ours) return go(name);
  if (!ZONED.has(name)) return ours;
  return (context, ...args) => (inUtc(args[0]) ? ours(context, ...args) : go(name)(context, ...args));
}
