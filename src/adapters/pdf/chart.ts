import type { ManagementReport } from '../../report/management.js';

/** Colours that stay apart in print and for the colour-blind (Okabe and Ito, 2008). */
export const colours = { allow: '#0072b2', deny: '#d55e00', pending: '#e69f00', error: '#666666' } as const;
const series = ['allow', 'deny', 'pending', 'error'] as const;
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [515, 170, 34, 22, 8];

const label = (x: number, at: number, text: string, anchor: string): string =>
  `<text x="${x.toFixed(1)}" y="${at.toFixed(1)}" font-size="7" fill="#555" text-anchor="${anchor}" font-family="Roboto">${text}</text>`;

/** Decisions over time, one bar a day, week or month, outcomes on top of each other: SVG. */
export function courseChart({ bars, unit }: ManagementReport['course']): string {
  const most = Math.max(1, ...bars.map((bar) => series.reduce((sum, name) => sum + bar[name], 0)));
  const step = niceStep(most / 4);
  const top = Math.ceil(most / step) * step;
  const y = (value: number): number => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const slot = (WIDTH - LEFT) / Math.max(bars.length, 1);
  const width = Math.min(slot * 0.7, 40);
  const parts: string[] = [];
  for (let value = 0; value <= top; value += step) {
    parts.push(
      `<line x1="${LEFT}" x2="${WIDTH}" y1="${y(value)}" y2="${y(value)}" stroke="#dddddd" stroke-width="0.5"/>`,
    );
    parts.push(label(LEFT - 4, y(value) + 2.5, value.toLocaleString('en'), 'end'));
  }
  const every = Math.ceil(bars.length / 10);
  bars.forEach((bar, i) => {
    const x = LEFT + i * slot + (slot - width) / 2;
    let below = 0;
    for (const name of series) {
      if (bar[name] === 0) continue;
      const height = y(below) - y(below + bar[name]);
      parts.push(`<rect x="${x.toFixed(1)}" y="${y(below + bar[name]).toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}" fill="${colours[name]}"/>`); // prettier-ignore
      below += bar[name];
    }
    if (i % every === 0) parts.push(label(x + width / 2, HEIGHT - 8, unit === 'month' ? bar.from.slice(0, 7) : bar.from.slice(5), 'middle')); // prettier-ignore
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}">${parts.join('')}</svg>`;
}

/** 1, 2 or 5 times a power of ten, and whole: the least that is not below `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least)!;
}
