import { allowedSigners, person } from '../../src/adapters/git/scratch-repository.js';
import { oneWorld } from '../support/one-world.js';
import { refused } from '../support/refused.js';
import { cart, pinned, settings, type World } from '../support/world.js';
import type { Decision } from '../support/world-queries.js';

/** Rules of the team's own: whoever is not Bo changes no governance. */
const guard = `package countersign.team.guard

# METADATA
# title: Bo answers for the rules
# custom:
#   id: team.guard
#   scope: change
deny contains result if {
	some commit in input.commits
	some file in commit.files
	governed(file.path)
	object.get(commit.signature, "principal", "nobody") != "bo@example.org"
	result := {"msg": sprintf("%s is Bo's to change", [file.path]), "commit": commit.id, "fix": "Ask Bo"}
}

governed(path) if startswith(path, "policies/")

governed("countersign.yaml")
`;

/** Nested counting: stops in principle, in some thousand years. */
const endless = `package countersign.team.endless

# METADATA
# scope: rule
# custom:
#   id: team.endless
#   scope: change
deny contains "never" if {
	some a in numbers.range(1, 1000)
	some b in numbers.range(1, 1000)
	some c in numbers.range(1, 1000)
	some d in numbers.range(1, 1000)
	a + b + c + d == 0
}
`;

const GOVERNANCE = 'governance';

