import type { CountersignError } from '../errors.js';
import type { Cosigning } from './cosigning.js';
import type { Ledger } from './ledger.js';
import { Repeating } from './repeating.js';

/** Milliseconds after which an unchanged log is shown again: a fresh time says that nothing came since. */
const refresh = 3_600_000;
/** The longest pause while witnesses are away, in milliseconds. */
const longestPause = 60_000;

/**
 * Asks the witnesses whenever the log has grown, and once an hour; until enough have signed and none is away, each time anew.
 * @param every Milliseconds.
 */
export function cosigningLoop(
  cosigning: Cosigning,
  log: Pick<Ledger, 'size'>,
  every: number,
  onFault: (fault: CountersignError) => void,
): Repeating {
  let [size, at] = [-1, 0];
  const round = async () => {
    if ((await log.size()) === size && Date.now() - at <= refresh) return;
    const { checkpoint, quorumReached, faults } = await cosigning.round();
    if (faults.length > 0) throw new AggregateError(faults);
    if (quorumReached) [size, at] = [checkpoint.size, Date.now()];
  };
  return new Repeating(round, every, onFault, longestPause);
}
