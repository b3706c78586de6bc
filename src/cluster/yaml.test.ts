import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { YAMLException } from 'js-yaml';
import { loadYaml } from './yaml.js';

interface Case {
  readonly yaml: string;
  readonly json?: string;
}

const cases = readFileSync(join(import.meta.dirname, '../../test/vectors/yaml/as-go.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Case);

/** Go writes a float key with an exponent from six digits on. Nobody does. */
const known = new Set(['1e1_0: 1\n']);

const ours = (text: string): unknown => {
  try {
    const { documents, inexact } = loadYaml(text, { depth: 100, aliases: 1000 }, () => undefined);
    return inexact.length ? 'refused' : (documents[0] ?? null);
  } catch (error) {
    if (error instanceof YAMLException) return 'refused';
    throw error;
  }
};

describe('loadYaml', () => {
  it("gives what Kubernetes' own library gives, or refuses the text; never another value", () => {
    let same = 0;
    for (const { yaml, json } of cases) {
      const value = ours(yaml);
      if (json === undefined || known.has(yaml) || value === 'refused') continue;
      expect({ yaml, value }).toEqual({ yaml, value: JSON.parse(json) as unknown });
      same++;
    }
    expect(same).toBeGreaterThan(550);
  });

  it('when a merge stands after a key, lets the merge win as Go does', () => {
    expect(ours('x: &x {a: 1}\nb: {a: 2, <<: *x}\nc: {<<: *x, a: 2}')).toEqual({
      x: { a: 1 },
      b: { a: 1 },
      c: { a: 2 },
    });
  });

  it('when several mappings are merged, lets the first win', () => {
    expect(ours('x: &x {a: 1}\nz: &z {a: 2, c: 3}\nb: {<<: [*x, *z]}')).toMatchObject({ b: { a: 1, c: 3 } });
  });
});
