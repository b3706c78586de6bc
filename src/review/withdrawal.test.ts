import type { ApproverCheck } from './approval.js';
import { parseWithdrawal, whyNotTheirs, withdrawalPath, withdrawalText, withdraws } from './withdrawal.js';

const approval = 'a'.repeat(64);
const statement = { repository: 'shop', approval, time: '2026-11-21T08:00:00.000Z', comment: 'a mistake' };
const by = (person: string | undefined, key: string, reason: string | null = null): ApproverCheck => ({
  signature: { kind: 'ssh', status: 'verified', principal: `${person}@example.org`, key },
  ...(person === undefined ? {} : { person }),
  reason,
});

describe('a withdrawal', () => {
  it('is read from the bytes that it was written as; what is none is left to others, and what is none of ours is refused', () => {
    const text = withdrawalText(statement);
    expect(parseWithdrawal(text)).toEqual(statement);
    for (const other of ['no JSON', '7', '{"kind":"Approval"}']) expect(parseWithdrawal(other)).toBeNull();
    for (const wrong of [
      `${text} `,
      text.replace('"repository":"shop",', ''),
      text.replace('"comment":"a mistake"', '"comment":7'),
      text.replace('"comment"', '"note"'),
      text.replace('countersign.dev/v1', 'countersign.dev/v2'),
    ])
      expect(() => parseWithdrawal(wrong)).toThrow(expect.objectContaining({ code: 'approval-invalid' }));
  });

  it('lies in the folder of its approval', () => {
    const path = withdrawalPath({ head: 'b'.repeat(40), environment: 'shop/production' }, approval, 'SHA256:x/y+z');
    expect(path).toBe(`${'b'.repeat(40)}/shop/production/withdrawals/${approval}/x_y-z.json`);
    expect(withdraws(path, approval)).toBe(true);
    expect(withdraws(path, 'c'.repeat(64))).toBe(false);
  });

  it('is theirs who gave the approval: under that key, or by the person that it was or now is', () => {
    const given = { person: 'bo', key: 'k1', now: by('robert', 'k1') };
    for (const one of [by('bo', 'k2'), by('robert', 'k3'), by('cy', 'k1')]) expect(whyNotTheirs(given, one)).toBeNull();
    expect(whyNotTheirs(given, by('cy', 'k4'))).toMatch(/cy@example\.org did not give that approval/);
    expect(whyNotTheirs(given, by('bo', 'k1', 'the key is revoked'))).toBe('the key is revoked');
    // Nobody is not the same as nobody.
    expect(whyNotTheirs({ person: null, key: null, now: null }, by(undefined, 'k4'))).not.toBeNull();
  });
});
