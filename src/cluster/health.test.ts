import { readFileSync } from 'node:fs';
import { healthOf, worst } from './health.js';
import type { JsonObject } from './object.js';

const of = (apiVersion: string, kind: string, rest: JsonObject = {}): JsonObject => ({
  apiVersion,
  kind,
  metadata: { name: 'x', generation: 2 },
  ...rest,
});

const deployment = (status: JsonObject, spec: JsonObject = { replicas: 2 }): JsonObject =>
  of('apps/v1', 'Deployment', { spec, status: { observedGeneration: 2, ...status } });

const all = { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 };

describe('health', () => {
  it('is missing when the object is not there', () => expect(healthOf(null).status).toBe('missing'));

  it('is progressing when the object is being deleted, whatever else it says', () => {
    const live = { ...deployment(all), metadata: { name: 'x', deletionTimestamp: '2026-01-01T00:00:00Z' } };
    expect(healthOf(live)).toEqual({ status: 'progressing', reason: 'it is being deleted' });
  });

  it('is progressing when the controller has not seen the newest generation', () =>
    expect(healthOf(deployment({ ...all, observedGeneration: 1 })).status).toBe('progressing'));

  it.each<[string, JsonObject, string, string]>([
    ['Deployment with all pods', deployment(all), 'healthy', ''],
    ['Deployment in the middle of a rollout', deployment({ ...all, updatedReplicas: 1 }), 'progressing', '1 of 2 pods'],
    ['Deployment with old pods left', deployment({ ...all, replicas: 3 }), 'progressing', '1 old pods'],
    [
      'Deployment that waits for pods',
      deployment({ ...all, availableReplicas: 0 }),
      'progressing',
      '0 of 2 pods are available',
    ],
    ['paused Deployment', deployment(all, { replicas: 2, paused: true }), 'suspended', 'paused'],
    [
      'Deployment out of time',
      deployment({
        conditions: [{ type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: 'too slow' }],
      }),
      'degraded',
      'too slow',
    ],
    ['Deployment nobody has looked at', of('apps/v1', 'Deployment', { spec: {} }), 'progressing', 'not seen'],
    ['Deployment of no replicas', deployment({}, { replicas: 0 }), 'healthy', ''],
    [
      'StatefulSet above its partition',
      of('apps/v1', 'StatefulSet', {
        spec: { replicas: 3, updateStrategy: { rollingUpdate: { partition: 2 } } },
        status: { observedGeneration: 2, replicas: 3, readyReplicas: 3, updatedReplicas: 1 },
      }),
      'healthy',
      '',
    ],
    [
      'StatefulSet between revisions',
      of('apps/v1', 'StatefulSet', {
        spec: { replicas: 1 },
        status: {
          observedGeneration: 2,
          replicas: 1,
          readyReplicas: 1,
          currentReplicas: 1,
          currentRevision: 'a',
          updateRevision: 'b',
        },
      }),
      'progressing',
      'old revision',
    ],
    [
      'DaemonSet half done',
      of('apps/v1', 'DaemonSet', {
        status: { observedGeneration: 2, desiredNumberScheduled: 2, currentNumberScheduled: 1 },
      }),
      'progressing',
      '1 of 2',
    ],
    [
      'failed Job',
      of('batch/v1', 'Job', { status: { conditions: [{ type: 'Failed', status: 'True' }] } }),
      'degraded',
      'failed',
    ],
    ['running Job', of('batch/v1', 'Job', { status: { startTime: 'now' } }), 'progressing', 'running'],
    ['suspended CronJob', of('batch/v1', 'CronJob', { spec: { suspend: true } }), 'suspended', 'suspended'],
    [
      'Pod that crashes',
      of('v1', 'Pod', {
        status: {
          phase: 'Running',
          containerStatuses: [{ name: 'a', state: { waiting: { reason: 'CrashLoopBackOff' } } }],
        },
      }),
      'degraded',
      'container a',
    ],
    [
      'Pod without a node',
      of('v1', 'Pod', {
        status: {
          phase: 'Pending',
          conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' }],
        },
      }),
      'degraded',
      '0/3',
    ],
    [
      'LoadBalancer with an address',
      of('v1', 'Service', {
        spec: { type: 'LoadBalancer' },
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
      }),
      'healthy',
      '',
    ],
    ['unbound claim', of('v1', 'PersistentVolumeClaim', { status: { phase: 'Pending' } }), 'progressing', 'no volume'],
    [
      'definition not yet served',
      of('apiextensions.k8s.io/v1', 'CustomResourceDefinition'),
      'progressing',
      'not established',
    ],
    ['ConfigMap', of('v1', 'ConfigMap'), 'healthy', ''],
    [
      'custom resource that is not ready',
      of('x.example/v1', 'Thing', { status: { conditions: [{ type: 'Ready', status: 'False', message: 'waits' }] } }),
      'progressing',
      'waits',
    ],
    [
      'custom resource that does not know',
      of('x.example/v1', 'Thing', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }),
      'unknown',
      'does not know',
    ],
    [
      'stalled custom resource',
      of('x.example/v1', 'Thing', {
        status: { conditions: [{ type: 'Stalled', status: 'True', message: 'gave up' }] },
      }),
      'degraded',
      'gave up',
    ],
    ['object of no sensible shape', { kind: 7, status: 'fine', spec: [] }, 'healthy', ''],
  ])('of a %s', (_, live, status, reason) => {
    const health = healthOf(live);
    expect(health.status).toBe(status);
    expect(health.reason).toContain(reason);
  });

  it('of an environment is that of its worst object', () => {
    expect(worst([]).status).toBe('healthy');
    expect(worst([healthOf(of('v1', 'ConfigMap')), healthOf(null), healthOf(deployment({}))]).status).toBe('missing');
  });
});

interface Example {
  readonly name: string;
  /** null: its owner has no opinion of that kind. */
  readonly expected: string | null;
  /** Why we say something else, and what. */
  readonly differs?: { readonly ours: string; readonly why: string };
  readonly object: JsonObject;
}

const examples = (file: string): Example[] =>
  JSON.parse(readFileSync(new URL(`../../test/vectors/health/${file}.json`, import.meta.url), 'utf8')) as Example[];

describe.each([
  ['kstatus', { Current: 'healthy', InProgress: 'progressing', Failed: 'degraded', Terminating: 'progressing' }],
  ['gitops-engine', { Healthy: 'healthy', Progressing: 'progressing', Degraded: 'degraded', Suspended: 'suspended' }],
] as const)("health of %s's own examples", (file, words) => {
  const all = examples(file).filter(({ expected }) => expected !== null);
  // One of them is about a pod that was made a moment ago.
  const now = Date.parse('2026-11-21T00:00:05Z');

  it.each(all.map((example) => [example.name, example] as const))('%s', (_, { expected, differs, object }) => {
    const theirs = (words as Record<string, string>)[expected!];
    const { status } = healthOf(object, now);
    expect(status).toBe(differs?.ours ?? theirs);
    expect(differs?.why).not.toBe('');
    expect(differs?.ours).not.toBe(theirs);
  });
});
