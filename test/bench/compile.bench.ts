// Compiling a bundle of 50 files in a compiler that runs already (to be below 1 s), and what of its memory is left when it rests. Shown
// against one small file, so that a busy machine is seen as such.
import { setTimeout as sleep } from 'node:timers/promises';
import type * as CompilerModule from '../../src/adapters/opa/compiler.js';

const { RegoCompiler } = (await import(
  new URL('../../dist/adapters/opa/compiler.js', import.meta.url).href
)) as typeof CompilerModule;

const rule = (i: number, n: number) => `package countersign.made.rule${i}

import data.countersign.made.lib

# METADATA
# title: Rule ${i}
# custom: {scope: object, id: made.rule-${i}, severity: high, controls: ["SOC2:CC6.1"]}
deny contains result if {
	some container in lib.containers
	not container.securityContext.field${i}
	some variable in container.env
	not regex.match(\`^[A-Z_${n}]+$\`, variable.name)
	result := {"msg": sprintf("%s lacks field %d", [container.name, ${i}]), "fix": "Set it"}
}

allowed := {"A", "B", "C${n}"}

warn contains msg if {
	some capability in lib.pod.capabilities
	not capability in allowed
	msg := sprintf("capability %s", [capability])
}
`;
const lib = `package countersign.made.lib

pod := input.changes[0].after.spec.template.spec

containers := [container | some field in ["containers", "initContainers"]; some container in pod[field]]
`;
const files = (count: number, n: number) =>
  new Map([['lib.rego', lib], ...Array.from({ length: count - 1 }, (_, i) => [`rule${i}.rego`, rule(i, n)] as const)]);

let compiler = new RegoCompiler();
const megabytes = () => Math.round(process.memoryUsage().rss / 2 ** 20);
const before = megabytes();
let most = 0;
const watch = setInterval(() => (most = Math.max(most, megabytes())), 20);

async function compile(count: number, n: number): Promise<number> {
  const start = performance.now();
  await compiler.compile({ files: files(count, n), data: {} });
  return performance.now() - start;
}

console.log(`first, one rule: ${Math.round(await compile(2, 0))} ms, the start of the compiler included`);
const times: Record<number, number[]> = { 2: [], 50: [] };
for (let n = 1; n <= 12; n++) for (const count of [2, 50]) times[count].push(await compile(count, n));
for (const count of [2, 50]) {
  const sorted = times[count].toSorted((a, b) => a - b);
  const [least, median] = [sorted[0], sorted[6]].map((ms) => String(Math.round(ms)).padStart(5));
  console.log(
    `warm, ${String(count).padStart(2)} files: least ${least} ms   median ${median} ms${count === 50 ? '   to be below 1000' : ''}`,
  );
}
clearInterval(watch);
await compiler.close();
const rests: number[] = [];
for (let cycle = 0; cycle < 4; cycle++) {
  if (cycle > 0) {
    compiler = new RegoCompiler();
    await compile(50, 100 + cycle);
    await compiler.close();
  }
  await sleep(500);
  rests.push(megabytes());
}
console.log(`memory: ${before} MiB before, ${most} MiB at most, each time the compiler rests ${rests.join(', ')} MiB`);
