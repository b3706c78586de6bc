import { DecisionLog, bundleInForce, environmentNamed, redactor } from '../../test/support/approvals.js';
import { configMap } from '../../test/support/cluster.js';
import type { JsonObject } from '../cluster/object.js';
import { renderedDigest } from '../cluster/rendered.js';
import { ApprovedChange, approve, assertApproved, type ApprovalClaim, type GateFacts } from './gate.js';

const environment = environmentNamed('production', 'shop');
const head = 'a'.repeat(40);
const objects = () => [configMap('shop', 'one', { a: '1' }), configMap('shop', 'two', { a: '1' })];

async function honest(): Promise<{ log: DecisionLog; claim: ApprovalClaim; facts: GateFacts }> {
  const log = new DecisionLog();
  log.decide({ about: 'something else' }, 'push');
  const claim = await log.claim(environment, head, objects());
  log.decide({ about: 'something later' }, 'push');
  return { log, claim: { ...claim, inclusion: await log.inclusion(1) }, facts: log.facts(1) };
}

const predicate = (change: JsonObject): JsonObject => ({
  id: 'x',
  outcome: 'allow',
  repository: 'shop',
  environment: 'production',
  target: 'prod',
  head,
  bundleDigest: bundleInForce,
  ...change,
});

describe('the gate (invariant 1)', () => {
  it('lets through what the log proves was allowed, in frozen copies', async () => {
    const { claim, facts } = await honest();
    const change = approve(claim, facts);
    expect(ApprovedChange.isApproved(change)).toBe(true);
    expect(change).toMatchObject({
      repository: 'shop',
      head,
      decision: 1,
      decisionId: 'decision-1',
      bundleDigest: bundleInForce,
    });
    // What its giver does afterwards does not reach what was checked (invariant 9).
    Object.assign(claim.objects[0].object.metadata, { name: 'evil' });
    expect(change.objects[0].object.metadata.name).toBe('one');
    expect(Object.isFrozen(change.objects[0].object.metadata)).toBe(true);
    expect(() => assertApproved(change)).not.toThrow();
  });

  it.each<[string, JsonObject, RegExp]>([
    ['another outcome', { outcome: 'deny' }, /is "deny", not allow/],
    ['a pending one', { outcome: 'pending' }, /is "pending"/],
    ['an error', { outcome: 'error' }, /is "error"/],
    ['advice on a request', { advice: true, request: 'refs/pull/7/head' }, /is advice on "refs\/pull\/7\/head"/],
    ['another repository', { repository: 'other' }, /another repository/],
    ['another environment', { environment: 'staging' }, /another environment/],
    ['another target', { target: 'staging' }, /is for target "staging", not "prod"/],
    ['no target', { target: null }, /is for target null/],
    ['another commit', { head: 'b'.repeat(40) }, /is about commit/],
    ['another policy', { bundleDigest: 'c'.repeat(64) }, /was made under policy/],
    ['another content', { renderedDigest: 'd'.repeat(64) }, /are not those that were judged/],
  ])('refuses a decision of %s', async (_, change, message) => {
    const { log, claim } = await honest();
    const renderedDigestOf = renderedDigest(claim.objects, redactor);
    const index = log.decide(predicate({ renderedDigest: renderedDigestOf, ...change }));
    const inclusion = await log.inclusion(index);
    expect(() => approve({ ...claim, inclusion }, log.facts(index))).toThrow(
      expect.objectContaining({ code: 'not-approved', message: expect.stringMatching(message) as string }) as Error,
    );
  });

  it('refuses an entry that is no decision', async () => {
    const { log, claim } = await honest();
    const index = log.decide(predicate({ renderedDigest: renderedDigest(claim.objects, redactor) }), 'push');
    const inclusion = await log.inclusion(index);
    expect(() => approve({ ...claim, inclusion }, log.facts(index))).toThrow(/is a push, not a decision/);
  });

  it('refuses a decision that is not the newest for its environment', async () => {
    const { claim, facts } = await honest();
    expect(() => approve(claim, { ...facts, newestAllow: 7 })).toThrow(/not the newest .* that is 7/);
    // The bundle may be the same again, and signers or the definition others.
    expect(() => approve(claim, { ...facts, governedSince: 1 })).toThrow(/before what governs now/);
    expect(() => approve({ ...claim, purpose: 'repair' }, { ...facts, governedSince: 1 })).not.toThrow();
  });

  it('keeps what was applied before under its original policy, as a repair only', async () => {
    const { claim, facts } = await honest();
    const later = { ...facts, bundleInForce: 'e'.repeat(64) };
    expect(() => approve(claim, later)).toThrow(/was made under policy/);
    expect(approve({ ...claim, purpose: 'repair' }, later).purpose).toBe('repair');
  });

  it('refuses objects with one more, one less, one changed value, or one from elsewhere', async () => {
    const { log, claim, facts } = await honest();
    const more = await log.claim(environment, head, [...objects(), configMap('kube-system', 'x', {})]);
    const changed = await log.claim(environment, head, [objects()[0], configMap('shop', 'two', { a: '2' })]);
    for (const list of [more.objects, claim.objects.slice(1), changed.objects, []]) {
      expect(() => approve({ ...claim, objects: list }, facts)).toThrow(/not those that were judged/);
    }
  });

  it('refuses a forged predicate, proof, checkpoint, or one of another log', async () => {
    const { log, claim, facts } = await honest();
    const { inclusion } = claim;
    const stranger = new DecisionLog();
    const denied = log.decide({ outcome: 'deny', repository: 'shop', environment: 'production', head });
    const forged = await log.inclusion(denied);
    for (const bad of [
      { ...inclusion, proof: inclusion.proof.slice(1) },
      { ...inclusion, checkpoint: inclusion.checkpoint.replace('log.example.org', 'log.example.com') },
      { ...inclusion, entry: { ...inclusion.entry, envelope: forged.entry.envelope } },
      { ...inclusion, treeSize: 2 },
    ]) {
      expect(() => approve({ ...claim, inclusion: bad }, facts)).toThrow(/not proven to be in the log/);
    }
    const lied = { ...forged, entry: { ...inclusion.entry, index: denied, envelope: forged.entry.envelope } };
    expect(() => approve({ ...claim, inclusion: lied }, { ...facts, newestAllow: denied })).toThrow(/is "deny"/);
    expect(stranger.size).toBe(0);
  });

  it('is the only maker: constructor, cast, prototype and proxy do not pass', async () => {
    const { claim, facts } = await honest();
    const change = approve(claim, facts);
    const make = ApprovedChange as unknown as new (...args: unknown[]) => ApprovedChange;
    expect(() => new make(Symbol('made by approve'), 'shop', environment, head, 1, 'x', '', '', 'deploy', [])).toThrow(
      /only the gate/,
    );
    for (const forged of [
      Object.create(ApprovedChange.prototype),
      Object.create(change),
      new Proxy(change, {}),
      { ...claim },
      null,
    ]) {
      expect(() => assertApproved(forged)).toThrow(/did not pass the gate/);
    }
  });
});
