import { z } from 'zod';

interface Range {
  readonly atLeast: number;
  readonly atMost: number;
}

const TIMES = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZES = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, KB: 1e3, MB: 1e6, GB: 1e9 } as const;

/** `500ms`, `2s`, `1.5m`, `1h`, `7d` as milliseconds. */
export const milliseconds = (range: Range): z.ZodType<number, string> =>
  quantity(TIMES, range, 'a duration such as 500ms or 2s');

/** `512KiB`, `10MiB`, `1GB` as bytes; a plain number is bytes. */
export const bytes = (range: Range): z.ZodType<number, string | number> =>
  quantity({ ...SIZES, '': 1 }, range, 'a size such as 10MiB');

function quantity(
  units: Readonly<Record<string, number>>,
  { atLeast, atMost }: Range,
  what: string,
): z.ZodType<number, never> {
  return z.union([z.string(), z.number()]).transform((written, ctx) => {
    const match = /^(\d+(?:\.\d+)?)\s?([A-Za-z]*)$/.exec(String(written));
    const unit = match && Object.hasOwn(units, match[2] ?? '') ? units[match[2] ?? ''] : undefined;
    const value = unit === undefined ? Number.NaN : Math.round(Number(match?.[1]) * unit);
    if (value >= atLeast && value <= atMost) return value;
    const message = Number.isNaN(value)
      ? `it must be ${what}`
      : `it must be between ${inWords(atLeast, units)} and ${inWords(atMost, units)}`;
    ctx.addIssue({ code: 'custom', message });
    return z.NEVER;
  }) as never;
}

/** In the largest unit that divides it. */
function inWords(value: number, units: Readonly<Record<string, number>>): string {
  const [unit, size] = Object.entries(units)
    .filter(([, size]) => value % size === 0)
    .reduce((best, candidate) => (candidate[1] > best[1] ? candidate : best), ['', 1]);
  return `${value / size}${unit}`;
}
