import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { person } from '../../src/adapters/git/scratch-repository.js';
import { mayApprove } from '../support/approving.js';
import { runCli } from '../support/cli.js';
import { Person } from '../support/cluster.js';
import { ownCertificate } from '../support/certificate.js';
import { freePort } from '../support/postgres.js';
import { oneWorld } from '../support/one-world.js';
import { cart, eventually, PRODUCTION, settings } from '../support/world.js';

interface Traced {
  readonly id: string;
  readonly strength: string;
  readonly index: number;
}

describe('a change that needs approvals', () => {
  const here = oneWorld(async (plane) => {
    // Its API server has to know where to send audit events before the service is there.
    const [port, token] = [await freePort(), randomBytes(24).toString('base64url')];
    const file = (name: string): string => join(plane.directory, name);
    await writeFile(file('audit-token'), token);
    const { certificate, key } = ownCertificate(plane.directory);
    await plane.sendAudit({ url: `https://127.0.0.1:${port}/audit/prod`, token, authority: certificate });
    const people = await Promise.all([person('Ann', 'ann@example.org'), person('Bo', 'bo@example.org')]);
    const target = `audit: {tokenFile: ${file('audit-token')}}`;
    const limits = `admission: {listen: '127.0.0.1:${port}', certificate: ${certificate}, key: ${key}, identity: [countersign]}`;
    return { target, limits, files: { '.countersign/allowed_signers': people.map((one) => mayApprove(one)).join('') } };
  });

  it('is not applied while it waits, and goes live as soon as somebody else approves it (invariants 1, 5)', async () => {
    const { world } = here;
    const strict = settings(world.namespace).replace('registries:', 'approvals: 1, registries:');
    await world.push({ message: 'ask for approvals', files: { 'countersign.yaml': strict } });
    const head = await world.pushGood(3);
    await eventually('it to wait', async () => {
      const state = await world.environment();
      return state?.head === head && state.headOutcome === 'pending';
    });
    expect(await world.replicas()).toBe(1);
    const { code, stderr } = await runCli(
      [
        'approve',
        PRODUCTION,
        '--url',
        world.url,
        '--repository',
        world.repository.path,
        '--key',
        world.bo.keyFile,
        '--yes',
      ],
      { env: { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' } },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await eventually('it to be live', async () => (await world.replicas()) === 3);
    expect(await world.replicas()).toBe(3);
    await world.live(head);
    const entries = await world.entries();
    const of = (type: string): number[] =>
      entries.filter((one) => one.type === type && one.predicate['head'] === head).map(({ index }) => index);
    expect(of('approval')).toHaveLength(1);
    expect(Math.max(...of('decision'))).toBeGreaterThan(of('approval')[0]);
  });

  it('still has drift corrected to what was approved', async () => {
    const { world } = here;
    await world.push({ message: 'more', files: { 'environments/production/cart.yaml': cart(9) } });
    await world.dana.edit(world.path('deployments', 'cart'), { spec: { replicas: 7 } });
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 3);
    expect(await world.replicas()).toBe(3);
  });

  it('has drift traced to who made it, by the API server’s own audit events, in an entry that follows the first evidence', async () => {
    const { world, plane } = here;
    const as = { user: 'erin@example.org', group: 'system:masters' };
    const erin = new Person(plane, 'admin', as);
    await erin.edit(world.path('deployments', 'cart'), { spec: { replicas: 8 } }, 'robot');
    await erin.close();
    await eventually('the edit to be corrected', async () => (await world.replicas()) === 3);
    const traced = await eventually('the maker to be named', async () => {
      const { drift } = await world.query<{ drift: { nodes: Traced[] } }>(
        '{ drift(first: 1) { nodes { id strength attribution supplements index } } }',
      );
      return drift.nodes[0].strength === 'strong' ? drift.nodes[0] : null;
    });
    expect(traced).toMatchObject({
      attribution: { strength: 'hint', manager: 'robot' },
      supplements: [
        {
          strength: 'strong',
          source: 'audit',
          verb: 'patch',
          incomplete: false,
          user: { name: 'erin@example.org', impersonatedBy: 'admin', addresses: ['127.0.0.1'] },
        },
      ],
    });
    // Its row is there before a checkpoint covers its entry.
    const entries = await eventually('its entry', async () => {
      const found = (await world.entries('drift')).filter(({ predicate }) => predicate['supplements'] === traced.id);
      return found.length > 0 && found;
    });
    expect(entries).toMatchObject([{ predicate: { strength: 'strong', source: 'audit' } }]);
    expect(entries[0].index).toBeGreaterThan(traced.index);
    // Who it was is no part of the leaf (invariant 11).
    expect(JSON.stringify(entries)).not.toContain('erin');
    const { targets } = await world.query<{ targets: { audit: { lastEventAt: string | null; lastLoss: unknown } }[] }>(
      '{ targets { audit { lastEventAt lastLoss { time reason } } } }',
    );
    expect(targets[0].audit).toEqual({ lastEventAt: expect.any(String) as string, lastLoss: null });
    const wrong = await fetch(`${world.url}/audit/prod`, { method: 'POST', headers: { authorization: 'Bearer x' } });
    expect(wrong.status).toBe(401);
  });

  it('is blamed field by field on the commits, people and decisions that made it so, and on whoever did it outside of Git', async () => {
    const { world } = here;
    const blame = async (...more: string[]) => {
      const args = ['blame', 'deploy/cart', '-n', world.namespace, '--url', world.url, ...more];
      const { code, stdout, stderr } = await runCli(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout;
    };
    const { fields, drift } = JSON.parse(await blame('--output', 'json')) as {
      fields: { path: string; value: unknown; by: string; differs: boolean; commitId: string | null; decisionIndex: number | null; commit: { author: { name: string } } | null; decision: { approvals: { principal: string }[] } | null }[]; // prettier-ignore
      drift: { index: number; attribution: { manager: string }; correctedAt: string | null }[];
    };
    const field = (path: string) => fields.find((one) => one.path === path);
    const decisions = (await world.decisions()).filter(({ outcome }) => outcome === 'allow');
    const replicas = decisions.find(({ change }) => change.head === field('spec.replicas')?.commitId);
    expect(field('spec.replicas')).toMatchObject({
      value: 3,
      by: 'git',
      commit: { author: { name: 'Ann' } },
      decisionIndex: replicas?.index,
      decision: { approvals: [{ principal: 'bo@example.org' }] },
    });
    expect(replicas?.change.head).not.toBe(world.genesis);
    expect(field('spec.template.spec.containers[name=cart].image')).toMatchObject({
      by: 'git',
      commitId: world.genesis,
      commit: { author: { name: 'Bo' } },
      decision: { approvals: [] },
    });
    expect(field('spec.template.spec.dnsPolicy')).toMatchObject({ by: 'server', commitId: null });
    expect(field('metadata.annotations["countersign.dev/commit"]')).toMatchObject({ by: 'countersign' });
    expect(fields.filter(({ differs }) => differs)).toEqual([]);
    expect(drift).toMatchObject([
      { attribution: { manager: 'robot' } },
      { attribution: { manager: 'kubectl-edit' }, correctedAt: expect.any(String) as string },
    ]);
    const text = await blame('--environment', PRODUCTION);
    expect(text).toContain(`spec.replicas                `);
    expect(text).toMatch(
      /spec\.replicas +3 {3}[0-9a-f]{7} Ann <ann@example.org> \(signed by ann@example.org, SHA256:.+approved by bo@example.org {2}decision \d+ {2}applied /,
    );
    expect(text).toMatch(/everything else that Git has +[0-9a-f]{7} Bo <bo@example.org>/);
    expect(text).toMatch(
      /spec\.replicas 8 {3}erin@example\.org \(really admin\) from 127\.0\.0\.1, .+ \(audit log: strong\) → reverted .+, entry \d+/,
    );
    expect(text).toMatch(
      /spec\.replicas 7 {3}dana from 127\.0\.0\.1, .+ \(audit log: strong\) → reverted .+, entry \d+/,
    );
    const wrong = await runCli(['blame', 'service/none', '--url', world.url]);
    expect(wrong).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no environment holds service/none') as string,
    });
  });

  it('has beside it what no commit explains: told of, and left where it is', async () => {
    const { world } = here;
    const orphans = (...more: string[]) => runCli(['orphans', '-n', world.namespace, '--url', world.url, ...more]);
    expect(await orphans()).toEqual({
      code: 0,
      stdout: 'none: every object there is explained by a commit\n',
      stderr: '',
    });
    const stray = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'stray', namespace: world.namespace },
      data: { a: '1' },
    };
    await world.dana.create(`/api/v1/namespaces/${world.namespace}/configmaps`, stray);
    const { code, stdout } = await orphans('--target', 'prod');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      new RegExp(`^TARGET +OBJECT .*\nprod +ConfigMap ${world.namespace}/stray +.+Z +kubectl-create\n$`),
    );
    const json = JSON.parse((await orphans('--output', 'json')).stdout) as unknown;
    expect(json).toMatchObject([{ target: 'prod', count: 1, notRead: [] }]);
    expect(await world.dana.get(world.path('configmaps', 'stray'))).not.toBeNull();
    await world.dana.delete(world.path('configmaps', 'stray'));
    expect(await orphans('--target', 'none')).toMatchObject({ code: 2 });
  });
});
