import { printable } from '../output.js';
import { nameOf, type Said, type Waiting } from './waiting.js';

/** Lines of a patch that are shown of one object; the rest is counted. */
const PATCH_LINES = 12;

/** What somebody is about to approve, one line a thing; everything from outside made safe to print. */
export function describe(change: Waiting): string[] {
  const { repository, base, head, outcome, target } = change;
  const range = `${base?.slice(0, 7) ?? 'nothing'} → ${head.slice(0, 7)}`;
  const { commits, objects, objectChangeCount } = change;
  return [
    `${outcome}  ${nameOf(change)}  ${repository} ${range}   ${count(commits.length, 'commit')}, ${count(objectChangeCount, 'object')} changed${target ? `, in ${target}` : ''}`,
    '',
    ...commits.map(
      ({ id, message, author, signature }) =>
        `  ${id.slice(0, 7)}  ${message.split('\n')[0]}   by ${author.name} <${author.email}>, ${signedBy(signature)}`,
    ),
    ...objects.flatMap(({ op, object, source, patch }) => [
      `  ${op} ${object.kind} ${[object.namespace, object.name].filter(Boolean).join('/')}   ${source.path}:${source.line}`,
      ...patch.slice(0, PATCH_LINES).map((one) => `      ${one.op} ${one.path} ${shown(one.value)}`),
      ...(patch.length > PATCH_LINES ? [`      and ${patch.length - PATCH_LINES} more`] : []),
    ]),
    ...(objectChangeCount > objects.length
      ? [`  and ${count(objectChangeCount - objects.length, 'object')} more`]
      : []),
    '',
    ...said('denied ', change.violations),
    ...said('warning', change.warnings),
    ...said('needs  ', change.required),
  ].map(printable);
}

function said(word: string, list: readonly Said[]): string[] {
  return list.map(({ message, rule }) => `  ${word} ${message}   ${rule}`);
}

function signedBy({ status, principal }: Waiting['commits'][number]['signature']): string {
  return status === 'verified' ? `signed by ${principal}` : status === 'none' ? 'not signed' : `signature ${status}`;
}

function shown(value: unknown): string {
  const text = value === undefined ? '' : JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
