import type { Rule } from '../../policy/decision.js';
import { busiestRule, throwingRule } from './running-rule.js';

const rules = [
  { package: 'countersign.shop', name: 'deny', place: { file: 'shop.rego', line: 7 } },
] as unknown as readonly Rule[];
const DENY = 'g0.data.countersign.shop.countersign__deny__object';

function thrown(...names: readonly string[]): Error {
  const error = new Error('opa_malloc: failed');
  error.stack = ['Error: opa_malloc: failed', ...names.map((name) => `    at ${name} (wasm://wasm/opa.wasm-0008f63a:wasm-function[9]:0xc1ef)`)].join('\n'); // prettier-ignore
  return error;
}

const node = (id: number, functionName: string, hitCount: number, children: number[] = []) => ({ id, callFrame: { functionName }, hitCount, children }); // prettier-ignore

describe('the rule that was being evaluated', () => {
  it('is the innermost of a stack, and its place that of the rule it was evaluated for', () => {
    const error = thrown('opa.wasm.opa_malloc', 'opa.wasm.g1.data.lib.images.pinned', `opa.wasm.${DENY}`, 'opa.wasm.g0.data.countersign__run.object', 'opa.wasm.eval'); // prettier-ignore
    expect(throwingRule(error, rules)).toEqual({ where: ' in the rule lib.images.pinned', place: { file: 'shop.rego', line: 7 } }); // prettier-ignore
    expect(throwingRule(thrown(`opa.wasm.${DENY}`), []).where).toBe(' in the rule countersign.shop.deny');
  });

  it('is called as a template is', () => {
    const error = thrown('opa.wasm.g0.data.countersign__templates.NeedsOwner.violation', 'opa.wasm.g0.data.countersign__gatekeeper.results'); // prettier-ignore
    expect(throwingRule(error).where).toBe(' in the rule NeedsOwner.violation');
  });

  it('is nobody’s guess where the stack names none', () => {
    expect(throwingRule(thrown('opa.wasm.eval'), rules)).toEqual({ where: '', place: undefined });
    expect(throwingRule('no error', rules).where).toBe('');
  });

  it('is that in which a profile saw most of the time', () => {
    const nodes = [
      node(1, '(root)', 0, [2, 7]),
      node(2, 'eval', 0, [3]),
      node(3, DENY, 1, [4, 5]),
      node(4, 'g0.data.lib.fast', 9),
      node(5, 'g0.data.lib.slow', 2, [6]),
      node(6, 'opa_malloc', 40),
      node(7, '(idle)', 3),
    ];
    expect(busiestRule(JSON.stringify({ nodes }), rules)).toEqual({ where: ' in the rule lib.slow', place: { file: 'shop.rego', line: 7 } }); // prettier-ignore
  });
});
