import { setTimeout as sleep } from 'node:timers/promises';
import { toCountersignError } from '../../errors.js';

/** A step of the story that did not do what it should. Stays inside the demo, which reports it and exits with 1. */
export class StepFailed extends Error {
  override readonly name = 'StepFailed';
}

export function expectThat(holds: boolean, what: string): asserts holds {
  if (!holds) throw new StepFailed(what);
}

export interface Patience {
  /** Milliseconds. */
  readonly atMost?: number;
  readonly every?: number;
  /** Ends the waiting at once: what was waited for can no longer come. */
  readonly givenUp?: () => string | null;
}

/** Asks again until there is an answer. Errors on the way are only told if none comes. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null | undefined>,
  patience: Patience = {},
): Promise<T> {
  const { atMost = 60_000, every = 25, givenUp } = patience;
  const deadline = performance.now() + atMost;
  let last = '';
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== null && answer !== undefined) return answer;
      last = '';
    } catch (error) {
      if (error instanceof StepFailed) throw error;
      last = toCountersignError(error).sentence;
    }
    const reason = givenUp?.() ?? null;
    if (reason !== null) throw new StepFailed(`${what}: ${reason}`);
    if (performance.now() > deadline) {
      throw new StepFailed(`waited ${atMost / 1000} s for ${what}${last ? `; the last answer was: ${last}` : ''}`);
    }
    await sleep(every);
  }
}
