import { type LeaseRow, shareOut } from './share-out.js';

const work = (name: string, instance: string | null, wantedBy: string | null = null): LeaseRow => ({
  kind: 'environment',
  name,
  epoch: 1,
  instance,
  wantedBy,
});
const everything = (): boolean => true;
const names = (leases: readonly LeaseRow[]): string[] => leases.map(({ name }) => name);

describe('how instances share work', () => {
  it('gives everything to one that is alone, and what the dead held', () => {
    const leases = [work('a', null), work('b', 'dead'), work('c', 'me')];
    const { take, ask, give } = shareOut({ me: 'me', instances: ['me'], leases, candidate: everything });
    expect([names(take), names(ask), names(give)]).toEqual([['a', 'b'], [], []]);
  });

  it('gives each of two its part of what is free, and not the same', () => {
    const leases = ['a', 'b', 'c', 'd'].map((name) => work(name, null));
    const of = (me: string): string[] => names(shareOut({ me, instances: ['x', 'y'], leases, candidate: everything }).take); // prettier-ignore
    expect([...of('x'), ...of('y')].toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('takes no work that it cannot do', () => {
    const leases = [work('a', null), work('b', null)];
    const { take } = shareOut({ me: 'me', instances: ['me'], leases, candidate: ({ name }) => name === 'b' });
    expect(names(take)).toEqual(['b']);
  });

  it('asks whoever has more for half the difference, and whoever is asked gives it', () => {
    const leases = ['a', 'b', 'c', 'd', 'e'].map((name) => work(name, 'other'));
    const instances = ['me', 'other'];
    const { ask } = shareOut({ me: 'me', instances, leases, candidate: everything });
    expect(names(ask)).toEqual(['a', 'b']);
    const asked = leases.map((lease) => (ask.includes(lease) ? { ...lease, wantedBy: 'me' } : lease));
    expect(names(shareOut({ me: 'other', instances, leases: asked, candidate: everything }).give)).toEqual(['a', 'b']);
    expect(names(shareOut({ me: 'me', instances, leases: asked, candidate: everything }).ask)).toEqual([]);
  });

  it('leaves a difference of one, and what one asked for who is gone, where it is', () => {
    const leases = [work('a', 'other', 'dead'), work('b', 'other'), work('c', 'me')];
    const instances = ['me', 'other'];
    expect(shareOut({ me: 'me', instances, leases, candidate: everything }).ask).toEqual([]);
    expect(shareOut({ me: 'other', instances, leases, candidate: everything }).give).toEqual([]);
  });

  it('settles from any beginning, with every piece of work at one instance and no two far apart', () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const instances = ['p', 'q', 'r'].slice(0, 1 + (seed % 3));
      let leases = Array.from({ length: seed }, (_, i) => work(`w${i}`, [null, 'p', 'dead', 'q'][(i * seed) % 4]));
      for (let round = 0; round < 40; round += 1) {
        const me = instances[round % instances.length];
        const { take, ask, give } = shareOut({ me, instances, leases, candidate: everything });
        leases = leases.map((lease) => {
          if (take.includes(lease)) return work(lease.name, me);
          if (give.includes(lease)) return work(lease.name, null);
          return ask.includes(lease) ? { ...lease, wantedBy: me } : lease;
        });
      }
      const counts = instances.map((id) => leases.filter(({ instance }) => instance === id).length);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(seed);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  });
});
