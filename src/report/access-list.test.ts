import { accessListAt, grantsIn } from './access-list.js';

const at = '2026-10-01T00:00:00.000Z';
const place = { repositories: ['shop'], environments: ['*'] };
const bo = { name: 'bo-laptop', login: 'bo', role: 'approver', expires: '2026-09-01T00:00:00Z', ...place };

describe('who has what', () => {
  it('is told of tokens, groups, the machine, and who may override, as they were configured', () => {
    const grants = grantsIn(
      {
        access: {
          configured: true,
          loopback: 'read',
          tokens: [bo],
          oidc: { issuer: 'https://login.example.org', roles: [{ group: 'sre', role: 'operator', ...place }] },
        },
        repositories: [{ name: 'shop', administrators: [{ name: 'dana@example.org' }] }],
      },
      at,
    );
    expect(grants.map(({ kind, name, role, expired }) => [kind, name, role, expired])).toEqual([
      ['token', 'bo-laptop', 'approver', true],
      ['group', 'sre', 'operator', false],
      ['machine', 'loopback', 'auditor', false],
      ['override', 'dana@example.org', 'administrator', false],
    ]);
  });

  it('is told of a service that says nothing of access, and of one from before there were roles', () => {
    const bare = { access: { configured: false, loopback: 'read', tokens: [] } };
    expect(grantsIn(bare, at).map(({ kind, name }) => [kind, name])).toEqual([
      ['token', 'administrator'],
      ['machine', 'loopback'],
    ]);
    expect(grantsIn({ tokens: [bo] }, at).map(({ kind }) => kind)).toEqual(['token', 'machine']);
  });

  it('is told of no instant before the first start', async () => {
    await expect(accessListAt(at, { at: () => Promise.resolve(null) })).rejects.toMatchObject({ code: 'not-found' });
  });
});
