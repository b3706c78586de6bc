import { createHash } from 'node:crypto';
import { decidedChange as row, leafHash, pagesOf as pages } from '../../test/support/population.js';
import { managementReport } from './management.js';
import { Sample } from './sample.js';

const denial = (rule: string) => ({ rule, kind: 'deny' as const, message: 'no', severity: 'high' as const, controls: ['SOC2:CC8.1'], place: { file: 'f' } }); // prettier-ignore
const glass = { operation: 'break_glass', ref: 'refs/heads/main', base: null, head: 'e', tree: 't', renderedDigest: 'r' } as const; // prettier-ignore
const sampling = { seed: 's', size: 2 };

const course = async (...days: number[]) => (await managementReport(pages(...days.map((day) => row(day))), sampling)).course; // prettier-ignore

describe('a management report', () => {
  it('counts each change once, and lists what stands out', async () => {
    const duty = { reason: 'shop is down', ticket: 'OPS-1', dueAt: '2026-07-09T00:00:00Z', closedAt: null, by: null };
    const report = await managementReport(
      pages(
        row(1, { run: { id: 'r', outcome: 'succeeded', finishedAt: '2026-07-02T00:01:00.000Z' } }),
        row(2, { outcome: 'deny', violations: [denial('images.pinned'), denial('images.pinned')], approvedBy: '' }),
        row(3, { approvedBy: '' }),
        row(4, { by: 'bo@example.org' }),
        row(5, { change: glass, approvedBy: '', duty, run: { id: 'x', outcome: 'failed', finishedAt: null } }),
      ),
      sampling,
    );
    expect(report.decisions).toEqual({ allow: 4, deny: 1, pending: 0, error: 0 });
    expect(report).toMatchObject({ deployed: 1, failedRuns: 1, commits: 5, unsignedCommits: 0, objects: 10 });
    expect(report.deniedBy).toEqual({ total: 5, groups: [{ key: 'images.pinned', count: 1 }], more: 0 });
    expect(report.unapproved).toMatchObject({ total: 1, rows: [{ index: 3, tickets: ['SHOP-3'], liveAt: null }] });
    expect(report.selfApproved).toMatchObject({ total: 1, rows: [{ index: 4 }] });
    expect(report.emergencies.rows).toMatchObject([{ index: 5, reason: 'shop is down', dueAt: duty.dueAt, reviewedAt: null }]); // prettier-ignore
    expect(report.controls.groups).toEqual([{ key: 'SOC2:CC8.1', count: 1 }]);
    expect(report.environments).toMatchObject([{ environment: 'shop/production', deployed: 1, emergencies: 1 }]);
    expect(report.environments[0].medianLead).toBeCloseTo(60, 0);
    expect(report.sample).toHaveLength(2);
  });

  it('shows days without a change as gaps, and longer periods by week or month', async () => {
    expect((await course(1, 4)).bars.map(({ from, allow }) => [from, allow])).toEqual([
      ['2026-07-02', 1],
      ['2026-07-03', 0],
      ['2026-07-04', 0],
      ['2026-07-05', 1],
    ]);
    const weeks = await course(0, 90);
    expect([weeks.unit, weeks.bars[0].from, weeks.bars.length]).toEqual(['week', '2026-06-29', 14]);
    expect(await course(0, 800)).toMatchObject({ unit: 'month', bars: { length: 27 } });
    expect(await course()).toEqual({ unit: 'day', bars: [] });
  });

  it('keeps only the first rows of a list, and says how many there are', async () => {
    const report = await managementReport(pages(...Array.from({ length: 130 }, (_, i) => row(i, { approvedBy: '' }))), sampling); // prettier-ignore
    expect([report.unapproved.total, report.unapproved.rows.length]).toEqual([130, 100]);
  });
});

describe('a sample', () => {
  it('is the rows of least hash, whatever order they come in, so that anybody can draw it again', () => {
    const rows = Array.from({ length: 500 }, (_, index) => ({ index, leafHash: leafHash(index) }));
    const ranked = rows.toSorted((a, b) => (rank(a.leafHash) < rank(b.leafHash) ? -1 : 1));
    const expected = ranked.slice(0, 20).toSorted((a, b) => a.index - b.index);
    for (const order of [rows, rows.toReversed()]) {
      const sample = new Sample('audit', 20);
      for (const one of order) sample.offer(one);
      expect(sample.rows()).toEqual(expected);
    }
    const all = new Sample('audit', 600);
    for (const one of rows) all.offer(one);
    expect(all.rows()).toEqual(rows);
  });
});

const rank = (hash: string): string => createHash('sha256').update(`audit\n${hash}`).digest('hex');
