import { coverageOf, totalCoverage } from './coverage.js';

const range = (from: number, to: number) => ({ start: { row: from }, end: { row: to } });

describe('coverage', () => {
  it('counts lines of rules, leaves tests out, and joins what touches', () => {
    const files = coverageOf({
      files: {
        'b.rego': { covered: [range(1, 2)], not_covered: [range(7, 7), range(3, 4), range(5, 5)] },
        'a.rego': { covered: [range(1, 5)] },
        'b_test.rego': { not_covered: [range(1, 90)] },
        'empty.rego': {},
      },
    });
    expect(files).toEqual([
      { file: 'a.rego', percent: 100, covered: 5, lines: 5, uncovered: [] },
      { file: 'b.rego', percent: 33.3, covered: 2, lines: 6, uncovered: [[3, 5], [7, 7]] }, // prettier-ignore
      { file: 'empty.rego', percent: 100, covered: 0, lines: 0, uncovered: [] },
    ]);
    expect(totalCoverage(files)).toBe(63.6);
  });

  it('is 100 only where all is covered', () => {
    expect(totalCoverage([{ covered: 9999, lines: 10_000 }])).toBe(99.9);
  });
});
