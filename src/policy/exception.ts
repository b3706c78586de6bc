import { z } from 'zod';
import { globMatcher } from '../change/glob.js';
import { GOVERNANCE } from '../change/environment.js';
import { describeIdentity, type ObjectIdentity } from '../cluster/object.js';
import { CountersignError, type Place, toCountersignError } from '../errors.js';
import { faultsError, faultsOf, readSettings, suggest } from '../settings.js';
import { OBJECT_ID } from '../source/object-id.js';
import type { Rule, Violation } from './decision.js';
import type { InputException } from './input.js';

/** Where exceptions lie in a governed repository: `NAME.yaml`, and its signature beside it as `NAME.yaml.sig`. */
export const EXCEPTIONS_FOLDER = '.countersign/exceptions';
/** The namespace of the SSH signature: neither a commit's nor an approval's signature can be passed off as one. */
export const EXCEPTION_NAMESPACE = 'countersign-exception';

/** What an exception covers: everything that is given must hold. Values are exact, but for `path`, which is a glob. */
export interface ExceptionScope {
  readonly environment: string;
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** Of the file that the object, or the finding, stands in; from the root of the repository. */
  readonly path?: string;
  /** Full id, for what is about a commit. */
  readonly commit?: string;
}

/** A person's signed, expiring statement that one rule does not count within one scope. */
export interface ExceptionStatement {
  /** As the service calls it: an exception for one repository is none for another. */
  readonly repository: string;
  readonly rule: string;
  readonly scope: ExceptionScope;
  /** Who answers for it: a person or a team. */
  readonly owner: string;
  readonly reason: string;
  readonly ticket: string;
  /** RFC 3339, UTC. */
  readonly expires: string;
}

export interface ParsedException {
  readonly statement: ExceptionStatement;
  /** Where in its file a field stands. */
  readonly place: (...path: string[]) => Place;
}

/** Days that an exception may last: what never ends is a change of the rule. */
export const LONGEST_DAYS = 366;

