// OPA's own conformance cases on our compiler and host. Every 20th; all of them (some minutes)
// with argument 1.
import { execFileSync } from 'node:child_process';
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

const builtins = new GoBuiltins(4096);
const engine: Engine = {
  compiler: new RegoCompiler(),
  PolicyHost,
  compare,
  toJson,
  builtin: (name) => builtinOf(name, (missing) => builtins.builtin(missing)),
};
const every = Number(process.argv[2] ?? 20);
const counts: Record<RegoOutcome, number> = { pass: 0, order: 0, exception: 0, refused: 0, fail: 0 };
for (const one of cases.filter((_, i) => i % every === 0)) {
  const { outcome, why } = await runRegoCase(engine, one);
  counts[outcome]++;
  if (outcome === 'fail' || process.argv[3] === outcome) console.log(`${outcome}  ${one.note}  ${why}`);
}
console.log(JSON.stringify({ cases: cases.length, ...counts }));
await engine.compiler.close();
