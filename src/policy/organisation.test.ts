import { RegoCompiler } from '../adapters/opa/compiler.js';
import type { OrganisationRules } from '../change/environments.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { readSettings } from '../settings.js';
import type { Rule } from './decision.js';
import { NO_RULES, ORGANISATION_PREFIX, type OrganisationPolicy, overruled, withheldBy } from './organisation.js';
import { policySources, type StarterSettings } from './sources.js';

const compiler = new RegoCompiler();
afterAll(() => compiler.close());

const IMAGES = `package acme.images

deny contains "not ours" if not ours(input.spec.image)

ours(image) if startswith(image, data.acme.registry)
`;

function organisation(files: Record<string, string>, rules: Partial<OrganisationRules> = {}): OrganisationPolicy {
  const prefixed = Object.entries(files).map(
    ([path, text]) => [`${ORGANISATION_PREFIX}policies/${path}`, text] as const,
  );
  return {
    repository: 'policies',
    commit: 'c0ffee',
    files: new Map(prefixed),
    root: `${ORGANISATION_PREFIX}policies`,
    rules: { ...NO_RULES, ...rules, allow: { ...NO_RULES.allow, ...rules.allow } },
  };
}

const above = organisation({ 'images.rego': IMAGES, 'data.yaml': 'acme: {registry: registry.example.org}' });

const sourcesOf = (files: Record<string, string>, settings: StarterSettings) =>
  policySources(new Map(Object.entries(files)), { profile: 'off', ...settings }, 'policies');

const check = (files: Record<string, string>, settings: StarterSettings): Promise<readonly Rule[]> =>
  compiler.check(sourcesOf(files, settings));

async function refusal(files: Record<string, string>, settings: StarterSettings): Promise<CountersignError> {
  try {
    await check(files, settings);
  } catch (thrown) {
    return toCountersignError(thrown);
  }
  throw new Error('it was not refused');
}

const rule = (id: string, theirs: boolean) => ({ id, organisation: theirs }) as Rule;

const template = (rego: string) => `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: named}
spec:
  crd: {spec: {names: {kind: Named}}}
  targets: [{target: admission.k8s.gatekeeper.sh, rego: "package named\\nviolation[{\\"msg\\": \\"${rego}\\"}] { 1 == 1 }"}]
`;

