import { conftestCheck, conftestExitCode, ruleSuffix, totalsOf } from './conftest.js';

const namespace = { name: 'main', clauses: 4, rules: ['deny', 'warn_x'] };

describe('Conftest', () => {
  it('counts clauses that said nothing as successes, and lets an exception silence its rule', () => {
    const check = conftestCheck('a.yaml', namespace, [
      { rule: 'deny', results: [{ msg: 'no' }], exceptions: 0 },
      { rule: 'warn_x', results: [{ msg: 'hm' }], exceptions: 1 },
    ], []); // prettier-ignore
    expect(check).toMatchObject({ successes: 2, failures: [{ msg: 'no' }], warnings: [] });
    expect(check.exceptions).toEqual([{ msg: 'data.main.exception[_][_] == "x"' }]);
    expect(totalsOf([check, check])).toEqual({ successes: 4, failures: 2, warnings: 0, exceptions: 2 });
  });

  it.each([
    [0, 0, false, 0],
    [1, 0, false, 0],
    [0, 1, false, 1],
    [1, 0, true, 1],
    [1, 1, true, 2],
  ])('exits for %d warnings and %d failures (fail on warn: %s) with %d', (warnings, failures, failOnWarn, code) => {
    expect(conftestExitCode({ successes: 0, exceptions: 0, warnings, failures }, failOnWarn)).toBe(code);
  });

  it('names rules in exceptions by what follows their kind', () => {
    expect(['deny', 'deny_a_b', 'violation_deny_x', 'warn'].map(ruleSuffix)).toEqual(['', 'a_b', 'x', '']);
  });
});
