import { describeIdentity, type Json } from '../cluster/object.js';
import { formatPlace, type Place } from '../errors.js';
import type { ObjectIdentity, Source } from '../cluster/object.js';

/** An explanation as a report shows it: the service's answer has the same shape. */
export interface ExplanationLines {
  readonly violation: {
    readonly rule: string;
    readonly kind: string;
    readonly message: string;
    readonly controls: readonly string[];
    readonly place: Place;
    readonly object?: Pick<ObjectIdentity, 'kind' | 'namespace' | 'name'> | null;
    readonly source?: Source | null;
    readonly commit?: string | null;
    readonly fix?: string | null;
  };
  readonly title?: string | null;
  readonly description?: string | null;
  readonly values: Readonly<Record<string, Json>>;
  readonly fired: readonly {
    readonly name: string;
    readonly place: Place;
    readonly values: Readonly<Record<string, Json>>;
  }[];
  readonly exceptionRequest: string | null;
  readonly trace: readonly string[];
  readonly more: number;
}

const LONGEST_VALUE = 160;
const MOST_FIRED = 12;

/** Why one rule said what it said, for people: what and where, then what made it true, then what to do. */
export function explanationText(explanation: ExplanationLines): string[] {
  const { violation, title, description, values, fired, exceptionRequest, trace, more } = explanation;
  const { source, object, commit, message, rule, place, controls, fix, kind } = violation;
  const subject = object
    ? describeIdentity({ group: '', version: '', ...object })
    : commit
      ? `commit ${commit.slice(0, 7)}`
      : '';
  const at = source ? `${source.path}:${source.line}` : '';
  const shown = fired.slice(0, MOST_FIRED);
  return [
    [at, subject].filter(Boolean).join('   ') || 'the change as a whole',
    `  ${kind === 'warn' ? 'warning: ' : ''}${message.replaceAll('\n', ' ')}`,
    `  rule     ${rule} (${formatPlace(place)})${title ? `   ${title}` : ''}`,
    ...(description ? [`           ${description.replaceAll('\n', ' ')}`] : []),
    ...(controls.length > 0 ? [`  control  ${controls.join('  ')}`] : []),
    ...pairs(values).map((line, i) => `  ${i === 0 ? 'because' : '       '}  ${line}`),
    ...shown.map(({ name, place: where, values: by }) => {
      const said = pairs(by).join(', ');
      return `  through  ${name} (${formatPlace(where)})${said ? `   ${clipped(said)}` : ''}`;
    }),
    ...(fired.length > shown.length ? [`           and ${fired.length - shown.length} more`] : []),
    ...(fix ? [`  fix      ${fix}`] : []),
    ...(exceptionRequest ? [`  or       ask for an exception: ${exceptionRequest}`] : []),
    ...trace.map((line) => `  | ${line}`),
    ...(more > 0 ? [`  | … and ${more} lines more`] : []),
  ];
}

function pairs(values: Readonly<Record<string, Json>>): string[] {
  return Object.entries(values)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name} = ${clipped(JSON.stringify(value))}`);
}

function clipped(text: string): string {
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}
