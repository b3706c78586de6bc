import { fail, type Builtins } from './builtin.js';
import {
  entriesOf,
  equal,
  isAnyObject,
  RegoSet,
  type PlainObject,
  type RegoObject,
  type RegoValue,
} from '../values.js';

/** OPA's object.subset: objects by key, sets and arrays in arrays by what they hold; an array in order and without gaps. */
function subset(whole: RegoValue, part: RegoValue): boolean {
  if (isAnyObject(whole) && isAnyObject(part)) return objectSubset(whole, part);
  if (Array.isArray(whole) && Array.isArray(part)) return arraySubset(whole, part);
  if (part instanceof RegoSet && (Array.isArray(whole) || whole instanceof RegoSet)) {
    const items: readonly RegoValue[] = whole instanceof RegoSet ? whole.items : whole;
    return part.items.every((x) => items.some((y) => equal(x, y)));
  }
  return fail('both arguments object.subset must be of the same type or array and set');
}

function objectSubset(whole: PlainObject | RegoObject, part: PlainObject | RegoObject): boolean {
  const entries = entriesOf(whole);
  return entriesOf(part).every(([key, value]) => {
    const found = entries.find(([other]) => equal(other, key));
    if (!found) return false;
    const inside = found[1];
    const nested =
      (isAnyObject(inside) && isAnyObject(value)) ||
      (inside instanceof RegoSet && value instanceof RegoSet) ||
      (Array.isArray(inside) && Array.isArray(value));
    return nested ? subset(inside, value) : equal(inside, value);
  });
}

function arraySubset(whole: readonly RegoValue[], part: readonly RegoValue[]): boolean {
  for (let i = 0; i + part.length <= whole.length; i++) {
    if (part.every((x, j) => equal(whole[i + j], x))) return true;
  }
  return part.length === 0;
}

export const objectBuiltins: Builtins = {
  'object.subset': (_, whole, part) => subset(whole, part),
};
