import { loadavg } from 'node:os';

/** One line for one figure: what it is of, what is wanted, what was measured, and whether that is reached. A miss fails the bench. */
export function figure(
  what: string,
  comparison: '<' | '<=' | '>=',
  wanted: number,
  measured: number,
  unit: string,
): void {
  // prettier-ignore
  const reached = comparison === '<' ? measured < wanted : comparison === '<=' ? measured <= wanted : measured >= wanted;
  const places = Math.abs(measured) >= 100 ? 0 : Math.abs(measured) >= 10 ? 1 : 2;
  const load = loadavg()[0].toFixed(1);
  console.log(`${what} | wanted ${comparison} ${wanted} ${unit} | measured ${measured.toFixed(places)} ${unit} | ${reached ? 'reached' : 'NOT reached'} | load ${load}`); // prettier-ignore
  if (!reached) process.exitCode = 1;
}

/** The value that this share of them is not above. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
