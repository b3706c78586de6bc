import { resolveTarget, writerOf } from './target.js';

const LONG = 'x'.repeat(32);
const given = (more: object): Parameters<typeof resolveTarget>[0] => ({
  name: 'prod',
  kind: 'kubernetes',
  kubeconfig: 'package.json', // any file that is there
  grants: [],
  ...more,
});

function resolved(more: object, env: Record<string, string> = { TOKEN: LONG }) {
  const faults: string[] = [];
  const target = resolveTarget(given(more), process.cwd(), env, (path, message) => faults.push(`${path.join('.')}: ${message}`)); // prettier-ignore
  return { target, faults };
}

const rule = { repository: 'shop', environment: 'shop/*', groups: [] };

describe('a target of service.yaml', () => {
  it('says in whose name its environments are written, the first rule that fits', () => {
    const { target, faults } = resolved({
      impersonate: [{ ...rule, serviceAccount: 'shop/deployer' }, { ...rule, environment: '**', user: 'robot', groups: ['robots'] }], // prettier-ignore
    });
    expect(faults).toEqual([]);
    const of = (repository: string, environment: string) => writerOf([target], 'prod', repository, environment);
    expect(of('shop', 'shop/production')).toEqual({ user: 'system:serviceaccount:shop:deployer', groups: [] });
    expect(of('shop', 'web/eu/production')).toEqual({ user: 'robot', groups: ['robots'] });
    expect(of('other', 'shop/production')).toBeNull();
    expect(writerOf([target], 'test', 'shop', 'shop/production')).toBeNull();
  });

  it.each([
    [{ impersonate: [rule] }, 'impersonate.0: it must hold either "serviceAccount" or "user"'],
    [{ impersonate: [{ ...rule, user: 'a', serviceAccount: 'a/b' }] }, 'impersonate.0: it must hold either "serviceAccount" or "user"'],
    [{ impersonate: [{ ...rule, serviceAccount: 'a/b', groups: ['c'] }] }, 'impersonate.0.groups: a service account has its own groups'],
    [{ audit: {} }, 'audit: it must hold "log", or one of "tokenEnv" and "tokenFile", or both'],
    [{ audit: { tokenEnv: 'TOKEN', tokenFile: 'x' } }, 'audit: it must hold "log", or one of "tokenEnv" and "tokenFile", or both'],
    [{ audit: { tokenEnv: 'NONE' } }, 'audit.tokenEnv: the environment variable NONE is not set'],
    [{ audit: { tokenEnv: 'SHORT' } }, 'audit: the token must be at least 16 printable characters; make one with openssl rand -hex 32'],
  ])('is refused as %j', (more, fault) => {
    expect(resolved(more, { SHORT: 'x' }).faults).toEqual([fault]);
  }); // prettier-ignore

  it('takes audit events by token, from a log, or both', () => {
    expect(resolved({ audit: { tokenEnv: 'TOKEN' } }).target.audit).toEqual({ token: LONG });
    expect(resolved({ audit: { tokenEnv: 'TOKEN', log: '/var/log/a' } }).target.audit).toEqual({ token: LONG, log: '/var/log/a' }); // prettier-ignore
  });
});
