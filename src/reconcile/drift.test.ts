import type { Json, JsonObject, KubernetesObject } from '../cluster/object.js';
import { attribute } from './attribution.js';
import type { LiveObject } from './cluster.js';
import { compare, removals } from './drift.js';
import { formatPath } from './managed-fields.js';

const desired: KubernetesObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'cart', labels: { app: 'cart' } },
  spec: {
    replicas: 2,
    template: {
      spec: {
        nodeSelector: { disk: 'ssd' },
        containers: [
          {
            name: 'cart',
            image: 'cart:1',
            args: ['-v'],
            ports: [{ containerPort: 80 }],
            resources: { limits: { cpu: 0.5 } },
          },
        ],
      },
    },
  },
};

const ownFields = {
  'f:metadata': { 'f:labels': { 'f:app': {} } },
  'f:spec': {
    'f:replicas': {},
    'f:template': {
      'f:spec': {
        'f:nodeSelector': {},
        'f:containers': {
          'k:{"name":"cart"}': {
            '.': {},
            'f:name': {},
            'f:image': {},
            'f:args': {},
            'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
            'f:resources': { 'f:limits': { 'f:cpu': {} } },
          },
        },
      },
    },
  },
};

interface Served {
  replicas?: number;
  image?: string;
  args?: Json;
  cpu?: Json;
  labels?: JsonObject;
  nodeSelector?: JsonObject;
  more?: readonly JsonObject[];
  managers?: readonly JsonObject[];
}

/** As the API server would answer: with defaults, the port's protocol, and the quantity in its canonical form. */
function live(change: Served = {}): LiveObject {
  const own = { manager: 'countersign', operation: 'Apply', time: '2026-01-01T00:00:00Z', fieldsV1: ownFields };
  const container = {
    name: 'cart',
    image: change.image ?? 'cart:1',
    args: change.args ?? ['-v'],
    ports: [{ containerPort: 80, protocol: 'TCP' }],
    resources: { limits: { cpu: change.cpu ?? '500m' } },
    imagePullPolicy: 'IfNotPresent',
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'cart',
      uid: 'u',
      resourceVersion: '7',
      generation: 3,
      labels: change.labels ?? { app: 'cart' },
      managedFields: [own, ...(change.managers ?? [])],
    },
    spec: {
      replicas: change.replicas ?? 2,
      revisionHistoryLimit: 10,
      template: {
        spec: {
          nodeSelector: change.nodeSelector ?? { disk: 'ssd' },
          containers: [...(change.more ?? []), container],
          restartPolicy: 'Always',
        },
      },
    },
    status: { replicas: 2 },
  };
}

const by = (manager: string, fieldsV1: JsonObject, rest: JsonObject = {}): JsonObject => ({
  manager,
  operation: 'Update',
  time: '2026-01-02T00:00:00Z',
  fieldsV1,
  ...rest,
});

const found = (object: LiveObject, expected: LiveObject | undefined = live()): string[] =>
  compare(desired, object, expected).differences.map(({ type, path }) => `${type} ${formatPath(path)}`);

const injected = (image: string) =>
  live({
    more: [{ name: 'sidecar', image }],
    managers: [
      by('countersign', {
        'f:spec': {
          'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":"sidecar"}': { '.': {}, 'f:name': {} } } } },
        },
      }),
    ],
  });

const role = (rest: JsonObject): KubernetesObject => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'r' },
  ...rest,
});

const served = (a: string): LiveObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 's', uid: 'u', resourceVersion: '1' },
  data: { a },
});

