import { parse } from 'csv-parse/sync';
import { extractText, getDocumentProxy } from 'unpdf';
import { decidedChange, leafHash, pagesOf } from '../../test/support/population.js';
import { managementPdf } from '../adapters/pdf/management.js';
import type { Violation } from '../policy/decision.js';
import { managementReport } from './management.js';
import { columns, type DecidedChange } from './population.js';
import type { WholeReport } from './reports.js';
import { writePopulation } from './write-population.js';

// What people write comes out of every export as what it was, and as nothing else.

const hostile = [
  `=HYPERLINK("https://evil.example.org","click")`,
  `+1+1`,
  `-2+3+cmd|' /C calc'!A0`,
  `@SUM(1,1)`,
  `＝1＋1`,
  `\t=1`,
  `a","b\r\n=1,2`,
  `\u202egpj.exe`,
  `zero\u200bwidth \ufeff`,
  `<script>alert(1)</script>&amp;]]>`,
  `Ω 中文 عربى 😀 e\u0301`,
  `'already`,
];

/** The text in every field that somebody outside can write. */
function written(text: string, index: number): DecidedChange {
  const time = '2026-07-01T00:00:00.000Z';
  const violation: Violation = { rule: text, kind: 'deny', message: text, severity: 'high', controls: [text], place: { file: text } }; // prettier-ignore
  const person = { name: text, email: text, time: text };
  const [commit] = decidedChange(index).commits;
  return decidedChange(index, {
    repository: text,
    environment: text,
    target: text,
    namespace: text,
    outcome: 'deny',
    violations: [violation],
    required: [violation],
    excepted: [violation],
    exceptions: [{ id: text, rule: text, expires: time, ticket: text }],
    approvals: [{ principal: text, person: text, key: text, via: 'git', firstSeen: time }],
    change: { operation: 'push', ref: text, base: null, head: text, tree: text, renderedDigest: text },
    commits: [{ ...commit, author: person, committer: person, message: `${text}\n\nTicket: ${text}\nReason: ${text}\nRisk: ${text}\n`, signature: { status: 'verified', principal: text, key: text } }], // prettier-ignore
    objects: [text],
    duty: { reason: text, ticket: text, dueAt: time, closedAt: time, by: text },
    uids: [text],
    controls: [text],
  });
}

const rows = hostile.map(written);
const population = { rows: rows.length, size: 100, pages: () => pagesOf(...rows), close: () => Promise.resolve() };
const bytes = async (format: 'csv' | 'jsonl'): Promise<string> =>
  (await Array.fromAsync(writePopulation(population, format))).join('');

it('is no formula in any cell of a listing, and is read back as what it was', async () => {
  const read = parse<Record<string, string>>(await bytes('csv'), { columns: true });
  expect(read).toHaveLength(rows.length);
  for (const [i, row] of rows.entries()) {
    for (const { name, value } of columns) {
      const [cell, was] = [read[i][name], value(row)];
      const text = was === null ? '' : typeof was === 'object' ? was.join('; ') : String(was);
      if (typeof was === 'number') continue;
      expect([name, /^[=+\-@\t\r\n＝＋－＠]/.test(cell)]).toEqual([name, false]);
      expect([name, cell === text || cell === `'${text}`]).toEqual([name, true]);
    }
  }
  const lines = (await bytes('jsonl')).trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual(rows.map((row) => Object.fromEntries(columns.map(({ name, value }) => [name, value(row)])))); // prettier-ignore
});

it('neither hides nor turns what a report for people says', async () => {
  const durations = { count: 0, median: null, p90: null, mean: null };
  const counts = { total: 1, groups: [{ key: hostile[7], count: 1 }], more: 0 };
  const filters = { repository: hostile[7], environment: hostile[9], outcome: null, since: null, until: null };
  const sample = { seed: 'audit', size: 25 };
  const whole: WholeReport = {
    manifest: { id: 'id', index: 7, report: 'management', format: 'pdf', filters, rows: rows.length, size: 100, time: '2026-10-01T00:00:00.000Z', sample }, // prettier-ignore
    report: await managementReport(pagesOf(...rows), sample),
    delivery: {
      deployments: 0,
      perDay: null,
      leadTime: durations,
      failures: 0,
      failureRate: null,
      recovery: durations,
    },
    drift: { byPerson: counts, byEnvironment: counts },
    checkpoint: 'log.example.org/shop\n8\nabc=\n\n— log.example.org/shop c2ln\n',
  };
  const document = await getDocumentProxy(new Uint8Array(await managementPdf(whole, 'log.example.org/shop+vkey')));
  const { text } = await extractText(document, { mergePages: true });
  expect(/[\u202e\u200b\ufeff]/.test(text)).toBe(false);
  expect(text).toContain('[U+202E]');
  expect(text).toContain(leafHash(0).slice(0, 8));
});
