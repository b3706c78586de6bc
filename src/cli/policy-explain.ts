import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DescribedRule, RegoCompiler } from '../adapters/opa/compiler.js';
import { workTreeOf } from '../adapters/git/work-tree.js';
import { CountersignError, formatPlace } from '../errors.js';
import type { PolicySources } from '../policy/bundle.js';
import { describeScope, EXCEPTIONS_FOLDER } from '../policy/exception.js';
import { policyFolder } from '../policy/folder.js';
import { policySources } from '../policy/sources.js';
import { describedRule, type NamedException, type RuleDescription } from '../report/described-rule.js';
import { listedRules } from '../report/rules-page.js';
import { suggest } from '../settings.js';
import { jsonLine, print, printable } from './output.js';

export interface ExplainOptions {
  readonly policies?: string;
  readonly output: 'text' | 'json';
}

/** Says of one rule, or of every rule of a file or folder, what it is, what it reads and what is excepted from it. */
export async function explainRules(compiler: RegoCompiler, what: string, options: ExplainOptions): Promise<void> {
  const path = existsSync(what) ? what : undefined;
  let sources = sourcesFor(path, options.policies, 'off');
  let described = await compiler.describe(sources);
  if (path === undefined && !described.some(({ id }) => id === what)) {
    sources = sourcesFor(path, options.policies, 'strict'); // all of ours, which takes longer
    described = await compiler.describe(sources);
  }
  const chosen = path === undefined ? ofId(described, what) : ofPath(described, path);
  const annotations = await compiler.inspect(sources.files);
  const exceptions = await exceptionsAround(options.policies ?? path ?? '.');
  const listed = listedRules(chosen, annotations);
  const byId = Map.groupBy(chosen, ({ id }) => id);
  for (const [id, clauses] of byId) {
    const about: RuleDescription = {
      ...oneRule(clauses),
      ...metadataOf(listed.filter((one) => one.id === id)),
      exceptions: exceptions.get(id) ?? [],
    };
    if (options.output === 'json') await print(jsonLine(about));
    else await print(describedRule(about).split('\n').map(printable).join('\n'));
  }
}

/** The whole folder that a file lies in, for its helpers. */
function sourcesFor(path: string | undefined, policies: string | undefined, profile: 'off' | 'strict'): PolicySources {
  const folder = policies ?? (path?.startsWith('policies/') ? 'policies' : path) ?? 'policies';
  return existsSync(folder) || policies !== undefined
    ? policyFolder(folder, { profile })
    : policySources(new Map(), { profile });
}

function ofId(rules: readonly DescribedRule[], id: string): readonly DescribedRule[] {
  const found = rules.filter((rule) => rule.id === id);
  if (found.length > 0) return found;
  const near = suggest(id, [...new Set(rules.map((rule) => rule.id))]);
  throw new CountersignError('usage', `there is no rule ${id}, and no such file${near}`, {
    remedy:
      'countersign policy check PATH lists the rules of a folder, docs/rules.md those that ship; --policies names the folder',
  });
}

function ofPath(rules: readonly DescribedRule[], path: string): readonly DescribedRule[] {
  const clean = path.replace(/^\.\//, '').replace(/\/+$/, '');
  const found = rules.filter(({ place: { file } }) => file === clean || file.startsWith(`${clean}/`));
  // In a clone of Countersign, the folder of the starter rules.
  const all = found.length > 0 ? found : rules.filter(({ place: { file } }) => file.endsWith(`:${clean}`) || (clean === 'policies' && file.startsWith('countersign:'))); // prettier-ignore
  if (all.length > 0) return all;
  throw new CountersignError('usage', `no rule in ${path} takes part in decisions`, {
    remedy: 'Rules are sets called deny, warn or require in packages countersign.<area>, or those of Conftest',
  });
}

function oneRule(clauses: readonly DescribedRule[]): Omit<RuleDescription, 'exceptions' | 'profile' | 'bad' | 'good'> {
  const [{ place: _, ...first }] = clauses;
  const all = (of: 'input' | 'data' | 'builtins' | 'uses' | 'controls') =>
    [...new Set(clauses.flatMap((clause) => clause[of]))].toSorted();
  return {
    ...first,
    places: clauses.map(({ place }) => formatPlace(place)),
    controls: [...new Set(clauses.flatMap(({ controls }) => controls))],
    input: all('input'),
    data: all('data'),
    builtins: all('builtins'),
    uses: all('uses'),
  };
}

function metadataOf(listed: ReturnType<typeof listedRules>): Pick<RuleDescription, 'profile' | 'bad' | 'good'> {
  const with_ = (of: 'bad' | 'good') => listed.find((one) => one[of] !== undefined)?.[of] ?? null;
  const [{ starter, profile }] = listed as readonly ((typeof listed)[number] & { readonly starter?: boolean })[];
  return { profile: starter ? profile : null, bad: with_('bad'), good: with_('good') };
}

/** By the rule that they name: those of the repository around, judged by it as it is; none where there is no repository. */
async function exceptionsAround(path: string): Promise<ReadonlyMap<string, readonly NamedException[]>> {
  const found = new Map<string, NamedException[]>();
  const root = workTreeOf(existsSync(path) ? path : '.')?.root;
  if (root === undefined || !existsSync(join(root, EXCEPTIONS_FOLDER))) return found;
  const { exceptionsOf } = await import('./exception/standing.js');
  for (const { parsed, path: file, fault } of await exceptionsOf(root, {})) {
    if (!parsed) continue;
    const { rule, scope, expires } = parsed.statement;
    const named = { file, scope: describeScope(scope), expires, fault: fault?.message ?? null };
    found.set(rule, [...(found.get(rule) ?? []), named]);
  }
  return found;
}