describe('policy', () => {
  const here = oneWorld({ files: { 'policies/guard.rego': guard }, limits: 'limits: {evaluation: 3s}' });

  async function mend(world: World, paths: readonly string[]): Promise<void> {
    replicas += 1;
    const head = await world.pushGood(replicas, { delete: paths, files: {}, author: world.bo });
    await world.live(head);
    expect(await world.replicas()).toBe(replicas);
  }
  let replicas = 1;

  beforeEach(async () => {
    const { world } = here;
    const approved = (await world.environment())!.approved!;
    // What a test left that was not allowed must not count against the next.
    if ((await world.repository.head()) !== approved) await world.repository.rewind(approved);
  });

  it('is not chosen by the change it judges: who relaxes it and uses that at once is denied (invariant 2)', async () => {
    const { world } = here;
    const before = await world.repositoryState();
    const files = {
      'countersign.yaml': settings(world.namespace, [], 'profile: baseline, off: [images.pinned, commits.signed]'),
      'policies/guard.rego': 'package countersign.team.guard\n',
      'environments/production/cart.yaml': cart(4, 'cart:latest'),
    };
    const { violations, change } = await refused(world, { files, message: 'relax, and use it' });
    expect(violations.map(({ rule }) => rule)).toContain('images.pinned');
    expect(await world.decision(change.head, GOVERNANCE)).toMatchObject({
      outcome: 'deny',
      bundleDigest: before.bundleDigest,
      violations: expect.arrayContaining([
        expect.objectContaining({ rule: 'team.guard', commit: change.head }),
      ]) as object,
    });
    expect(await world.repositoryState()).toMatchObject({
      governanceCommit: before.governanceCommit,
      bundleDigest: before.bundleDigest,
    });
    // Nor does it help to split it in two: the second commit is judged by what was in force before the first.
    const second = await refused(world, { files: { 'environments/production/cart.yaml': cart(5, 'cart:latest') } });
    expect(second).toMatchObject({ bundleDigest: before.bundleDigest });
    await world.repository.rewind(world.genesis);
    await mend(world, []);
  });

  it('holds for signers, too: a key that a change brings does not sign that change', async () => {
    const { world } = here;
    const eve = await person('Eve', 'eve@example.org');
    const approved = (await world.environment())!.approved!;
    const { violations } = await refused(
      world,
      {
        files: { '.countersign/allowed_signers': allowedSigners([world.ann, world.bo, eve]), ...cartFile(6) },
        author: eve,
      },
      { environment: GOVERNANCE },
    );
    expect(violations.map(({ rule }) => rule)).toContain('commits.signed');
    await world.repository.rewind(approved);
    await mend(world, []);
  });

  it('that does not compile is refused with its place, and the bundle before it stays in force', async () => {
    const { world } = here;
    const { violations } = await keepsItsBundle(world, {
      'policies/broken.rego':
        'package countersign.team.broken\n\ndeny contains msg if {\n\tmsg := undefined_function(input)\n}\n',
    });
    expect(violations).toContainEqual(
      expect.objectContaining({
        rule: 'reading.rego-invalid',
        message: expect.stringContaining('undefined_function') as string,
        place: { file: 'policies/broken.rego', line: 4 },
        fix: expect.any(String) as string,
      }),
    );
    await mend(world, ['policies/broken.rego']);
  });

  it('that reaches out is refused when it is compiled (invariant 4)', async () => {
    const { world } = here;
    const { violations } = await keepsItsBundle(world, {
      'policies/call.rego':
        'package countersign.team.call\n\ndeny contains "no" if {\n\thttp.send({"method": "get", "url": "http://127.0.0.1:1"}).status_code == 200\n}\n',
    });
    expect(violations).toContainEqual(
      expect.objectContaining({
        rule: 'reading.rego-invalid',
        message: expect.stringContaining('http.send') as string,
        place: { file: 'policies/call.rego', line: 4 },
      }),
    );
    await mend(world, ['policies/call.rego']);
  });

  it('that loops for ever is stopped, and not let in: it could never judge its own repair', async () => {
    const { world } = here;
    const { violations } = await keepsItsBundle(world, { 'policies/endless.rego': endless });
    expect(violations).toContainEqual(
      expect.objectContaining({
        // Whichever limit it meets first on this machine.
        rule: expect.stringMatching(/^reading\.policy-(timeout|memory)$/) as string,
        message: expect.stringMatching(/after 3 s|128 MiB/) as string,
        fix: expect.stringMatching(/stays in force/) as string,
      }),
    );
    await mend(world, ['policies/endless.rego']);
  });

  it('that gives nonsense is not let in, either', async () => {
    const { world } = here;
    const { violations } = await keepsItsBundle(world, {
      'policies/nonsense.rego': 'package countersign.team.nonsense\n\ndeny contains 42\n',
    });
    expect(violations).toContainEqual(
      expect.objectContaining({
        rule: 'reading.policy-result',
        message: expect.stringContaining('countersign.team.nonsense.deny') as string,
        place: { file: 'policies/nonsense.rego', line: 3 },
      }),
    );
    await mend(world, ['policies/nonsense.rego']);
  });

  it('that fails only on some objects is let in, errs on those, never allows them, and can be mended (invariant 7)', async () => {
    const { world } = here;
    const nonsense = `package countersign.team.some

# METADATA
# custom:
#   id: team.some
#   scope: object
deny contains 42 if {
	some change in input.changes
	change.after.spec.replicas > 100
}
`;
    const loop = endless
      .replaceAll('team.endless', 'team.loop')
      .replace('scope: change', 'scope: object')
      .replace('if {\n', 'if {\n\tsome change in input.changes\n\tchange.after.spec.replicas == 99\n');
    const files = { 'policies/some.rego': nonsense, 'policies/loop.rego': loop };
    const rules = await world.push({ files, author: world.bo, message: 'rules with a fault' });
    expect(await world.decision(rules, GOVERNANCE)).toMatchObject({ outcome: 'allow' });
    await world.live(rules);
    expect(await world.repositoryState()).toMatchObject({ governanceCommit: rules });

    const wrong = await refused(world, { files: cartFile(101) }, { outcome: 'error' });
    expect(wrong.error).toMatchObject({
      code: 'policy-result',
      place: { file: 'policies/some.rego', line: 7 },
    });
    const slow = await refused(world, { files: cartFile(99) }, { outcome: 'error' });
    expect(slow.error).toMatchObject({
      code: expect.stringMatching(/^policy-(timeout|memory)$/) as string,
      message: expect.stringMatching(/after 3 s|128 MiB/) as string,
    });
    await mend(world, Object.keys(files));
  });

  it('names an environment of an unknown target: told where, and nothing is written', async () => {
    const { world } = here;
    const more = ['{name: shop/moon, path: environments/production, target: moon, namespace: moon}'];
    const { violations } = await refused(
      world,
      { files: { 'countersign.yaml': settings(world.namespace, more) }, author: world.bo },
      { environment: 'shop/moon' },
    );
    expect(violations).toContainEqual(
      expect.objectContaining({
        rule: 'reading.environment-not-granted',
        message: expect.stringContaining('moon') as string,
        place: expect.objectContaining({ file: 'countersign.yaml' }) as object,
        fix: expect.stringContaining('targets:') as string,
      }),
    );
  });

  it('and settings that cannot be read leave those before them in force', async () => {
    const { world } = here;
    const broken = settings(world.namespace).replace('starter:', 'starters:');
    const { violations } = await keepsItsBundle(world, { 'countersign.yaml': broken });
    expect(violations).toContainEqual(
      expect.objectContaining({
        message: expect.stringContaining('starters') as string,
        place: expect.objectContaining({ file: 'countersign.yaml', line: 6 }) as object,
      }),
    );
    replicas += 1;
    const files = { 'countersign.yaml': settings(world.namespace), ...cartFile(replicas) };
    await world.live(await world.push({ files, author: world.bo }));
    expect(await world.replicas()).toBe(replicas);
  });
});

const cartFile = (replicas: number): Record<string, string> => ({
  'environments/production/cart.yaml': cart(replicas, pinned('cart')),
});

/** A change of governance that must not be taken up: the bundle before it stays in force, and still works. */
async function keepsItsBundle(world: World, files: Record<string, string>): Promise<Decision> {
  const before = await world.repositoryState();
  const decision = await refused(world, { files, author: world.bo, message: 'new rules' }, { environment: GOVERNANCE });
  expect(await world.repositoryState()).toEqual({ ...before });
  return decision;
}
