import type { EnvironmentFigures, ReportedChange } from '../../report/management.js';
import { columns, type DecidedChange } from '../../report/population.js';
import type { Listed } from '../../report/collectors.js';
import type { WholeReport } from '../../report/reports.js';
import type { Counts, Durations } from '../../report/statistics.js';
import { colours, courseChart } from './chart.js';
import { type Content, printPdf } from './pdfmake.js';
import { printable } from './text.js';

/** The report as PDF, A4. `vkey`: the log's key, for whoever verifies it. */
export async function managementPdf(whole: WholeReport, vkey: string): Promise<Uint8Array> {
  return printPdf(documentOf(whole, vkey));
}

function documentOf(whole: WholeReport, vkey: string): Content {
  const { manifest, report } = whole;
  const [origin = ''] = whole.checkpoint.split('\n', 1);
  // Instants: the last one is the first that no longer counts.
  const [since, until] = [manifest.filters.since, manifest.filters.until ?? manifest.time];
  const period = `${since === null ? 'The beginning' : instant(since)} to ${instant(until)} UTC`;
  return {
    pageSize: 'A4',
    pageMargins: [40, 56, 40, 48],
    info: { title: 'Change management report', author: `Countersign ${printable(origin)}`, subject: period, creationDate: new Date(manifest.time) }, // prettier-ignore
    header: () => ({ columns: [{ text: 'Change management report' }, { text: printable(origin), alignment: 'right' }], style: 'margin', margin: [40, 28, 40, 0] }), // prettier-ignore
    footer: (page: number, pages: number) => ({ columns: [{ text: `Export ${manifest.id}, entry ${manifest.index} of the log` }, { text: `${page} / ${pages}`, alignment: 'right', width: 80 }], style: 'margin', margin: [40, 16, 40, 0] }), // prettier-ignore
    pageBreakBefore: isLeftAlone,
    content: [
      ...titlePage(whole, origin, period),
      ...summary(whole),
      ...section('Environments', environments(report.environments)),
      ...section('Why changes were denied', [counts(report.deniedBy, 'Rule', 'Changes denied', 'No change was denied.'), ...changes('Denied changes', report.denied, 'rules', 25)]), // prettier-ignore
      ...section('Who changed, who approved', [
        counts(report.signers, 'Signed by (verified key)', 'Changes', 'No commit had a verified signature.'),
        counts(report.approvers, 'Approved by', 'Changes', 'Nobody’s approval counted.'),
      ]),
      ...section('Changes without approval, or by their own approver', [
        ...changes('Allowed without anybody’s approval, and no emergency', report.unapproved, 'approvers'),
        ...changes('Approved by somebody who made one of the commits', report.selfApproved, 'approvers'),
      ]),
      ...section('Emergency changes', emergencies(report.emergencies)),
      ...section('Exceptions that were used', exceptions(whole)),
      ...section('Live changes outside of Git (drift)', drift(whole)),
      ...section('Controls', [
        { text: 'Controls that the rules answer to which denied a change, or required an approval for it.', margin: [0, 0, 0, 6] }, // prettier-ignore
        counts(report.controls, 'Control', 'Changes', 'No rule that names a control denied or required anything.'),
      ]),
      ...section(`Sample of ${report.sample.length}`, sample(whole), 'before'),
      ...section('Verification', verification(whole, vkey), 'before'),
    ],
    styles: {
      title: { fontSize: 26, bold: true, margin: [0, 90, 0, 6] },
      h1: { fontSize: 15, bold: true, margin: [0, 22, 0, 10] },
      h2: { fontSize: 11, bold: true, margin: [0, 12, 0, 4] },
      th: { bold: true, fillColor: '#eeeeee' },
      margin: { fontSize: 8, color: '#777777' },
      note: { fontSize: 8, color: '#555555', margin: [0, 4, 0, 0] },
    },
    defaultStyle: { font: 'Roboto', fontSize: 9, lineHeight: 1.15 },
  };
}

