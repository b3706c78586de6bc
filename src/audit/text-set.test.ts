import { TextSet } from './text-set.js';

describe('texts that were seen', () => {
  it('are told from those that were not, beyond every growth', () => {
    const set = new TextSet();
    for (let n = 0; n < 20_000; n += 1) set.add(`text ${n % 10_000}`);
    expect(set.size).toBe(10_000);
    for (let n = 0; n < 10_000; n += 7)
      expect([set.has(`text ${n}`), set.has(`text ${n + 10_000}`)]).toEqual([true, false]);
    expect(set.has('')).toBe(false);
  });
});
