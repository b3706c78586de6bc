import { extractText, getDocumentProxy } from 'unpdf';
import { managementReport } from '../../report/management.js';
import type { WholeReport } from '../../report/reports.js';
import { managementPdf } from './management.js';
import { printable } from './text.js';

async function* nothing(): AsyncGenerator<never[]> {
  yield [];
}
const durations = { count: 0, median: null, p90: null, mean: null };
const counts = { total: 0, groups: [], more: 0 };

describe('the report as PDF', () => {
  it('has every section, its contents, and how to verify it, even of nothing', async () => {
    const filters = { repository: null, environment: 'shop/production', outcome: null, since: '2026-07-01T00:00:00.000Z', until: null }; // prettier-ignore
    const whole: WholeReport = {
      manifest: { id: 'id-1', index: 7, report: 'management', format: 'pdf', filters, rows: 0, size: 5, time: '2026-10-01T00:00:00.000Z', sample: { seed: 'audit', size: 25 } }, // prettier-ignore
      report: await managementReport(nothing(), { seed: 'audit', size: 25 }),
      delivery: { deployments: 0, perDay: null, leadTime: durations, failures: 0, failureRate: null, recovery: durations }, // prettier-ignore
      drift: { byPerson: counts, byEnvironment: counts },
      checkpoint: 'log.example.org/shop\n8\nabc=\n\n— log.example.org/shop c2ln\n',
    };
    const document = await getDocumentProxy(new Uint8Array(await managementPdf(whole, 'log.example.org/shop+vkey')));
    const { text, totalPages } = await extractText(document, { mergePages: true });
    expect(totalPages).toBeGreaterThanOrEqual(4);
    for (const words of [
      'Contents',
      'Summary',
      'Why changes were denied',
      'Emergency changes',
      'Sample of 0',
      'Verification',
    ]) {
      expect(text).toContain(words);
    }
    expect(text).toContain('--since 2026-07-01T00:00:00.000Z --environment shop/production --to population.csv');
    expect(text).toContain('log.example.org/shop+vkey');
    expect(text).toContain('2026-07-01 00:00 to 2026-10-01 00:00 UTC');
    expect(text).toContain(`1 / ${totalPages}`);
  });

  it('writes out what its typeface does not have, and what hides or turns text', () => {
    expect(printable('Žluťoučký Грузовик Ωμέγα €5 “x”')).toBe('Žluťoučký Грузовик Ωμέγα €5 “x”');
    expect(printable('a\u202eb\u0000\n中😀')).toBe('a[U+202E]b[U+0000][U+000A][U+4E2D][U+1F600]');
    expect(printable('x'.repeat(500))).toHaveLength(401);
  });
});
