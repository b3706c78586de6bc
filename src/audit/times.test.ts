import { Times } from './times.js';

const at = (index: number, time: string): { index: number; time: string } => ({ index, time: `2026-03-02T${time}Z` });
const told = (...times: string[]): string => {
  const read = new Times();
  times.forEach((time, index) => read.read(at(index, time)));
  return read.told;
};

describe('the times that entries say', () => {
  it('go forward, but for what several processes and long transactions make of them', () => {
    expect(told()).toBe(', and go forward with the entries');
    expect(told('09:00:00', '09:00:05', '09:00:04', '09:30:00')).toBe(', and go forward with the entries');
  });

  it('give away an entry that was put in later under an earlier time, and which', () => {
    expect(told('09:00:00', '12:00:00', '12:00:01', '09:30:00', '12:00:02', '11:00:00')).toBe(
      '; entry 3 says it was recorded 3 h before entry 2, which was logged before it: ask why',
    );
    expect(told('09:02:00', '09:00:30')).toContain('entry 1 says it was recorded 90 s before entry 0');
  });
});
