import type { Signature } from '../source/signature.js';
import { decisionTerms } from './decision-terms.js';

const made = (signature: Signature, ticket: Record<string, string[]> = {}, email = 'claims@example.org') => ({
  signature,
  author: { name: 'Anybody', email, time: '2026-07-01T00:00:00Z' },
  trailers: ticket,
});
const ann: Signature = { kind: 'ssh', status: 'verified', principal: 'ann@example.org', person: 'ann' };
const forged: Signature = { kind: 'ssh', status: 'unknown_key', reason: 'no such key' };
const selfApproved = (signature: Signature, approval: object): boolean =>
  decisionTerms({ commits: [made(signature)], approvals: [approval], owners: [], said: [] }).selfApproved;
const nothing = { owners: [], said: [] };

describe('what a decision is found by', () => {
  it('names people by verified keys only, each once, as the identity map calls them', () => {
    const { signers } = decisionTerms({ commits: [made(ann), made(ann), made(forged)], approvals: [], ...nothing });
    expect(signers).toEqual(['ann']);
  });

  it('sees an approval by whoever made a commit, under any of their names', () => {
    expect(selfApproved(ann, { person: 'ann', principal: 'ann@work.example' })).toBe(true);
    expect(selfApproved(ann, { person: null, principal: 'ann@example.org' })).toBe(true);
    expect(selfApproved(ann, { person: null, principal: 'bo@example.org' })).toBe(false);
    expect(selfApproved(forged, { person: null, principal: 'claims@example.org' })).toBe(true);
    expect(selfApproved(forged, { person: null, principal: null })).toBe(false);
  });

  it('collects tickets, teams and controls', () => {
    const commits = [made(ann, { ticket: ['A-2', 'A-1'] }), made(ann, { TICKET: ['A-1'] })];
    const owners = [{ owners: ['@ops', '@shop'] }, { owners: ['@ops'] }];
    const said = [{ controls: ['SOC2:CC8.1'] }, { controls: ['NIST:CM-3', 'SOC2:CC8.1'] }];
    expect(decisionTerms({ commits, approvals: [{ principal: 'bo' }], owners, said })).toEqual({
      signers: ['ann'],
      approvers: ['bo'],
      selfApproved: false,
      tickets: ['A-1', 'A-2'],
      teams: ['@ops', '@shop'],
      controls: ['NIST:CM-3', 'SOC2:CC8.1'],
    });
  });
});