function titlePage({ manifest }: WholeReport, origin: string, period: string): Content[] {
  const { filters } = manifest;
  return [
    { text: 'Change management report', style: 'title' },
    { text: period, fontSize: 12, margin: [0, 0, 0, 24] },
    facts([
      ['Log', origin],
      ['Repository', filters.repository ?? 'all'],
      ['Environment', filters.environment ?? 'all'],
      ['Decisions', filters.outcome ?? 'all'],
      ['Taken', `${manifest.time}, from entries 0 to ${manifest.size - 1} of the log`],
      ['Population', `${figure(manifest.rows)} decisions`],
    ]),
    { toc: { title: { text: 'Contents', style: 'h1', margin: [0, 30, 0, 8] } } },
  ];
}

function summary({ report, delivery, manifest }: WholeReport): Content[] {
  const { decisions } = report;
  const share = (part: number): string =>
    manifest.rows === 0 ? '' : ` (${((100 * part) / manifest.rows).toFixed(1)} %)`;
  return section(
    'Summary',
    [
      facts([
        ['Decisions', figure(manifest.rows)],
        ['Allowed', figure(decisions.allow) + share(decisions.allow)],
        ['Denied', figure(decisions.deny) + share(decisions.deny)],
        ['Waiting for approval when judged', figure(decisions.pending) + share(decisions.pending)],
        ['Could not be judged', figure(decisions.error) + share(decisions.error)],
        ['Live in a cluster', figure(report.deployed)],
        ['Runs that failed', figure(report.failedRuns)],
        ['Emergency changes', figure(report.emergencies.total)],
        ['Allowed without approval, no emergency', figure(report.unapproved.total)],
        ['Approved by somebody who made a commit', figure(report.selfApproved.total)],
        ['Commits without a verified signature', `${figure(report.unsignedCommits)} of ${figure(report.commits)}`],
        ['Kubernetes objects changed', figure(report.objects)],
      ]),
      { text: `Decisions by ${report.course.unit}`, style: 'h2', headlineLevel: 2 },
      ...(report.course.bars.length === 0
        ? [{ text: 'There were none.' }]
        : [{ svg: courseChart(report.course) }, legend()]),
      { text: 'From commit to cluster', style: 'h2', headlineLevel: 2 },
      facts([
        [
          'Deployments',
          figure(delivery.deployments) + (delivery.perDay === null ? '' : `, ${delivery.perDay.toFixed(2)} a day`),
        ],
        ['From first seen to live', durations(delivery.leadTime)],
        [
          'Failed',
          figure(delivery.failures) +
            (delivery.failureRate === null ? '' : ` (${(100 * delivery.failureRate).toFixed(1)} %)`),
        ],
        ['From failed to mended', durations(delivery.recovery)],
      ]),
      {
        text: 'A deployment is the first run of an allowed decision that came to an end. It failed if that run failed, or if the next one of its environment was a rollback or an emergency change.',
        style: 'note',
      },
    ],
    'before',
  );
}

function legend(): Content {
  const words = { allow: 'allowed', deny: 'denied', pending: 'waiting for approval', error: 'could not be judged' };
  return {
    columns: (Object.keys(words) as (keyof typeof words)[]).map((name) => ({
      width: 'auto',
      columns: [{ width: 12, canvas: [{ type: 'rect', x: 0, y: 2, w: 7, h: 7, color: colours[name] }] }, { width: 'auto', text: words[name], fontSize: 8 }], // prettier-ignore
    })),
    columnGap: 14,
    margin: [34, 2, 0, 0],
  };
}

function environments(rows: readonly EnvironmentFigures[]): Content[] {
  if (rows.length === 0) return [{ text: 'Nothing was judged.' }];
  return [
    table(
      ['*', 'auto', 'auto', 'auto', 'auto', 'auto', 'auto'],
      ['Environment', 'Allowed', 'Denied', 'Waiting', 'Live', 'Emergency', 'Lead time, median'],
      rows.map(({ repository, environment, decisions, deployed, emergencies: glass, medianLead }) => [
        `${repository} ${environment}`,
        ...[decisions.allow, decisions.deny, decisions.pending, deployed, glass].map(figure),
        medianLead === null ? '' : duration(medianLead),
      ]),
    ),
  ];
}

