import { isAbsolute, relative } from 'node:path';
import { totalsOf, type ConftestCheck, type ConftestResult, type ConftestTotals } from '../policy/conftest.js';

export interface ConftestReportOptions {
  readonly color: boolean;
  readonly suppressExceptions: boolean;
  readonly junitHideMessage: boolean;
  readonly githubHidePassed: boolean;
  /** Draws rows of four columns. */
  readonly table: (rows: readonly (readonly string[])[]) => string;
}

/** Conftest's own output formats, byte by byte (its folder output/), each with its last line break. */
export const CONFTEST_FORMATS: Readonly<
  Record<string, (checks: readonly ConftestCheck[], options: ConftestReportOptions) => string>
> = { stdout: standard, json, tap, table, junit, github, azuredevops, sarif };

function standard(checks: readonly ConftestCheck[], { color, suppressExceptions }: ConftestReportOptions): string {
  const paint = (text: string, code: number) => (color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const lines = checks.flatMap((check) => check.prints.map((text) => `${paint('PRNT ', 34)}  ${text}`));
  for (const check of checks) {
    const where = subject(check);
    for (const { msg } of check.warnings) lines.push(`${paint('WARN', 33)} ${where} ${msg}`);
    for (const { msg } of check.failures) lines.push(`${paint('FAIL', 31)} ${where} ${msg}`);
    if (suppressExceptions) continue;
    for (const { msg } of check.exceptions) lines.push(`${paint('EXCP', 36)} ${where} ${msg}`);
  }
  const totals = totalsOf(checks);
  const code = totals.failures ? 31 : totals.warnings ? 33 : totals.exceptions ? 36 : 32;
  return `${[...lines, '', paint(summary(totals), code)].join('\n')}\n`;
}

/** File and namespace; the standard input is a dash alone. */
function subject({ filename, namespace }: ConftestCheck): string {
  return `${filename === '-' ? '-' : `- ${filename}`} ${namespace === '-' ? '-' : `- ${namespace} -`}`;
}

function testsOf({ successes, failures, warnings, exceptions }: ConftestTotals): number {
  return successes + failures + warnings + exceptions;
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`;
}

function summary(totals: ConftestTotals): string {
  return `${count(testsOf(totals), 'test')}, ${totals.successes} passed, ${count(totals.warnings, 'warning')}, ${count(totals.failures, 'failure')}, ${count(totals.exceptions, 'exception')}`;
}

function json(checks: readonly ConftestCheck[]): string {
  if (checks.length === 0) return 'null\n';
  const objects = checks.map((check) => {
    const fields = [
      `\t\t"filename": ${goJson(check.filename === '-' ? '' : check.filename)}`,
      `\t\t"namespace": ${goJson(check.namespace)}`,
      `\t\t"successes": ${check.successes}`,
    ];
    for (const name of ['warnings', 'failures', 'exceptions'] as const) {
      if (check[name].length === 0) continue;
      fields.push(`\t\t"${name}": [\n${check[name].map(jsonResult).join(',\n')}\n\t\t]`);
    }
    return `\t{\n${fields.join(',\n')}\n\t}`;
  });
  return `[\n${objects.join(',\n')}\n]\n`;
}

function jsonResult({ msg, loc, metadata }: ConftestResult): string {
  const fields = [`\t\t\t\t"msg": ${goJson(msg)}`];
  if (loc) {
    const parts = [loc.file && `"file": ${goJson(loc.file)}`, loc.line && `"line": ${loc.line}`].filter(Boolean);
    fields.push(`\t\t\t\t"loc": {\n${parts.map((part) => `\t\t\t\t\t${part}`).join(',\n')}\n\t\t\t\t}`);
  }
  if (metadata) fields.push(`\t\t\t\t"metadata": ${indent(metadataText(metadata), '\t', 4)}`);
  return `\t\t\t{\n${fields.join(',\n')}\n\t\t\t}`;
}

function metadataText(metadata: Readonly<Record<string, string>>): string {
  const fields = Object.entries(metadata).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${fields.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`;
}

/** Go's json.Marshal of a text: what HTML could take for markup is escaped. */
function goJson(text: string): string {
  return escapeHtml(JSON.stringify(text));
}

function escapeHtml(text: string): string {
  return text
    .replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replaceAll('\u007f', '\u007f');
}

/** Compact JSON laid out as json.Indent does. */
function indent(compact: string, step: string, depth: number): string {
  let out = '';
  let level = depth;
  const line = () => `\n${step.repeat(level)}`;
  for (let i = 0; i < compact.length; i++) {
    const c = compact[i];
    if (c === '"') {
      const start = i;
      for (i++; compact[i] !== '"'; i++) if (compact[i] === '\\') i++;
      out += escapeHtml(compact.slice(start, i + 1));
    } else if (c === '{' || c === '[') {
      const close = c === '{' ? '}' : ']';
      if (compact[i + 1] === close) {
        out += c + close;
        i++;
      } else {
        level++;
        out += c + line();
      }
    } else if (c === '}' || c === ']') {
      level--;
      out += line() + c;
    } else if (c === ',') out += c + line();
    else out += c === ':' ? ': ' : c;
  }
  return out;
}

function tap(checks: readonly ConftestCheck[]): string {
  const total = testsOf(totalsOf(checks));
  if (total === 0) return '';
  const lines = [`1..${total}`];
  let counter = 1;
  for (const check of checks) {
    const section = (header: string, status: string, messages: readonly string[]) => {
      if (header && messages.length > 0) lines.push(`# ${header}`);
      for (const message of messages) lines.push(`${status} ${counter++} ${subject(check)} ${message}`);
    };
    section('', 'not ok', messagesOf(check.failures));
    section('warnings', 'not ok', messagesOf(check.warnings));
    section('exceptions', 'ok', messagesOf(check.exceptions));
    section('successes', 'ok', Array<string>(check.successes).fill('SUCCESS'));
  }
  return `${lines.join('\n')}\n`;
}

function messagesOf(results: readonly ConftestResult[]): string[] {
  return results.map(({ msg }) => msg);
}

function table(checks: readonly ConftestCheck[], options: ConftestReportOptions): string {
  const rows = checks.flatMap((check) => {
    const row = (result: string) => (message: string) => [result, check.filename, check.namespace, message];
    return [
      ...Array<string>(check.successes).fill('SUCCESS').map(row('success')),
      ...messagesOf(check.exceptions).map(row('exception')),
      ...messagesOf(check.warnings).map(row('warning')),
      ...messagesOf(check.failures).map(row('failure')),
    ];
  });
  return rows.length === 0 ? '' : options.table(rows);
}

function junit(checks: readonly ConftestCheck[], { junitHideMessage }: ConftestReportOptions): string {
  const suites = new Map<string, ConftestCheck[]>();
  for (const check of checks) {
    if (testsOf(totalsOf([check])) === check.exceptions.length) continue;
    suites.set(check.namespace, [...(suites.get(check.namespace) ?? []), check]);
  }
  const lines = ['<?xml version="1.0" encoding="UTF-8"?>'];
  if (suites.size === 0) return `${lines[0]}\n<testsuites></testsuites>\n`;
  lines.push('<testsuites>');
  for (const [namespace, own] of suites) {
    const name = `conftest.${namespace}`;
    const className = name.slice(name.lastIndexOf('/') + 1);
    const { successes, failures, warnings } = totalsOf(own);
    lines.push(
      `\t<testsuite tests="${successes + failures + warnings}" failures="${failures + warnings}" time="0.000" name="${xml(name)}">`,
    );
    lines.push('\t\t<properties>', '\t\t\t<property name="go.version" value="none"></property>', '\t\t</properties>');
    for (const check of own) {
      for (const { msg } of [...check.warnings, ...check.failures]) {
        const test = junitHideMessage || msg === '' ? check.filename : `${check.filename} - ${msg.split('\n')[0]}`;
        lines.push(`\t\t<testcase classname="${xml(className)}" name="${xml(test)}" time="0.000">`);
        lines.push(`\t\t\t<failure message="Failed" type="">${xml(msg)}</failure>`, '\t\t</testcase>');
      }
      for (let i = 0; i < check.successes; i++) {
        lines.push(
          `\t\t<testcase classname="${xml(className)}" name="${xml(check.filename)}" time="0.000"></testcase>`,
        );
      }
    }
    lines.push('\t</testsuite>');
  }
  return `${[...lines, '</testsuites>'].join('\n')}\n`;
}

const XML: Readonly<Record<string, string>> = {
  '"': '&#34;', "'": '&#39;', '&': '&amp;', '<': '&lt;', '>': '&gt;', '\t': '&#x9;', '\n': '&#xA;', '\r': '&#xD;',
}; // prettier-ignore

function xml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/["'&<>\t\n\r]/g, (c) => XML[c]);
}

function github(checks: readonly ConftestCheck[], { githubHidePassed }: ConftestReportOptions): string {
  const lines: string[] = [];
  for (const check of checks) {
    const own = totalsOf([check]);
    if (githubHidePassed && testsOf(own) === own.successes) continue;
    const note = (level: string, file: string, line: string, msg: string) =>
      lines.push(`::${level} file=${escapeProperty(file)},line=${line}::${msg}`);
    const tell = (level: string, { msg, loc }: ConftestResult) => {
      if (!loc) return note(level, check.filename, '1', msg);
      if (loc.file === check.filename) return note(level, loc.file, loc.line, msg);
      const file = isAbsolute(loc.file) ? relative(process.cwd(), loc.file) : loc.file;
      note(level, file, loc.line, msg);
      return note(level, check.filename, '1', `(ORIGINATING FROM ${file} L${loc.line}) ${msg}`);
    };
    lines.push(`::group::Testing ${JSON.stringify(check.filename)} against ${testsOf(own)} policies in namespace ${JSON.stringify(check.namespace)}`); // prettier-ignore
    for (const result of check.failures) tell('error', result);
    for (const result of check.warnings) tell('warning', result);
    for (const result of check.exceptions) tell('notice', result);
    note('notice', check.filename, '1', `Number of successful checks: ${check.successes}`);
    lines.push('::endgroup::');
  }
  return `${[...lines, summary(totalsOf(checks))].join('\n')}\n`;
}

function escapeProperty(text: string): string {
  return text.replace(/[%\r\n:,]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

function azuredevops(checks: readonly ConftestCheck[]): string {
  const lines = checks.flatMap((check) => {
    const { filename, namespace, successes } = check;
    return [
      `##[section]Testing '${filename}' against ${testsOf(totalsOf([check]))} policies in namespace '${namespace}'`,
      '##[group]See conftest results',
      ...messagesOf(check.failures).map((msg) => `##vso[task.logissue type=error] file=${filename} --> ${msg}`),
      ...messagesOf([...check.warnings, ...check.exceptions]).map((msg) => `##vso[task.logissue type=warning] file=${filename} --> ${msg}`), // prettier-ignore
      ...(successes > 0 ? [`success file=${filename} ${successes}`] : []),
      '##[endgroup]',
    ];
  });
  return `${[...lines, summary(totalsOf(checks))].join('\n')}\n`;
}

/** Equal in meaning, not in layout; the driver is named conftest because readers group findings by it. */
function sarif(checks: readonly ConftestCheck[]): string {
  const rules: object[] = [];
  const known = new Map<string, number>();
  const results: object[] = [];
  const add = (check: ConftestCheck, type: string, level: string, { msg, loc, metadata }: ConftestResult) => {
    const ruleId = `${check.namespace}/${type}`;
    if (!known.has(ruleId)) {
      known.set(ruleId, rules.length);
      rules.push({
        id: ruleId,
        shortDescription: { text: DESCRIPTIONS[type] },
        ...(metadata ? { properties: JSON.parse(metadataText(metadata)) as object } : {}),
      });
    }
    const line = Number(loc?.line ?? 0);
    results.push({
      ruleId,
      ruleIndex: known.get(ruleId),
      level,
      message: { text: msg },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: (loc?.file ?? check.filename).split('/').map(encodeURIComponent).join('/') },
            ...(loc ? { region: { startLine: line, endLine: line } } : {}),
          },
        },
      ],
    });
  };
  for (const check of checks) {
    for (const result of check.failures) add(check, 'deny', 'error', result);
    for (const result of check.warnings) add(check, 'warn', 'warning', result);
    for (const result of check.exceptions) add(check, 'allow', 'note', result);
    if (check.failures.length + check.warnings.length > 0) continue;
    const type = check.successes + check.exceptions.length > 0 ? 'success' : 'skip';
    const msg = DESCRIPTIONS[type];
    add(check, type, 'none', { msg, metadata: { description: JSON.stringify(msg) } });
  }
  const { failures, warnings } = totalsOf(checks);
  const driver = { informationUri: 'https://github.com/open-policy-agent/conftest', name: 'conftest', rules, version: 'countersign' }; // prettier-ignore
  const exitCodeDescription = failures ? 'Policy violations found' : warnings ? 'Policy warnings found' : 'No policy violations found'; // prettier-ignore
  return `${JSON.stringify({
    $schema: 'https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver },
        invocations: [{ exitCode: failures ? 1 : 0, exitCodeDescription, executionSuccessful: true }],
        results,
      },
    ],
  })}\n`;
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  success: 'Policy was satisfied successfully',
  skip: 'Policy check was skipped',
  deny: 'Policy violation',
  warn: 'Policy warning',
  allow: 'Policy exception',
};
