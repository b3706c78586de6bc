import type { KubernetesObject } from '../../cluster/object.js';
import { readDocuments } from './document.js';
import { asWritten, yamlOf } from './import.js';

const live = {
  apiVersion: 'templates.gatekeeper.sh/v1',
  kind: 'ConstraintTemplate',
  metadata: {
    name: 'any',
    uid: 'u',
    resourceVersion: '5',
    generation: 2,
    creationTimestamp: '2026-01-01T00:00:00Z',
    managedFields: [{}],
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', description: 'kept' },
    labels: { 'applyset.kubernetes.io/part-of': 'x' },
  },
  spec: { targets: [{ rego: 'package any\n\nviolation[{"msg": "no"}] { true }\n' }] },
  status: { created: true },
} as unknown as KubernetesObject;

describe('an object of a cluster', () => {
  it('is written without what the cluster and tools added', () => {
    expect(asWritten(live)).toEqual({
      apiVersion: 'templates.gatekeeper.sh/v1',
      kind: 'ConstraintTemplate',
      metadata: { name: 'any', annotations: { description: 'kept' } },
      spec: live['spec'],
    });
  });

  it('is YAML that a person can read, with its Rego as a block', () => {
    expect(yamlOf(asWritten(live), 'f')).toContain('rego: |\n        package any\n');
  });

  it.each([
    'yes',
    'on',
    '0777',
    '1e3',
    '1_000',
    '0x1f',
    '~',
    '2026-01-01',
    '=',
    '<<',
    '12:30:45',
    'n',
    ' a',
    'a: b',
    '\u0085',
  ])('reads back as it was, with %j in it', (value) => {
    const object = { apiVersion: 'v1', kind: 'X', metadata: { name: 'a' }, spec: { [value]: value } };
    expect(readDocuments('f', yamlOf(object, 'f'))[0].value).toEqual(object);
  });
});
