import { AuditTrail, evidenceOf, type ApiWrite, type Supplement } from './audit-trail.js';
import type { Drift } from './run-log.js';

const T = Date.parse('2026-11-21T12:00:00Z');
const identity = { group: 'apps', version: 'v1', kind: 'Deployment', namespace: 'shop', name: 'cart' };

const drift = (more: Partial<Drift> = {}): Drift => ({
  id: 'd',
  repository: 'shop',
  environment: 'shop/production',
  target: 'prod',
  decision: 4,
  identity,
  type: 'modified',
  fields: [],
  attribution: { strength: 'none', source: null, manager: null, operation: null, subresource: null, time: null },
  uid: 'u',
  resourceVersion: '9',
  time: new Date(T).toISOString(),
  ...more,
});

let ids = 0;
const write = (user: string, more: Partial<ApiWrite> = {}): ApiWrite => ({
  source: 'audit',
  id: `request-${ids++}`,
  verb: 'patch',
  group: 'apps',
  resource: 'deployments',
  kind: null,
  subresource: '',
  namespace: 'shop',
  name: 'cart',
  user: { name: user, groups: [], impersonatedBy: null, addresses: [], agent: null },
  uid: null,
  resourceVersion: null,
  time: T - 1_000,
  ...more,
});
const exact = { uid: 'u', resourceVersion: '9' };
const asked = { source: 'admission', resource: null, kind: 'Deployment', verb: 'update' } as const;

const who = (one: Drift, writes: readonly ApiWrite[]): string | null => {
  const found = evidenceOf(one, 'deployments', writes, 'countersign');
  return found && `${found.user.name} ${found.strength} ${found.source}`;
};

describe('evidence of who made a drift', () => {
  it.each<[string, string | null, Drift, ApiWrite[]]>([
    ['the very version', 'dana strong audit', drift(), [write('dana', exact), write('eve', { ...exact, resourceVersion: '8' })]],
    ['a part of it that left it in that version', 'dana strong audit', drift(), [write('dana', { ...exact, subresource: 'scale' })]],
    ['events without versions: the last', 'eve likely audit', drift(), [write('dana', { time: T - 9_000 }), write('eve')]],
    ['no event of another version', null, drift(), [write('dana', { ...exact, resourceVersion: '8' })]],
    ['nothing from before our own last write', null, drift(), [write('dana', { time: T - 9_000 }), write('countersign', { time: T - 6_000 })]],
    ['what is only status', null, drift(), [write('dana', { ...exact, subresource: 'status' })]],
    ['ourselves', null, drift(), [write('countersign', exact)]],
    ['another object', null, drift(), [write('dana', { name: 'web' }), write('dana', { namespace: 'x' }), write('dana', { resource: 'daemonsets' })]],
    ['what came after it was seen', null, drift(), [write('dana', { time: T + 60_000 })]],
    ['a deletion', 'dana strong audit', drift({ type: 'deleted', uid: null }), [write('eve'), write('dana', { verb: 'delete' })]],
    ['a deletion of all', 'dana likely audit', drift({ type: 'deleted', uid: null }), [write('dana', { verb: 'deletecollection', name: '' })]],
    ['a deletion, of which nobody tells', null, drift({ type: 'deleted', uid: null }), [write('dana')]],
    ['what admission was asked', 'dana likely admission', drift(), [write('dana', asked)]],
    ['an event before what admission was asked', 'eve likely audit', drift(), [write('dana', asked), write('eve', { time: T - 9_000 })]],
  ])('takes %s', (_, expected, one, writes) => {
    expect(who(one, writes)).toBe(expected);
  }); // prettier-ignore
});

function trail(isWhole = true, events = 100) {
  const found: Supplement[] = [];
  const lost: string[] = [];
  const clock = { now: T };
  const limits = { memory: 600_000, events, patience: 30_000 };
  const made = new AuditTrail(
    { found: (_, supplement) => found.push(supplement), lost: (reason) => lost.push(reason) },
    () => 'countersign',
    isWhole,
    limits,
    () => clock.now,
  );
  return { made, found, lost, clock };
}

describe('an audit trail', () => {
  it('finds the maker whichever of the two comes first, and tells better evidence after worse, once', () => {
    const { made, found, lost, clock } = trail();
    made.add([write('dana', exact)]);
    made.drifted(drift(), 'deployments');
    expect(found.map(({ strength }) => strength)).toEqual(['strong']);
    made.drifted(drift({ id: 'e', resourceVersion: '12' }), 'deployments');
    made.add([write('eve', asked)]);
    const event = write('eve', { ...exact, resourceVersion: '12' });
    made.add([event]);
    made.add([event]);
    expect(found.map(({ user, strength }) => `${user.name} ${strength}`)).toEqual(['dana strong', 'eve likely', 'eve strong']);
    clock.now = T + 60_000;
    made.sweep();
    expect(lost).toEqual([]);
  }); // prettier-ignore

  it('knows that events are missing when none comes of a drift, or of a write of our own', () => {
    const { made, found, lost, clock } = trail();
    made.drifted(drift(), 'deployments');
    clock.now = T + 20_000;
    made.sweep();
    expect(lost).toEqual([]);
    clock.now = T + 40_000;
    made.sweep();
    made.sweep();
    expect(lost).toEqual(['no event came of a change that somebody made to Deployment shop/cart']);
    made.written({ ...identity, name: 'web' }, 'deployments', clock.now);
    clock.now += 40_000;
    made.sweep();
    expect(lost[1]).toBe('no event came of our own write of Deployment shop/web');
    // What is inferred from that time says so.
    made.drifted(drift({ id: 'f', time: new Date(clock.now).toISOString() }), 'deployments');
    made.add([write('dana', { time: clock.now - 10_000 })]);
    expect(found).toMatchObject([{ strength: 'likely', incomplete: true }]);
  });

  it('expects nothing where only admission tells of writes, and forgets what is old or too much', () => {
    const { made, lost, clock, found } = trail(false);
    made.drifted(drift(), 'deployments');
    clock.now = T + 100_000;
    made.sweep();
    expect(lost).toEqual([]);
    const small = trail(true, 2);
    small.made.add([write('a', { name: 'x' }), write('b', { name: 'y' }), write('c', { name: 'z' })]);
    expect(small.lost).toEqual(['more than 2 writes within 10 minutes']);
    clock.now = T + 700_000;
    made.add([write('dana', exact)]);
    made.sweep();
    made.drifted(drift({ time: new Date(clock.now).toISOString() }), 'deployments');
    expect(found).toEqual([]);
  });
});