const REMEDY = 'See docs/exceptions.md; countersign exception request writes one';
const text = z.string();
const filled = text.check((ctx) => {
  if (ctx.value.trim() === '') ctx.issues.push({ code: 'custom', input: ctx.value, message: 'it must not be empty' });
});
const exact = filled.check((ctx) => {
  if (!/[*?]/.test(ctx.value)) return;
  const message = 'the scope is too wide: it must be exact, without "*" and "?"';
  ctx.issues.push({ code: 'custom', input: ctx.value, message });
});
const path = filled.check((ctx) => {
  const [first = ''] = ctx.value.split('/');
  if (!/[*?{]/.test(first) && !ctx.value.startsWith('/')) return;
  const message =
    first.startsWith('/') || ctx.value.startsWith('/')
      ? 'it must be relative to the root of the repository' // prettier-ignore
      : 'the scope is too wide: the path must begin with the name of a folder or file';
  ctx.issues.push({ code: 'custom', input: ctx.value, message });
});
const instant = text.transform((value, ctx) => {
  const time = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?$/.test(value) ? new Date(value).getTime() : NaN;
  if (!Number.isNaN(time)) return new Date(time).toISOString();
  ctx.addIssue({ code: 'custom', message: 'it must be a day, 2026-12-31, or an instant in UTC, 2026-12-31T18:00:00Z' });
  return z.NEVER;
});
const schema = z.strictObject({
  apiVersion: z.literal('countersign.dev/v1'),
  kind: z.literal('Exception'),
  repository: filled,
  rule: exact,
  scope: z.strictObject({
    environment: exact,
    group: exact.optional(),
    kind: exact.optional(),
    namespace: exact.optional(),
    name: exact.optional(),
    path: path.optional(),
    commit: text.regex(OBJECT_ID, { error: 'it must be a full commit id' }).optional(),
  }),
  owner: filled,
  reason: filled,
  ticket: filled,
  expires: instant,
});

/** Reads the text that was signed. Throws `exception-invalid` that names every fault, each with file and line. */
export function parseException(content: string, file: string): ParsedException {
  try {
    const settings = readSettings(content, file);
    const parsed = schema.safeParse(settings.value, { reportInput: true });
    if (!parsed.success) throw faultsError(faultsOf(parsed.error, schema), settings, REMEDY);
    const { apiVersion: _version, kind: _kind, ...statement } = parsed.data;
    return {
      statement,
      place: (...at) => settings.place(at),
    };
  } catch (thrown) {
    const { message, place, remedy } = toCountersignError(thrown);
    throw new CountersignError('exception-invalid', message, { place, remedy: remedy ?? REMEDY });
  }
}

/** What an exception is held against: the rules and environments of the repository that it lies in. */
export interface ExceptionContext {
  /** Null where nobody knows what the service calls it. */
  readonly repository: string | null;
  readonly rules: readonly Rule[];
  readonly environments: readonly string[];
  /** Why nobody in this repository may except a rule; null where they may. */
  readonly withheld: (rule: Rule) => string | null;
  /** When it was first seen, which is when its signer's key had to be valid, too. */
  readonly firstSeen: Date;
}

function refuse(message: string, place: Place, remedy = REMEDY): CountersignError {
  return new CountersignError('exception-invalid', message, { place, remedy });
}

/** The first thing for which an exception, whoever signed it, cannot count here; null if there is none. */
export function objection({ statement, place }: ParsedException, context: ExceptionContext): CountersignError | null {
  const { rule, scope, expires, repository } = statement;
  if (context.repository !== null && repository !== context.repository)
    return refuse(`it is for the repository ${repository}, this one is ${context.repository}`, place('repository'));
  const named = context.rules.filter(({ id }) => id === rule);
  if (named.length === 0) {
    const near = suggest(rule, [...new Set(context.rules.map(({ id }) => id))]);
    return refuse(`no rule ${rule} runs here${near}`, place('rule'), 'Name a rule that countersign policy check lists');
  }
  for (const one of named) {
    const why = context.withheld(one);
    if (why !== null) return refuse(why, place('rule'), 'Mend the object, or ask whoever owns that rule');
  }
  if (scope.environment !== GOVERNANCE && !context.environments.includes(scope.environment)) {
    const near = suggest(scope.environment, context.environments);
    return refuse(`there is no environment ${scope.environment}${near}`, place('scope', 'environment'));
  }
  const { kind, namespace, name, path: glob } = scope;
  const about = [kind, namespace, name, glob].some((part) => part !== undefined);
  if (!about && named.some((one) => one.scope === 'object'))
    return refuse(
      `the scope is too wide: ${rule} judges objects, and this would hide it for all of ${scope.environment}`,
      place('scope'),
      'Name kind, namespace, name or path under scope:',
    );
  if (Date.parse(expires) > context.firstSeen.getTime() + LONGEST_DAYS * 86_400_000)
    return refuse(`it would last longer than ${LONGEST_DAYS} days`, place('expires'), 'Choose an earlier day');
  return null;
}

/** Said of one that has ended; null for one that has not. */
export function expired({ statement: { expires }, place }: ParsedException, now: Date): CountersignError | null {
  if (Date.parse(expires) > now.getTime()) return null;
  return new CountersignError('exception-invalid', `it expired at ${expires}`, {
    place: place('expires'),
    remedy: 'Mend what it covers, or have a new one signed',
  });
}

/** Whether an exception covers what a rule said: never more than its rule and every part of its scope (fails closed). */
export function covers(exception: InputException, said: Covered, environment: string, time: string): boolean {
  const { scope, rule, expires } = exception;
  if (rule !== said.rule || scope.environment !== environment) return false;
  if (!(Date.parse(expires) > Date.parse(time))) return false;
  const { object } = said;
  const wanted = { group: scope.group, kind: scope.kind, namespace: scope.namespace, name: scope.name };
  for (const [field, value] of Object.entries(wanted) as [keyof ObjectIdentity, string | undefined][]) {
    if (value !== undefined && object?.[field] !== value) return false;
  }
  if (scope.commit !== undefined && said.commit !== scope.commit) return false;
  if (scope.path === undefined) return true;
  return said.source !== undefined && globMatcher(scope.path)(said.source.path);
}

export type Covered = Pick<Violation, 'rule' | 'object' | 'commit' | 'source'>;

/** The command that asks for an exception for exactly this; null for what is no rule's to say. */
export function requestCommand({ rule, object, commit, source }: Covered, environment: string): string | null {
  if (rule.startsWith('reading.')) return null;
  const parts = ['countersign exception request', word(rule), '--env', word(environment)];
  if (object) parts.push('--object', word(objectArgument(object)));
  else if (commit !== undefined) parts.push('--commit', commit);
  else if (source) parts.push('--path', word(source.path));
  return parts.join(' ');
}

/** `Deployment/shop/cart`, `apps/Deployment/shop/cart`, `ClusterRole/admin`. */
function objectArgument({ group, kind, namespace, name }: ObjectIdentity): string {
  return [group, kind, namespace, name].filter((part) => part !== '').join('/');
}

/** What `objectArgument` writes; also without the name, for all objects of a kind. Undefined when it is nothing like that. */
export function parseObjectArgument(argument: string): Partial<ObjectIdentity> | undefined {
  const parts = argument.trim().split(/[/ ]/);
  const at = parts.findIndex((part) => /^[A-Z]/.test(part));
  const rest = parts.slice(at + 1);
  if (at < 0 || at > 1 || rest.length > 2 || parts.some((part) => part === '')) return undefined;
  const [namespace, name] = rest.length === 2 ? rest : [undefined, rest[0]];
  return {
    ...(at === 1 ? { group: parts[0] } : {}),
    kind: parts[at],
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  };
}

function word(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`;
}

/** What it covers, in words. */
export function describeScope(scope: ExceptionScope): string {
  const { environment, kind, namespace, name, path: glob, commit } = scope;
  const object =
    kind !== undefined && name !== undefined
      ? describeIdentity({ group: '', version: '', kind, namespace: namespace ?? '', name })
      : [kind, namespace && `namespace ${namespace}`, name && `name ${name}`].filter(Boolean).join(' ');
  const parts = [object, glob, commit && `commit ${commit.slice(0, 12)}`].filter(Boolean);
  return `${parts.join(', ') || 'everything'} in ${environment}`;
}

const line = (name: string, value: string): string => `${name}: ${scalar(value)}\n`;

/** A statement as the file that is signed: the order and the words that a reviewer reads. */
export function exceptionText({ repository, rule, scope, owner, reason, ticket, expires }: ExceptionStatement): string {
  const scoped = Object.entries(scope).map(([name, value]) => `  ${line(name, value as string)}`);
  return [
    'apiVersion: countersign.dev/v1\nkind: Exception\n',
    line('repository', repository),
    line('rule', rule),
    `scope:\n${scoped.join('')}`,
    line('owner', owner),
    line('reason', reason),
    line('ticket', ticket),
    line('expires', expires),
  ].join('');
}

/** Quoted unless it can be nothing but a text: JSON's strings are YAML's. */
function scalar(value: string): string {
  return /^[A-Za-z][\w./@-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value)
    ? value
    : JSON.stringify(value);
}

/** As policy and log are told of it. */
export function exceptionInput(id: string, statement: ExceptionStatement, principal: string): InputException {
  const { rule, scope, expires, owner, reason, ticket } = statement;
  return { id, rule, scope, expires, principal, owner, reason, ticket };
}
