/** The longest pause before a repository that fails is looked at again, in milliseconds; or its own pace where that is slower. */
const LONGEST_PAUSE = 30_000;

/**
 * Milliseconds until the next look at a repository: its pace give or take a tenth, so that many do not come in step; twice as long
 * for each failure in a row, less up to a half, so that a forge that comes back is not asked by everybody at once.
 */
export function pauseAfter(pace: number, failures: number, random: () => number = Math.random): number {
  if (failures === 0) return pace * (0.9 + 0.2 * random());
  const longest = Math.max(LONGEST_PAUSE, pace);
  return Math.min(longest, pace * 2 ** Math.min(failures, 10)) * (0.5 + 0.5 * random());
}
