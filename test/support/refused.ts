import type { Decision } from './world-queries.js';
import { PRODUCTION, type NewPush, type World } from './world.js';

/**
 * Pushes, and asserts what holds for every push that must not go live: the decision is in GraphQL and in the log, the last approved
 * commit stays, and the cluster is as it was, by what is there and by the API server's audit log.
 */
export async function refused(
  world: World,
  push: NewPush,
  { outcome = 'deny', environment = PRODUCTION } = {},
): Promise<Decision> {
  const [before, writes] = [await world.snapshot(), world.writes().length];
  const approved = (await world.environment(environment))?.approved ?? null;
  const head = await world.push(push);
  const decision = await world.decision(head, environment);
  expect(decision).toMatchObject({
    outcome,
    entry: { type: 'decision', predicate: { head, outcome } },
  });
  expect(await world.environment(environment)).toMatchObject({ head, headOutcome: outcome, approved });
  expect(await world.snapshot()).toEqual(before);
  expect(world.writes()).toHaveLength(writes);
  return decision;
}
