import type { ObjectIdentity } from '../cluster/object.js';
import { type AdmissionSettings, type ApprovedState, judgeWrite, type WriteRequest } from './admission.js';
import type { LiveObject } from './cluster.js';

const settings: AdmissionSettings = {
  identity: ['system:serviceaccount:countersign:countersign'],
  namespace: 'countersign',
  controllers: ['system:kube-controller-manager', 'system:serviceaccount:kube-system:*'],
  bypass: ['dana'],
};
const id = (namespace = 'shop', kind = 'ConfigMap', name = 'a'): ObjectIdentity => ({
  group: '',
  version: 'v1',
  kind,
  namespace,
  name,
});
const live = (data: object, metadata: object = {}): LiveObject =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'shop', uid: 'u', resourceVersion: '1', ...metadata }, data }) as unknown as LiveObject; // prettier-ignore
const sent = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'shop' }, data: { a: '1' } };

function judged(
  request: Partial<WriteRequest>,
  state: ApprovedState | undefined = { sent, expected: undefined },
): boolean | string {
  const write: WriteRequest = {
    uid: '1',
    operation: 'UPDATE',
    identity: id(),
    subResource: '',
    user: 'eve',
    groups: [],
    dryRun: false,
    object: live({ a: '2' }),
    oldObject: live({ a: '1' }),
    ...request,
  };
  const view = { complete: async () => true, approvedState: () => state, scaled: () => undefined };
  const verdict = judgeWrite(write, view, settings);
  return verdict.allowed ? ('bypass' in verdict ? verdict.bypass.reason : true) : false;
}

const why = { annotations: { 'countersign.dev/bypass': 'INC-1' } };

it.each<[string, boolean | string, Parameters<typeof judged>]>([
  ['what makes a governed object differ', false, [{}]],
  ['what leaves it as approved', true, [{ object: live({ a: '1' }) }]],
  ['what was different before, and is no more so', true, [{ object: live({ a: '2' }), oldObject: live({ a: '2' }) }]],
  ['what is different in another way than before', false, [{ object: live({ a: '3' }), oldObject: live({ a: '2' }) }]],
  ['what brings it back', true, [{ object: live({ a: '1' }), oldObject: live({ a: '2' }) }]],
  ['deleting it', false, [{ operation: 'DELETE', object: null }]],
  ['deleting what is approved to be gone', true, [{ operation: 'DELETE', object: null }, null]],
  ['creating what is approved to be gone', false, [{ operation: 'CREATE', oldObject: null }, null]],
  ['creating it as approved', true, [{ operation: 'CREATE', object: live({ a: '1' }), oldObject: null }]],
  ['creating it otherwise', false, [{ operation: 'CREATE', oldObject: null }]],
  ['taking finalizers off what is being deleted', true, [{ oldObject: live({ a: '1' }, { deletionTimestamp: 'x' }) }]],
  ['its status', true, [{ subResource: 'status' }]],
  ['our own writes', true, [{ user: 'system:serviceaccount:countersign:countersign' }]],
  ['a user with nearly our name', false, [{ user: 'system:serviceaccount:countersign:countersign2' }]],
  ['controllers', true, [{ user: 'system:serviceaccount:kube-system:namespace-controller' }]],
  ['a user with a beginning of a controller’s name', false, [{ user: 'system:kube-controller-managers' }]],
  ['our own namespace', true, [{ identity: id('countersign') }]],
  ['the object of our own namespace', true, [{ identity: id('', 'Namespace', 'countersign') }]],
  ['a bypass', 'INC-1', [{ user: 'dana', object: live({ a: '2' }, why) }]],
  ['a bypass by anybody else', false, [{ object: live({ a: '2' }, why) }]],
  [
    'a bypass without a reason',
    false,
    [{ user: 'dana', object: live({ a: '2' }, { annotations: { 'countersign.dev/bypass': ' ' } }) }],
  ],
  [
    'a bypass of a delete by what the object said before',
    'INC-1',
    [{ user: 'dana', operation: 'DELETE', object: null, oldObject: live({ a: '1' }, why) }],
  ],
])('%s: %s', (_what, expected, args) => {
  expect(judged(...args)).toBe(expected);
});

it('lets pass what is not governed', () => {
  const view = { complete: async () => true, approvedState: () => undefined, scaled: () => undefined };
  const write: WriteRequest = { uid: '1', operation: 'DELETE', identity: id(), subResource: '', user: 'eve', groups: [], dryRun: false, object: null, oldObject: live({}) }; // prettier-ignore
  expect(judgeWrite(write, view, settings)).toEqual({ allowed: true });
});
