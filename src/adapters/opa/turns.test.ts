import type { PolicyBundle } from '../../policy/bundle.js';
import { Turns } from './turns.js';

const bundle = (digest: string) => ({ digest }) as PolicyBundle;
const inputs = (count: number, length = 1) => Array.from({ length: count }, (_, i) => String(i).padEnd(length));
const idle = () => 0;

function turnsOf(waiting: Record<string, readonly string[]>, threads = 2): Turns {
  const turns = new Turns(threads);
  for (const [digest, texts] of Object.entries(waiting)) void turns.add(bundle(digest), texts);
  return turns;
}

describe('turns of bundles', () => {
  it('come one after the other, whatever one of them has waiting', () => {
    const turns = turnsOf({ a: inputs(1000), b: inputs(1) });
    expect(turns.next(idle)).toBe('a');
    expect(turns.take('a')).toHaveLength(64);
    expect(turns.next(idle)).toBe('b');
    expect(turns.take('b').map(({ input }) => input)).toEqual(['0']);
    expect(turns.take('a')[0].input).toBe('64');
  });

  it('are as long as the inputs are short, and share what there is among the threads', () => {
    expect(turnsOf({ a: inputs(100) }).take('a')).toHaveLength(50);
    expect(turnsOf({ a: inputs(100, 500_000) }).take('a')).toHaveLength(4);
    expect(turnsOf({ a: inputs(10, 3_000_000) }).take('a')).toHaveLength(1);
  });

  // Invariant 7 for the others: an analysis of a policy without end holds nobody up.
  it('are short for a bundle that takes long, and it never has all threads', () => {
    const turns = turnsOf({ slow: inputs(1000) });
    turns.took('slow', 2000);
    expect(turns.take('slow')).toHaveLength(1);
    expect(turns.next(() => 1)).toBeUndefined();
    void turns.add(bundle('good'), ['x']);
    expect(turns.next((digest) => (digest === 'slow' ? 1 : 0))).toBe('good');
    for (let i = 0; i < 12; i++) turns.took('slow', 1);
    expect(turns.next(() => 1)).toBe('slow');
    expect(turns.take('slow')).toHaveLength(64);
  });

  it('leave one thread to a bundle even where there is only one', () => {
    const turns = turnsOf({ slow: inputs(5) }, 1);
    turns.took('slow', 2000);
    expect(turns.next(idle)).toBe('slow');
    expect(turns.next(() => 1)).toBeUndefined();
  });

  it('begin with what was put back', () => {
    const turns = turnsOf({ a: inputs(10) });
    const taken = turns.take('a');
    turns.putBack(taken.slice(1));
    expect(turns.take('a')[0].input).toBe('1');
    expect(turns.clear()).toHaveLength(4);
    expect(turns.next(idle)).toBeUndefined();
  });
});