describe('drift', () => {
  it('is not what the server fills in or writes in its own way', () => {
    expect(found(live())).toEqual([]);
    // Without the server's own answer, "0.5" and "500m" might differ: it has to be asked.
    const blind = compare(desired, live());
    expect(blind.uncertain).toBe(true);
    expect(blind.differences.map(({ path }) => formatPath(path))).toEqual([
      'spec.template.spec.containers[name=cart].resources.limits.cpu',
    ]);
  });

  it('is a value that is another, in list items found by their keys wherever they stand', () => {
    const object = live({ replicas: 5, image: 'cart:2', more: [{ name: 'first', image: 'x' }] });
    expect(found(object)).toEqual(['changed spec.replicas', 'changed spec.template.spec.containers[name=cart].image']);
    const { differences } = compare(desired, object, live());
    expect(differences[0]).toMatchObject({ desired: 2, live: 5 });
  });

  it('is an atomic list in another order, and a member that was taken away', () => {
    expect(found(live({ args: ['-v', '-x'] }))).toEqual(['changed spec.template.spec.containers[name=cart].args']);
    expect(found(live({ labels: {} }))).toEqual(['removed metadata.labels.app']);
  });

  it('is a field that somebody put beside ours, whatever they call themselves', () => {
    for (const name of ['kubectl-edit', 'kube-controller-manager', 'countersign']) {
      const object = live({
        labels: { app: 'cart', extra: 'x' },
        more: [{ name: 'miner', image: 'm' }],
        managers: [
          by(name, {
            'f:metadata': { 'f:labels': { 'f:extra': {} } },
            'f:spec': {
              'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":"miner"}': { '.': {}, 'f:name': {} } } } },
            },
          }),
        ],
      });
      const { differences } = compare(desired, object, live());
      expect(differences.map(({ type, path }) => `${type} ${formatPath(path)}`)).toEqual([
        'added metadata.labels.extra',
        'added spec.template.spec.containers[name=miner]',
      ]);
      expect(removals(object, differences)).toEqual([
        { op: 'remove', path: '/spec/template/spec/containers/0' },
        { op: 'remove', path: '/metadata/labels/extra' },
      ]);
    }
  });

  it('is a member that somebody put into a map that is owned as one', () => {
    const object = live({
      nodeSelector: { disk: 'ssd', zone: 'a' },
      managers: [by('dana', { 'f:spec': { 'f:template': { 'f:spec': { 'f:nodeSelector': {} } } } })],
    });
    expect(found(object)).toEqual(['added spec.template.spec.nodeSelector.zone']);
    expect(compare(desired, object).uncertain).toBe(true);
  });

  it('is not a status, a generation, a finalizer, or what controllers keep in annotations', () => {
    const managers = [
      by('kube-controller-manager', { 'f:status': { 'f:replicas': {} } }, { subresource: 'status' }),
      by('someone', {
        'f:metadata': {
          'f:finalizers': { 'v:"x"': {} },
          'f:annotations': { 'f:deployment.kubernetes.io/revision': {} },
        },
      }),
    ];
    const object = live({ managers });
    const metadata = {
      ...object.metadata,
      finalizers: ['x'],
      annotations: { 'deployment.kubernetes.io/revision': '1' },
    };
    expect(found({ ...object, metadata })).toEqual([]);
  });

  it('is not what an admission webhook put into our own request', () => {
    expect(found(injected('s:1'), injected('s:1'))).toEqual([]);
    expect(found(injected('evil'), injected('s:1'))).toEqual(['added spec.template.spec.containers[name=sidecar]']);
  });

  it('is the rules of a role, unless a controller gathers them', () => {
    const wide = {
      metadata: { name: 'r', uid: 'u', resourceVersion: '1', managedFields: [by('x', { 'f:rules': {} })] },
      rules: [{ verbs: ['*'] }],
    };
    const seen = (rest: JsonObject) =>
      compare(role(rest), { ...role(rest), ...wide }, { ...role(rest), ...wide, rules: rest['rules'] ?? [] })
        .differences.length;
    expect(seen({ rules: [{ verbs: ['get'] }] })).toBe(1);
    expect(seen({})).toBe(1);
    expect(seen({ rules: [], aggregationRule: { clusterRoleSelectors: [] } })).toBe(0);
  });

  it('compares what is written as stringData with the data it becomes', () => {
    const secret: KubernetesObject = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's' },
      stringData: { a: 'x' },
    };
    expect(compare(secret, served('eA==')).differences).toEqual([]);
    expect(compare(secret, served('eQ==')).differences).toHaveLength(1);
  });

  it('survives managed fields of any shape', () => {
    for (const managedFields of [
      null,
      7,
      [null, 7, { fieldsV1: 'x' }, { fieldsV1: { 'k:{broken': {}, 'z:?': {} } }],
    ] as Json[]) {
      const object = live();
      expect(() => compare(desired, { ...object, metadata: { ...object.metadata, managedFields } })).not.toThrow();
    }
  });
});

describe('attribution', () => {
  const replicas = by('kubectl-edit', { 'f:spec': { 'f:replicas': {} } });

  it('is the newest other manager that owns a field of the drift', () => {
    const older = by('old-tool', { 'f:spec': { 'f:replicas': {} } }, { time: '2026-01-01T12:00:00Z' });
    const unrelated = by(
      'newest',
      { 'f:metadata': { 'f:annotations': { 'f:x': {} } } },
      { time: '2026-01-03T00:00:00Z' },
    );
    const object = live({ replicas: 5, managers: [older, replicas, unrelated] });
    expect(attribute(object, compare(desired, object, live()).differences)).toEqual({
      strength: 'hint',
      source: 'managedFields',
      manager: 'kubectl-edit',
      operation: 'Update',
      subresource: null,
      time: '2026-01-02T00:00:00Z',
    });
  });

  it('names the subresource', () => {
    const object = live({ replicas: 5, managers: [{ ...replicas, manager: 'kubectl', subresource: 'scale' }] });
    expect(attribute(object, compare(desired, object, live()).differences)).toMatchObject({
      manager: 'kubectl',
      subresource: 'scale',
    });
  });

  it('says that there is none where an object was deleted', () => {
    expect(attribute(null, [])).toMatchObject({ strength: 'none', manager: null });
  });
});
