import { Rate } from './rate.js';

describe('a rate', () => {
  it('lets a burst through, then so many a second, each name for itself', () => {
    let now = 0;
    const rate = new Rate(10, () => now);
    const taken = (name: string, count: number) => Array.from({ length: count }, () => rate.take(name)).filter(Boolean);
    expect(taken('bo', 100)).toHaveLength(20);
    expect(taken('ann', 5)).toHaveLength(5);
    now += 500;
    expect(taken('bo', 100)).toHaveLength(5);
    now += 3_600_000;
    expect(taken('bo', 100)).toHaveLength(20);
  });

  it('remembers no more names than it has room for', () => {
    const rate = new Rate(1, () => 0);
    for (let i = 0; i < 120_000; i++) rate.take(`stranger ${i}`);
    expect(rate.take('stranger 0')).toBe(true);
  });
});