describe('policy below an organisation’s', () => {
  it('adds rules and data of its own', async () => {
    const own = 'package main\n\ndeny contains "no" if input.kind == data.shop.kind\n';
    const files = { 'policies/own.rego': own, 'policies/data.yaml': 'shop: {kind: Pod}' };
    const rules = await check(files, { organisation: above });
    expect(rules.map(({ id, organisation: theirs = false, place }) => [id, theirs, place.file])).toEqual([
      ['acme.images.deny', true, 'organisation:policies/images.rego'],
      ['main.deny', false, 'policies/own.rego'],
    ]);
    expect(sourcesOf(files, { organisation: above }).data).toEqual({
      acme: { registry: 'registry.example.org' },
      shop: { kind: 'Pod' },
      countersign: { settings: {} },
    });
  });

  it.each([
    ['a clause more of its functions', 'package acme.images\n\nours(_) if true\n', 1],
    ['a package below one of its own', 'package acme.images.more\n\nx := 1\n', 1],
    ['the same from above, by reference', 'package acme\n\nimages.ours(_) if true\n', 3],
    ['a value in place of its package', 'package acme\n\nimages := {}\n', 3],
  ])('may not give %s', async (_what, text, line) => {
    expect(await refusal({ 'policies/own.rego': text }, { organisation: above })).toMatchObject({
      code: 'rego-invalid',
      message: expect.stringContaining("is the organisation's (organisation:policies/images.rego)") as string,
      place: { file: 'policies/own.rego', line },
    });
  });

  it('may add to a starter package only while the organisation runs none of them', async () => {
    const files = { 'policies/own.rego': 'package countersign.lib.image\n\nmine := 1\n' };
    await check(files, {});
    const floor = organisation({}, { starter: { profile: 'baseline', off: [], data: {} } });
    expect(await refusal(files, { organisation: floor })).toMatchObject({
      place: { file: 'policies/own.rego', line: 1 },
    });
  });

  it.each([
    ['the data it reads', 'shop: 1\nacme:\n  registry2: x', 2],
    ['data where its rules are', 'shop: 1\nacme: {images: {ours: true}}', 2],
    ['anything in place of all that', 'acme: 7', 1],
    ['settings past countersign.yaml', 'countersign:\n  settings: {approvals: 0}', 2],
  ])('may not give %s', async (_what, text, line) => {
    expect(await refusal({ 'policies/data.yaml': text }, { organisation: above })).toMatchObject({
      code: 'rego-invalid',
      message: expect.stringContaining("is the organisation's") as string,
      place: { file: 'policies/data.yaml', line },
    });
  });

  it('may not take the name of one of its rules, nor its files, nor packages of our own making', async () => {
    const same =
      'package main\n\n# METADATA\n# custom: {id: acme.images.deny}\ndeny contains "x" if input.kind == "Pod"\n';
    // Told at the repository's rule, wherever its name sorts.
    expect(await refusal({ 'a.rego': same }, { organisation: above })).toMatchObject({
      place: { file: 'a.rego', line: 5 },
    });
    expect(() => sourcesOf({ 'organisation:policies/x.rego': 'package x' }, {})).toThrow('reserved');
    expect((await refusal({ 'a.rego': 'package countersign__run.x\n\ny := 1\n' }, {})).message).toContain('reserved');
  });

  it('runs no fewer starter rules than the organisation wants, and more where it likes', async () => {
    const starter = { profile: 'baseline', off: ['images.registries'], data: {} } as const;
    const floor = organisation({}, { starter, allow: { ...NO_RULES.allow, off: ['images.ephemeral'] } });
    const ids = async (settings: StarterSettings) =>
      new Map((await check({}, { ...settings, organisation: floor })).map((rule) => [rule.id, rule.organisation]));
    const off = await ids({ profile: 'off', off: ['images.pinned', 'images.ephemeral'] });
    expect([off.get('images.pinned'), off.has('images.ephemeral'), off.has('images.registries')]).toEqual([
      true,
      false,
      false,
    ]);
    const strict = await ids({ profile: 'strict' });
    expect([strict.get('images.registries'), strict.get('images.tagged')]).toEqual([undefined, undefined]);
    expect([strict.has('images.registries'), strict.has('images.tagged')]).toEqual([true, true]);
  });

  it('gives only the settings that the organisation leaves to it, and is told of the others', async () => {
    const starter = { profile: 'baseline', off: [], data: { approvals: 2, registries: ['r'] } } as const;
    const floor = organisation({}, { starter, allow: { ...NO_RULES.allow, settings: ['registries'] } });
    const text = `policies:
  starter:
    off:
      - images.pinned
    data:
      approvals: 0
      registries: [mine]
      labels: [team]
      break_glass: {people: [me]}
`;
    const own = { off: ['images.pinned'], data: { approvals: 0, registries: ['mine'], labels: ['team'], break_glass: { people: ['me'] } } }; // prettier-ignore
    const sources = sourcesOf({}, { ...own, organisation: floor });
    expect(sources.data).toEqual({
      countersign: { settings: { approvals: 2, registries: ['mine'], labels: ['team'] } },
    });
    const faults = overruled(own, floor, await compiler.check(sources), readSettings(text, 'countersign.yaml'));
    expect(faults.map(({ message, place }) => [message.split(':')[0], place?.line])).toEqual([
      ['images.pinned cannot be switched off here', 4],
      ["the setting approvals is the organisation's", 6],
      ["the setting break_glass is the organisation's", 9],
    ]);
  });

  it('makes exceptions only from its own rules, and those that the organisation names', () => {
    const withheld = withheldBy(organisation({}, { allow: { ...NO_RULES.allow, exceptions: ['acme.soft'] } }));
    expect(withheld(rule('acme.hard', true))).toMatch(/acme\.hard is a rule of the organisation \(policies\)/);
    expect(withheld(rule('acme.soft', true))).toBeNull();
    expect(withheld(rule('shop.own', false))).toBeNull();
    expect(withheldBy(undefined)(rule('acme.hard', true))).toBeNull();
  });

  it('has its templates, and cannot put others in their place', () => {
    const constraint = 'apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: Named\nmetadata: {name: all}\n';
    const floor = organisation({ 'template.yaml': template('no'), 'constraint.yaml': constraint });
    const { gatekeeper } = sourcesOf({}, { organisation: floor });
    expect(gatekeeper?.rules).toEqual([expect.objectContaining({ id: 'Named/all', organisation: true })]);
    const exempt = 'apiVersion: config.gatekeeper.sh/v1alpha1\nkind: Config\nmetadata: {name: config}\nspec: {match: [{processes: ["*"], excludedNamespaces: [shop]}]}\n'; // prettier-ignore
    const own = constraint.replace('all', 'own');
    const exempted = sourcesOf({ 'policies/config.yaml': `${exempt}---\n${own}` }, { organisation: floor });
    expect(exempted.gatekeeper?.glue.match(/"shop"/g)).toHaveLength(1);
    expect(() => sourcesOf({ 'policies/mine.yaml': template('yes') }, { organisation: floor })).toThrow(
      expect.objectContaining({ place: expect.objectContaining({ file: 'policies/mine.yaml' }) as object }) as Error,
    );
    expect(() => sourcesOf({ 'policies/mine.yaml': constraint }, { organisation: floor })).toThrow('written twice');
  });
});
