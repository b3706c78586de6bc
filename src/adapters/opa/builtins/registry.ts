import { array, text, type Builtins } from './builtin.js';
import { sprintf } from '../sprintf.js';
import { timeBuiltins } from './time.js';

/** Builtins that OPA's Wasm leaves to its host and that policies call often. The others are Go's. */
export const hostBuiltins: Builtins = {
  sprintf: (_, format, args) => sprintf(text(format), array(args)),
  ...timeBuiltins,
};
