import { readFileSync } from 'node:fs';
import { runRegoCase, type Engine, type RegoCase } from '../../../test/support/rego-conformance.js';
import { builtinOf } from './builtins/registry.js';
import { RegoCompiler } from './compiler.js';
import { GoBuiltins } from './go-builtins.js';
import { PolicyHost } from './host.js';
import { compare, toJson } from './values.js';

describe("OPA's own conformance cases", () => {
  const go = new GoBuiltins(4096);
  const builtin: Engine['builtin'] = (name) => builtinOf(name, (missing) => go.builtin(missing));
  const engine: Engine = { compiler: new RegoCompiler(), PolicyHost, compare, toJson, builtin };
  const file = new URL('../../../test/vectors/rego/opa-1.22.0-cases.ndjson', import.meta.url);
  const cases = readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as RegoCase); // prettier-ignore

  afterAll(() => engine.compiler.close());

  it('give what they say, in their order, one of each category', async () => {
    const wrong: string[] = [];
    for (const one of cases) {
      const { outcome, why } = await runRegoCase(engine, one);
      if (outcome !== 'pass' && outcome !== 'exception') wrong.push(`${outcome} ${one.note}: ${why}`);
    }
    expect(cases.length).toBeGreaterThan(130);
    expect(wrong).toEqual([]);
  }, 300_000);
});
