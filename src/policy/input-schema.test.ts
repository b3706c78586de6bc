import { readFileSync } from 'node:fs';
import { inputPage } from '../report/input-page.js';
import { inputFaults } from '../../test/support/input-schema.js';
import { createRepository, person, ScratchRepository, temporaryFolder } from '../../test/support/git-fixture.js';
import { NativeRepository } from '../adapters/git/native.js';
import type { OpenInput } from '../adapters/opa/evaluation.js';
import { splitInput } from '../adapters/opa/split.js';
import { FileComparison } from '../change/file-comparison.js';
import { ManifestCache } from '../change/manifest-cache.js';
import { Redactor } from '../cluster/secret.js';
import { checkCommits, checkFiles, FILES } from '../review/check.js';
import { judgeHistory } from '../review/judge-history.js';
import { judgeLive } from '../review/judge-live.js';
import { readLaw } from '../review/law.js';
import { FolderTree } from '../adapters/folder/folder-tree.js';
import type { PolicyBundle, PolicySources } from './bundle.js';
import type { Evaluator } from './evaluator.js';
import { inputJsonSchema } from './input-schema.js';

const folder = temporaryFolder();
const redactor = new Redactor(Buffer.alloc(32, 7), 'k1');
const time = new Date('2026-03-02T09:05:00Z');

/** Keeps what it is given; that no rule runs is all the same here. */
class Recording implements Evaluator {
  readonly inputs: string[] = [];
  evaluate(_bundle: PolicyBundle, input: string) {
    this.inputs.push(input);
    return Promise.resolve([]);
  }
  evaluateMany(_bundle: PolicyBundle, inputs: readonly string[]) {
    this.inputs.push(...inputs);
    return Promise.resolve(inputs.map(() => []));
  }
  close() {
    return Promise.resolve();
  }
}

const partsOf = (view: ReturnType<OpenInput['change']>): string =>
  'parts' in view ? Buffer.concat(view.parts).toString() : '';

const compile = (sources: PolicySources): Promise<PolicyBundle> =>
  Promise.resolve({
    digest: 'd',
    wasm: new Uint8Array(),
    wasmDigest: 'w',
    data: sources.data,
    rules: [],
    outputs: { object: [], change: [], conftest: [] },
  });

const files = (replicas: number) => ({
  'countersign.yaml':
    'apiVersion: countersign.dev/v1\nenvironments:\n- {name: shop/production, path: production, namespace: shop, target: prod, labels: {tier: production}}\n',
  '.countersign/owners': '* @shop\n',
  '.countersign/groups.yaml': 'apiVersion: countersign.dev/v1\ngroups: {shop: [ann@example.org]}\n',
  'production/cart.yaml': `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec: {replicas: ${replicas}}\n`,
  'production/secret.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {p: "${replicas}"}\n`,
});

async function inputs(): Promise<Record<string, string[]>> {
  const scratch: ScratchRepository = await createRepository(folder.path('shop'));
  const ann = await person('Ann', 'ann@example.org');
  const first = await scratch.commit({ author: ann, sign: false, message: 'first', files: files(1) });
  const head = await scratch.commit({ author: ann, sign: false, message: 'more\n\nTicket: OPS-1\n', files: { 'production/cart.yaml': files(2)['production/cart.yaml'] }, delete: ['production/secret.yaml'] }); // prettier-ignore
  const repository = await NativeRepository.open(scratch.path);
  const evaluator = new Recording();
  const law = await readLaw(repository, head, { compile, profile: 'off' });
  const parts = { law, evaluator, redactor, cache: new ManifestCache(), repository: { name: 'shop', url: '' }, time };
  const comparer = new FileComparison(repository, new ManifestCache());
  try {
    const [environment] = law.environments;
    const pushed = { ref: 'refs/heads/main', old: first, new: head, forced: false };
    const created = await checkCommits(repository, environment, { base: null, head: first }, parts);
    const changed = await checkCommits(repository, environment, { base: first, head }, { ...parts, push: pushed });
    const promoted = await checkCommits(repository, environment, { base: first, head }, { ...parts, operation: 'promotion' }); // prettier-ignore
    const tree = FolderTree.open(scratch.path);
    const written = await checkFiles(tree, environment, null, { ...parts, law: await readLaw(tree, FILES, { compile, profile: 'off' }) }); // prettier-ignore
    evaluator.inputs.length = 0;
    const steps = judgeHistory(repository, { head }, { ...parts, ref: 'HEAD', bundle: law.bundle, comparer, checkSignature: () => ({ kind: 'none', status: 'none' }) }); // prettier-ignore
    for await (const step of steps) void step;
    const history = [...evaluator.inputs];
    evaluator.inputs.length = 0;
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'shop' } };
    await judgeLive({ objects: [{ object, source: { path: 'a.yaml', line: 1 } }], input: changed.input }, law.bundle, evaluator, { time }); // prettier-ignore
    return {
      'a first commit': [created.input],
      'a push': [changed.input],
      'a promotion': [promoted.input],
      'files of a work tree': [written.input],
      'commits of a history': history,
      'what runs': [...evaluator.inputs],
      'one change, as rules about objects see it': [0, 1].map((i) =>
        partsOf(splitInput(Buffer.from(changed.input)).change(i)),
      ),
    };
  } finally {
    await repository.close();
  }
}

describe('the JSON Schema of the policy input', () => {
  it('is the page docs/policy-input.md, as it is now', () => {
    const page = readFileSync(new URL('../../docs/policy-input.md', import.meta.url), 'utf8');
    expect(inputPage(inputJsonSchema())).toBe(page); // else: make docs
    expect(page).not.toContain('undefined');
  });

  it('accepts what is judged of every kind', async () => {
    for (const [kind, texts] of Object.entries(await inputs())) {
      expect(texts.length).toBeGreaterThan(0);
      for (const text of texts) expect([kind, inputFaults(JSON.parse(text))]).toEqual([kind, []]);
    }
  });

  it('refuses what the input does not have, and what is not as it says', () => {
    const input = { apiVersion: 'countersign.dev/v1', kind: 'ProposedChange', time: 'now', comits: [] };
    expect(inputFaults(input).join('\n')).toMatch(/"comits"/);
    expect(inputFaults(input).join('\n')).toMatch(/\/time must match format "date-time"/);
  });

  it('names a version and a draft, and says nothing that editors and OPA read otherwise', () => {
    const schema = inputJsonSchema();
    expect([schema['$schema'], schema['$id']]).toEqual([
      'http://json-schema.org/draft-07/schema#',
      'https://countersign.dev/schemas/policy-input/v1.json',
    ]);
    // OPA takes the first of a list of types for the only one.
    expect(JSON.stringify(schema)).not.toMatch(/"type":\[/);
  });
});
