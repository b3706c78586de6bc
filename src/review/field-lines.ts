import { fieldLine } from '../cluster/field-line.js';
import { identityKey } from '../cluster/object.js';
import type { Redactor } from '../cluster/secret.js';
import type { ProposedChange } from '../change/proposed-change.js';
import type { Decision, Violation } from '../policy/decision.js';
import { fieldOf } from '../policy/field.js';
import type { TreeReader } from '../source/repository.js';
import { readText } from './governed-files.js';

/** Files that are read again to find fields in them; findings in further ones are shown at their objects' first lines. */
const MOST_FILES = 100;
/** Characters of a file that is read again. */
const LONGEST = 2_000_000;

/** A decision whose findings point to the line of the field that they are about, where that can be told. */
export async function withFieldLines(
  decision: Decision,
  change: ProposedChange,
  tree: TreeReader,
  redactor: Redactor,
): Promise<Decision> {
  const { violations, warnings, required, excepted } = decision;
  if (violations.length + warnings.length + required.length + excepted.length === 0) return decision;
  const changes = new Map(change.changes.map((one) => [identityKey(one.identity), one]));
  const texts = new Map<string, string | null>();
  const textOf = async (path: string): Promise<string | null> => {
    if (!texts.has(path)) texts.set(path, texts.size < MOST_FILES ? await readText(tree, change.head, path) : null);
    return texts.get(path) ?? null;
  };
  const placed = async (violation: Violation): Promise<Violation> => {
    const { object, source } = violation;
    const about = object && changes.get(identityKey(object));
    if (!about?.after || source?.path !== about.source.path || source.line !== about.source.line) return violation;
    const path = fieldOf(violation, redactor.redact(about.after));
    const text = path && (await textOf(source.path));
    if (!path || text === null || text === undefined || text.length > LONGEST) return violation;
    return { ...violation, source: { ...source, line: fieldLine(text, source.line, path) } };
  };
  const all = async (list: readonly Violation[]): Promise<Violation[]> => {
    const done: Violation[] = [];
    for (const one of list) done.push(await placed(one));
    return done;
  };
  return {
    ...decision,
    violations: await all(violations),
    warnings: await all(warnings),
    required: await all(required),
    excepted: await all(excepted),
  };
}