function changes(title: string, list: Listed<ReportedChange>, last: 'rules' | 'approvers', most = Infinity): Content[] {
  const { total } = list;
  const rows = list.rows.slice(0, most);
  const heading: Content = { text: `${title}: ${figure(total)}`, style: 'h2', headlineLevel: 2 };
  if (total === 0) return [heading, { text: 'None.' }];
  return [
    heading,
    table(
      [34, 74, '*', '*', '*'],
      ['Entry', 'Decided, UTC', 'Change', 'Signed by', last === 'rules' ? 'Denied by' : 'Approved by, ticket'],
      rows.map((row) => [
        String(row.index),
        minute(row.time),
        `${row.environment} ${row.head.slice(0, 10)} ${row.title}`,
        row.signers.join(', '),
        last === 'rules' ? row.rules.join(', ') : [...row.approvers, ...row.tickets].join(', '),
      ]),
    ),
    ...more(total - rows.length),
  ];
}

function emergencies({ total, rows }: WholeReport['report']['emergencies']): Content[] {
  if (total === 0) return [{ text: 'There were none.' }];
  return [
    table(
      [34, 74, '*', '*', '*'],
      ['Entry', 'Decided, UTC', 'Change', 'By, and why', 'Reviewed'],
      rows.map((row) => [
        String(row.index),
        minute(row.time),
        `${row.environment} ${row.head.slice(0, 10)} ${row.title}`,
        `${row.signers.join(', ')}: ${[row.reason ?? '', ...row.tickets].join(' ')}`,
        row.reviewedAt !== null
          ? `${row.reviewedBy ?? ''} ${minute(row.reviewedAt)}`
          : row.dueAt === null ? row.outcome : `not yet; due ${minute(row.dueAt)}`, // prettier-ignore
      ]),
    ),
    ...more(total - rows.length),
  ];
}

function exceptions({ report }: WholeReport): Content[] {
  if (report.exceptions.length === 0) return [{ text: 'None.' }];
  return [
    table(
      ['*', '*', 'auto', 'auto'],
      ['Rule', 'Ticket', 'Expires, UTC', 'Decisions'],
      report.exceptions.map(({ rule, ticket, expires, decisions }) => [rule, ticket ?? '', expires === null ? '' : minute(expires), figure(decisions)]), // prettier-ignore
    ),
  ];
}

function drift({ drift: { byPerson, byEnvironment } }: WholeReport): Content[] {
  if (byPerson.total === 0) return [{ text: 'None was seen.' }];
  return [
    { text: `${figure(byPerson.total)} times, by the best evidence of who made it: a user of the cluster’s audit log, else a field manager, which calls itself what it likes.`, margin: [0, 0, 0, 6] }, // prettier-ignore
    counts(byPerson, 'By', 'Times', ''),
    counts(byEnvironment, 'Environment', 'Times', ''),
  ];
}

const shownInSample = new Set(['log_index', 'leaf_hash', 'decided_at', 'repository', 'environment', 'operation', 'from', 'to', 'signers', 'unsigned_commits', 'title', 'ticket', 'reason', 'objects', 'approvers', 'approved_at', 'approved_via', 'author_is_approver', 'decision', 'violations', 'missing_approvals', 'exceptions', 'deployed_by', 'applied_at', 'live_matches']); // prettier-ignore

function sample({ report, manifest }: WholeReport): Content[] {
  const { seed = '', size = 0 } = manifest.sample ?? {};
  return [
    {
      text: `Of the ${figure(manifest.rows)} decisions of the population, the ${size} whose SHA-256 over the seed “${seed}”, a line feed and the leaf hash in hexadecimal is smallest. Anybody who has the population can draw it again.`,
      margin: [0, 0, 0, 8],
    },
    ...report.sample.map((row) => whole(row)),
  ];
}

function whole(row: DecidedChange): Content {
  const cells = columns
    .filter(({ name }) => shownInSample.has(name))
    .flatMap(({ name, value }): [string, string][] => {
      const cell = value(row);
      const text = Array.isArray(cell) ? cell.join('; ') : String(cell ?? '');
      return text === '' ? [] : [[name.replaceAll('_', ' '), text]];
    });
  return { stack: [{ text: `Entry ${row.index}`, style: 'h2', headlineLevel: 2 }, facts(cells)], unbreakable: true };
}

