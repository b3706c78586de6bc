/** As OPA reports it; rows from 1. */
export interface CoverageReport {
  readonly files?: Readonly<Record<string, { readonly covered?: readonly Range[]; readonly not_covered?: readonly Range[] }>>; // prettier-ignore
}

interface Range {
  readonly start: { readonly row: number };
  readonly end: { readonly row: number };
}

/** How much of a file of rules its tests went through. */
export interface Coverage {
  readonly file: string;
  /** Percent of the lines that can be gone through, to one decimal; 100 where there is none. */
  readonly percent: number;
  readonly covered: number;
  readonly lines: number;
  /** First and last line of each stretch that no test went through. */
  readonly uncovered: readonly (readonly [from: number, to: number])[];
}

/** Of files that are rules and not their tests. */
export function coverageOf({ files = {} }: CoverageReport): readonly Coverage[] {
  return Object.keys(files)
    .filter((file) => !file.endsWith('_test.rego'))
    .toSorted()
    .map((file) => {
      const { covered = [], not_covered: not = [] } = files[file];
      const uncovered = joined(not.map(({ start, end }) => [start.row, end.row]));
      const [went, missed] = [linesOf(covered), linesOf(not)];
      return { file, percent: percentOf(went, went + missed), covered: went, lines: went + missed, uncovered };
    });
}

/** Of all files together. */
export function totalCoverage(files: readonly Pick<Coverage, 'covered' | 'lines'>[]): number {
  const sum = (of: 'covered' | 'lines') => files.reduce((all, file) => all + file[of], 0);
  return percentOf(sum('covered'), sum('lines'));
}

/** Rounded down, so that 100 means all. */
function percentOf(part: number, whole: number): number {
  return whole === 0 ? 100 : Math.floor((part * 1000) / whole) / 10;
}

function linesOf(ranges: readonly Range[]): number {
  return ranges.reduce((all, { start, end }) => all + end.row - start.row + 1, 0);
}

function joined(ranges: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  const found: [number, number][] = [];
  for (const [from, to] of ranges.toSorted(([a], [b]) => a - b)) {
    const last = found.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}
