import type { Decision, Violation } from '../policy/decision.js';
import { describeVerdict } from './forge.js';

const violation = (more: Partial<Violation>): Violation =>
  ({
    rule: 'images.pinned',
    kind: 'deny',
    message: 'image "a:latest" is not pinned by digest',
    place: { file: 'policies/images.rego', line: 14 },
    controls: [],
    source: { path: 'apps/cart.yaml', line: 31 },
    ...more,
  }) as Violation;
const decision = (more: Partial<Decision>): Decision =>
  ({ outcome: 'deny', violations: [], warnings: [], required: [], ...more }) as Decision;

describe('a verdict in one line', () => {
  it('says rule, place and why, and how much more there is', () => {
    expect(describeVerdict(decision({ violations: [violation({}), violation({})] }))).toBe(
      'denied: images.pinned at apps/cart.yaml:31: image "a:latest" is not pinned by digest (and 1 more)',
    );
    const required = [violation({ kind: 'require', rule: 'approvals', message: '1 approval', commit: 'abc' })];
    expect(describeVerdict(decision({ outcome: 'pending', required }))).toBe('waiting: approvals: 1 approval');
    expect(describeVerdict(decision({ outcome: 'allow' }))).toBe('allowed');
    expect(describeVerdict(decision({ outcome: 'allow', warnings: [violation({})] }))).toBe('allowed, 1 warning');
    expect(
      describeVerdict(decision({ outcome: 'error', error: { code: 'policy-timeout', message: 'too slow' } })),
    ).toBe('could not be judged: too slow');
  });

  it('stays within what a forge takes, and on its line, whatever an author wrote', () => {
    const long = describeVerdict(decision({ violations: [violation({ message: 'x'.repeat(500) }), violation({})] }));
    expect(long).toHaveLength(140);
    expect(long).toMatch(/… \(and 1 more\)$/);
    const treacherous = describeVerdict(decision({ violations: [violation({ message: 'a\u202eb\u0007c\nallowed' })] }));
    expect(treacherous).toBe('denied: images.pinned at apps/cart.yaml:31: a\ufffdb\ufffdc');
  });
});
