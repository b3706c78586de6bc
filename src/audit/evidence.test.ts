import { claimedReach } from './evidence.js';

const enveloped = (payload: string): Buffer =>
  Buffer.from(JSON.stringify({ payload: btoa(payload), payloadType: 'any', signatures: [] }));

describe('what a manifest says before it is known whose it is', () => {
  it('may name as many contents as a log has', () => {
    const withheld = Array.from({ length: 200_000 }, (_, i) => i.toString(16).padStart(64, '0'));
    const reach = [{ repositories: ['shop'], environments: ['{a,b}/*'] }];
    expect(claimedReach(enveloped(JSON.stringify({ withheld, reach })))).toEqual(reach);
  });

  it.each([
    ['millions of small values', `{"withheld":[${'0,'.repeat(2_000_000)}0]}`, 'more values than any manifest'],
    ['lists in lists', `{"withheld":${'['.repeat(200_000)}`, 'more values than any manifest'],
    [
      'a glob without end',
      JSON.stringify({ reach: [{ repositories: ['*'.repeat(5_000)], environments: [] }] }),
      'for whom it is',
    ],
  ])('is refused for %s before that takes memory', (_what, payload, why) => {
    const before = process.memoryUsage().heapUsed;
    expect(() => claimedReach(enveloped(payload))).toThrow(why);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(32 << 20);
  });

  it('is refused where the envelope is what is full of them', () => {
    expect(() => claimedReach(Buffer.from(`[${'0,'.repeat(2_000_000)}0]`))).toThrow('more values than any manifest');
  });
});