function verification({ manifest, checkpoint }: WholeReport, vkey: string): Content[] {
  const { since, until, repository, environment, outcome } = manifest.filters;
  const options = Object.entries({ since, until, repository, environment, decision: outcome }).flatMap(([name, value]) => (value === null ? [] : [`--${name} ${value}`])); // prettier-ignore
  return [
    { text: `This report was taken from entries 0 to ${manifest.size - 1} of the log; entry ${manifest.index} says so, with what was asked for. Nothing in it has to be believed: whoever holds the log’s evidence can count again.` }, // prettier-ignore
    {
      text: 'The population that this report counts, and the log with all that its entries name:',
      margin: [0, 8, 0, 0],
    },
    code(`countersign report changes ${options.join(' ')} --to population.csv`),
    code('countersign export --data DATA --to evidence.zip'),
    { text: 'Offline, on any machine: every signature, every hash, every decision evaluated again, and no decision missing from the population:' }, // prettier-ignore
    code('countersign verify evidence.zip --trust trust.txt --population population.csv'),
    { text: 'The log’s key (C2SP vkey), one line of trust.txt after the word log:' },
    code(vkey),
    { text: 'A checkpoint that covers this export (C2SP signed note): its origin, how many entries it has, its root hash (RFC 6962), and who signed it:' }, // prettier-ignore
    ...checkpoint.trimEnd().split('\n').map((line) => code(line === '' ? ' ' : line)), // prettier-ignore
  ];
}

/** A heading near the end of a page goes to the next, with what it is the heading of. */
function isLeftAlone({
  headlineLevel,
  startPosition,
}: {
  readonly headlineLevel?: number;
  readonly startPosition: { readonly verticalRatio: number };
}): boolean {
  return headlineLevel !== undefined && startPosition.verticalRatio > 0.84;
}

const code = (text: string): Content => ({ text: printable(text), fontSize: 8, margin: [10, 2, 0, 6] });

function section(title: string, content: readonly Content[], pageBreak?: 'before'): Content[] {
  return [{ text: title, style: 'h1', tocItem: true, headlineLevel: 1, pageBreak }, ...content];
}

function facts(rows: readonly (readonly [string, string])[]): Content {
  return {
    table: {
      widths: [170, '*'],
      body: rows.map(([name, value]) => [{ text: name, color: '#555555' }, printable(value)]),
    },
    layout: 'noBorders',
  };
}

function counts({ groups, more: left }: Counts, key: string, count: string, otherwise: string): Content {
  if (groups.length === 0) return { text: otherwise };
  const rows = groups.map((group) => [group.key, figure(group.count)]);
  return { stack: [table(['*', 80], [key, count], rows), ...more(left)], margin: [0, 0, 0, 10] };
}

function table(
  widths: readonly (string | number)[],
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Content {
  // prettier-ignore
  const heading = head.map((text) => ({ text, style: 'th' }));
  const body = rows.map((row) => row.map((text) => ({ text: printable(text), fontSize: 8 })));
  return { table: { headerRows: 1, widths, body: [heading, ...body], dontBreakRows: true }, layout: 'lightHorizontalLines' }; // prettier-ignore
}

function more(left: number): Content[] {
  return left > 0 ? [{ text: `${figure(left)} more are in the population.`, style: 'note' }] : [];
}

const figure = (value: number): string => value.toLocaleString('en');
const minute = (time: string): string => time.slice(0, 16).replace('T', ' ');

function durations({ count, median, p90 }: Durations): string {
  if (count === 0 || median === null || p90 === null) return 'none was measured';
  return `${duration(median)} median, ${duration(p90)} for nine in ten, of ${figure(count)}`;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(1)} min`;
  return seconds < 172_800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86_400).toFixed(1)} d`;
}

/** To the minute, if it is a whole one: `2026-07-01 00:00`. */
const instant = (time: string): string => time.replace(/(:00(\.000)?)?Z$/, '').replace('T', ' ');
