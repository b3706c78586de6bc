import { pauseAfter, Retries } from './pace.js';

describe('the pause between two looks', () => {
  const [low, high] = [() => 0, () => 0.999_999];

  it('is the pace, give or take a tenth', () => {
    expect(pauseAfter(500, 0, low)).toBeCloseTo(450);
    expect(pauseAfter(500, 0, high)).toBeCloseTo(550, 2);
    expect(new Set(Array.from({ length: 50 }, () => pauseAfter(500, 0))).size).toBeGreaterThan(40);
  });

  it('doubles with each failure up to half a minute, never below half of that', () => {
    expect([1, 2, 3, 6, 30].map((failures) => Math.round(pauseAfter(500, failures, high)))).toEqual([
      1_000, 2_000, 4_000, 30_000, 30_000,
    ]);
    expect([1, 2, 30].map((failures) => pauseAfter(500, failures, low))).toEqual([500, 1_000, 15_000]);
  });

  it('is never shortened by a failure for a repository that is looked at rarely', () => {
    expect(pauseAfter(3_600_000, 0, low)).toBeGreaterThan(3_000_000);
    expect(pauseAfter(3_600_000, 1, low)).toBe(1_800_000);
    expect(pauseAfter(3_600_000, 9, high)).toBeGreaterThan(3_500_000);
  });
});

describe('what could not be judged', () => {
  it('is judged again after a growing pause, at most ten minutes, and at once when something else is pushed', () => {
    let now = 0;
    const retries = new Retries(
      () => now,
      () => 1,
    );
    const pauses: number[] = [];
    for (let i = 0; i < 14; i++) {
      expect(retries.isDue('production', 'a')).toBe(true);
      retries.failed('production', 'a');
      const from = now;
      while (!retries.isDue('production', 'a')) now += 1_000;
      pauses.push(now - from);
    }
    expect(pauses.slice(0, 4)).toEqual([2_000, 4_000, 8_000, 16_000]);
    expect(pauses.at(-1)).toBe(600_000);
    retries.failed('production', 'a');
    expect(retries.isDue('production', 'a')).toBe(false);
    expect(retries.isDue('production', 'b')).toBe(true);
    expect(retries.isDue('staging', 'a')).toBe(true);
    retries.settled('production');
    expect(retries.isDue('production', 'a')).toBe(true);
  });
});
