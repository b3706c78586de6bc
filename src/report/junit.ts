import { formatPlace } from '../errors.js';
import type { Violation } from '../policy/decision.js';
import { type Report, subjectOf, type Verdict } from './verdict.js';

/** JUnit XML as most CI systems read it: an environment is a suite, a rule is a test. */
export function junitReport({ verdicts, seconds }: Report): string {
  const suites = verdicts.map((verdict) => suite(verdict, seconds / verdicts.length));
  const total = (of: 'tests' | 'failures' | 'errors') => suites.reduce((sum, one) => sum + one[of], 0);
  const head = `tests="${total('tests')}" failures="${total('failures')}" errors="${total('errors')}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="countersign" ${head} time="${seconds.toFixed(3)}">`,
    ...suites.map((one) => one.xml),
    '</testsuites>',
  ].join('\n');
}

interface Suite {
  readonly xml: string;
  readonly tests: number;
  readonly failures: number;
  readonly errors: number;
}

function suite(verdict: Verdict, seconds: number): Suite {
  const { decision, rules, change } = verdict;
  const { name } = change.environment;
  const failed = new Map<string, Violation[]>();
  for (const violation of [...decision.violations, ...decision.required]) {
    failed.set(violation.rule, [...(failed.get(violation.rule) ?? []), violation]);
  }
  const warned = new Map<string, Violation[]>();
  for (const warning of decision.warnings) warned.set(warning.rule, [...(warned.get(warning.rule) ?? []), warning]);
  const ids = [...new Set([...failed.keys(), ...rules.map((rule) => rule.id)])];
  const cases = ids.map((id) => {
    const said = failed.get(id);
    const warnings = warned.get(id);
    if (said) {
      const text = said.map((violation) => describe(violation, verdict)).join('\n\n');
      return element(
        'testcase',
        { classname: name, name: id },
        element('failure', { message: said[0].message, type: said[0].severity }, escape(text)),
      );
    }
    const covered = decision.excepted.filter(({ rule }) => rule === id);
    if (covered.length > 0 && !warnings) {
      const message = `${covered.length} not counted, by exception`;
      return element('testcase', { classname: name, name: id }, element('skipped', { message }, ''));
    }
    const out = warnings?.map((violation) => describe(violation, verdict)).join('\n\n');
    return element('testcase', { classname: name, name: id }, out ? element('system-out', {}, escape(out)) : '');
  });
  if (decision.error) {
    const { message, code } = decision.error;
    cases.unshift(
      element('testcase', { classname: name, name: 'judging' }, element('error', { message, type: code }, '')),
    );
  }
  const counts = { tests: cases.length, failures: failed.size, errors: decision.error ? 1 : 0 };
  const attributes = { name, ...counts, time: seconds.toFixed(3) };
  return { ...counts, xml: element('testsuite', attributes, `\n${cases.join('\n')}\n`) };
}

function describe(violation: Violation, { change }: Verdict): string {
  const { source, message, place, fix, controls } = violation;
  const at = source ? `${source.path}:${source.line}  ` : '';
  const lines = [`${at}${subjectOf(violation, change)}`, message, `rule ${violation.rule} (${formatPlace(place)})`];
  if (controls.length) lines.push(`control ${controls.join(' ')}`);
  if (fix) lines.push(`fix ${fix}`);
  return lines.join('\n');
}

function element(name: string, attributes: Readonly<Record<string, string | number>>, content: string): string {
  const written = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${escape(String(value))}"`)
    .join('');
  return content === '' ? `<${name}${written}/>` : `<${name}${written}>${content}</${name}>`;
}

/** XML 1.0 has no way at all to write most control characters; they become what Unicode draws for "unknown". */
function escape(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
