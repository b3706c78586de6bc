// OPA's own conformance cases, compiled to Wasm by our compiler and evaluated in our host: how many pass, by builtin where a case is
// about one. First with every builtin there is, then as decisions are: with those refused that would make them impossible to replay.
// docs/builtins.md names and argues each case that does not pass. Every 20th; all of them (four minutes) with argument 1. A second
// argument, an outcome, lists its cases.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { builtinOf } from '../../src/adapters/opa/builtins/registry.js';
import { RegoCompiler } from '../../src/adapters/opa/compiler.js';
import { GoBuiltins } from '../../src/adapters/opa/go-builtins.js';
import { PolicyHost } from '../../src/adapters/opa/host.js';
import { compare, toJson } from '../../src/adapters/opa/values.js';
import { runRegoCase, type Engine, type RegoCase, type RegoOutcome } from '../support/rego-conformance.js';

const module = fileURLToPath(new URL('../../src/adapters/opa/compiler/', import.meta.url));
const go = (...args: string[]) => execFileSync('go', args, { cwd: module, maxBuffer: 1 << 30, encoding: 'utf8' });
const opa = go('list', '-m', '-f', '{{.Dir}}', 'github.com/open-policy-agent/opa').trim();
const program = fileURLToPath(new URL('../support/rego-cases/main.go', import.meta.url));
const cases = go('run', program, `${opa}/v1/test/cases/testdata/v1`)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as RegoCase);
/** Builtins of OPA, longest names first, so that a call of one is not taken for a shorter one. */
const { builtins } = JSON.parse(readFileSync(`${opa}/capabilities.json`, 'utf8')) as {
  readonly builtins: readonly { readonly name: string }[];
};
const names = builtins.map(({ name }) => name).toSorted((a, b) => b.length - a.length);

type Counts = Record<RegoOutcome, number>;
const none = (): Counts => ({ pass: 0, order: 0, exception: 0, refused: 0, fail: 0 });
const every = Number(process.argv[2] ?? 20);
const chosen = cases.filter((_, i) => i % every === 0);

for (const impure of [true, false]) {
  const inGo = new GoBuiltins(4096, impure);
  const engine: Engine = {
    compiler: new RegoCompiler(),
    PolicyHost,
    compare,
    toJson,
    builtin: (name) => builtinOf(name, (missing) => inGo.builtin(missing)),
    impure,
  };
  console.log(impure ? '== every builtin switched on' : '== as decisions are');
  const counts = none();
  const byBuiltin = new Map<string, Counts>();
  for (const one of chosen) {
    const { outcome, why } = await runRegoCase(engine, one);
    counts[outcome]++;
    for (const name of builtinsOf(one)) {
      let its = byBuiltin.get(name);
      if (!its) byBuiltin.set(name, (its = none()));
      its[outcome]++;
    }
    if (['fail', 'refused', 'exception', process.argv[3]].includes(outcome))
      console.log(`${outcome}  ${one.note}  ${why}`);
  }
  if (impure) {
    for (const [name, its] of [...byBuiltin].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const rest = its.fail + its.refused + its.exception + its.order;
      console.log(
        `${name.padEnd(44)} ${String(its.pass).padStart(5)} pass${rest > 0 ? `   ${JSON.stringify(its)}` : ''}`,
      );
    }
  }
  console.log(JSON.stringify({ cases: chosen.length, ...counts }));
  await engine.compiler.close();
}

/** The builtins that a case calls by name. */
function builtinsOf(one: RegoCase): string[] {
  let text = [one.query, ...(one.modules ?? [])].join('\n');
  const found: string[] = [];
  for (const name of names) {
    const without = text.replaceAll(`${name}(`, '(');
    if (without !== text) found.push(name);
    text = without;
  }
  return found;
}
