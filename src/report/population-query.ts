import { randomBytes } from 'node:crypto';
import { CountersignError } from '../errors.js';
import type { Outcome } from '../policy/decision.js';
import { suggest } from '../settings.js';
import type { Sampling } from './export-entry.js';
import type { PopulationQuery } from './population.js';

/** Changes that a report shows in full. */
const MOST_SAMPLED = 200;

const OUTCOMES: readonly Outcome[] = ['allow', 'deny', 'pending', 'error'];
const KNOWN = ['since', 'until', 'repository', 'environment', 'decision', 'zone'] as const;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/;

/**
 * What to take, from the words of a command line or an address. A date is the first instant of that day in the time zone `zone` (an
 * IANA name, UTC unless given), so that a period from 2026-07-01 until 2026-10-01 is the third quarter there, whatever daylight saving
 * does. Throws `query-invalid` for what is no date, a period upside down, an unknown word.
 */
export function parsePopulationQuery(words: Readonly<Record<string, string | undefined>>): PopulationQuery {
  requireOnce(words);
  for (const name of Object.keys(words)) {
    if (!(KNOWN as readonly string[]).includes(name)) {
      throw invalid(
        `there is nothing to ask for by "${name.slice(0, 40)}"${suggest(name, KNOWN)}`,
        `Ask by ${KNOWN.join(', ')}`,
      );
    }
  }
  const { decision, zone = 'UTC' } = words;
  if (decision !== undefined && !OUTCOMES.includes(decision as Outcome)) {
    throw invalid(
      `"${decision.slice(0, 40)}" is no decision${suggest(decision, OUTCOMES)}`,
      `There are ${OUTCOMES.join(', ')}`,
    );
  }
  const [since, until] = [instant('since', words['since'], zone), instant('until', words['until'], zone)];
  if (since !== null && until !== null && since >= until) {
    throw invalid(`the period ends at ${until}, before it begins at ${since}`, 'Give the earlier one as since');
  }
  return {
    repository: words['repository'] ?? null,
    environment: words['environment'] ?? null,
    outcome: (decision as Outcome | undefined) ?? null,
    since,
    until,
  };
}

/** An address may say a word twice, and then nobody knows which of them was meant. Throws `query-invalid`. */
export function requireOnce(words: Readonly<Record<string, unknown>>): void {
  const twice = Object.entries(words).find(([, value]) => value !== undefined && typeof value !== 'string');
  if (twice) throw invalid(`"${twice[0].slice(0, 40)}" is said more than once`, 'Say each word once');
}

/** Of what cannot be narrowed: a word that is not heeded would give more than was asked for. Throws `query-invalid`. */
export function parseNothing(words: Readonly<Record<string, string | undefined>>): void {
  const [name] = Object.keys(words);
  if (name !== undefined) throw invalid(`nothing narrows this, and "${name.slice(0, 40)}" was given`, 'Leave it out');
}

/** Changes of a sample: a seed of the caller's, or a new one; 25 of them unless told. Throws `query-invalid`. */
export function parseSampling({
  seed,
  sample = '25',
}: {
  readonly seed?: string | undefined;
  readonly sample?: string | undefined;
}): Sampling {
  // prettier-ignore
  requireOnce({ seed, sample });
  const size = /^\d{1,3}$/.test(sample) ? Number(sample) : Number.NaN;
  if (!(size >= 1 && size <= MOST_SAMPLED)) {
    throw invalid(
      `sample is "${sample.slice(0, 40)}"`,
      `Write how many changes to show in full, from 1 to ${MOST_SAMPLED}`,
    );
  }
  if (seed !== undefined && !/^[\x21-\x7e]{1,100}$/.test(seed)) {
    throw invalid('seed is not up to 100 ASCII characters without a space', 'Write for example audit-2026-q3');
  }
  return { seed: seed ?? randomBytes(16).toString('hex'), size };
}

/** Of a listing: all of it unless a number or a seed is given. Throws `query-invalid`. */
export function parseOptionalSampling(words: Parameters<typeof parseSampling>[0]): Sampling | undefined {
  return words.sample === undefined && words.seed === undefined ? undefined : parseSampling(words);
}

/** RFC 3339, UTC. */
function instant(name: string, text: string | undefined, zone: string): string | null {
  if (text === undefined) return null;
  const time = DATE.test(text) ? startOfDay(name, text, zone) : TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) {
    throw invalid(
      `${name} is "${text.slice(0, 40)}", which is neither a date nor a time with its offset`,
      'Write 2026-07-01, or 2026-07-01T00:00:00+02:00',
    );
  }
  return new Date(time).toISOString();
}

const DAY = 86_400_000;

/** The first instant of a day in a zone, in milliseconds; NaN for a day that no calendar has. Throws `query-invalid` for a zone that there is not. */
export function startOfDay(name: string, date: string, zone: string): number {
  const midnight = Date.parse(`${date}T00:00:00Z`);
  if (Number.isNaN(midnight) || new Date(midnight).toISOString().slice(0, 10) !== date) return Number.NaN;
  const dayThere = dayIn(name, zone);
  // No zone is further from UTC than a day: the first instant at which its calendar shows that day lies in between.
  let [before, after] = [midnight - DAY, midnight + DAY];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (dayThere(middle) >= date) after = middle;
    else before = middle;
  }
  return after;
}

/** The day there at a time in milliseconds. Throws `query-invalid`. */
export const dateIn = (zone: string, time: number): string => dayIn('zone', zone)(time);

function dayIn(name: string, zone: string): (time: number) => string {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' });
  } catch {
    throw invalid(
      `${name} is a day in the time zone "${zone.slice(0, 60)}", which there is not`,
      'Write a name such as Europe/Berlin',
    );
  }
  return (time) => format.format(time);
}

const invalid = (message: string, remedy: string): CountersignError =>
  new CountersignError('query-invalid', message, { remedy });
