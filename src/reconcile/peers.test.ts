import type { JsonObject } from '../cluster/object.js';
import type { LiveObject } from './cluster.js';
import { peersOf } from './peers.js';

const A = 'a'.repeat(40);
const followed = { ref: 'refs/heads/countersign/approved/shop', urls: ['https://git.example.org/acme/shop.git'] };

function live(apiVersion: string, kind: string, name: string, spec: JsonObject, status: JsonObject = {}): LiveObject {
  return { apiVersion, kind, metadata: { name, namespace: 'gitops', uid: name, resourceVersion: '1', generation: 1 }, spec, status }; // prettier-ignore
}
const application = (source: JsonObject, status: JsonObject): LiveObject =>
  live('argoproj.io/v1alpha1', 'Application', 'shop', { source }, status);
const source = { repoURL: 'git@git.example.org:acme/shop', targetRevision: 'countersign/approved/shop' };
const repository = (ref: JsonObject, status: JsonObject = {}): LiveObject =>
  live('source.toolkit.fluxcd.io/v1', 'GitRepository', 'shop', { url: 'ssh://git@git.example.org/acme/shop', ref }, status); // prettier-ignore
const kustomization = (status: JsonObject, more: JsonObject = {}): LiveObject =>
  live('kustomize.toolkit.fluxcd.io/v1', 'Kustomization', 'shop', { sourceRef: { kind: 'GitRepository', name: 'shop' }, ...more }, { observedGeneration: 1, ...status }); // prettier-ignore
const ready = (status: string, message = ''): JsonObject => ({ conditions: [{ type: 'Ready', status, message }] });

const release = (chartVersion: string): LiveObject =>
  live('helm.toolkit.fluxcd.io/v2', 'HelmRelease', 'cart', { chart: { spec: { sourceRef: { kind: 'GitRepository', name: 'shop', namespace: 'gitops' } } } }, { observedGeneration: 1, history: [{ chartVersion }], ...ready('True') }); // prettier-ignore

const branch = { branch: 'countersign/approved/shop' };
const said = (version: string) => peersOf([repository(branch), release(version)], followed)[0];

describe('what Argo CD says', () => {
  it.each([
    ['synced and healthy', { sync: { status: 'Synced', revision: A }, health: { status: 'Healthy' } }, { revision: A, sync: 'synced', health: 'healthy', message: '' }], // prettier-ignore
    ['behind: what was synced last counts', { sync: { status: 'OutOfSync', revision: A }, health: { status: 'Progressing' }, operationState: { phase: 'Running', syncResult: { revision: 'b'.repeat(40) } } }, { revision: 'b'.repeat(40), sync: 'out_of_sync', health: 'progressing' }], // prettier-ignore
    ['failed to sync', { sync: { status: 'OutOfSync', revision: A }, health: { status: 'Healthy' }, operationState: { phase: 'Failed', message: 'one or more objects failed to apply', syncResult: { revision: A } } }, { revision: null, health: 'degraded', message: 'one or more objects failed to apply' }], // prettier-ignore
    ['cannot read the branch', { sync: { status: 'Unknown' }, health: { status: 'Healthy' }, conditions: [{ type: 'ComparisonError', message: 'unable to resolve' }] }, { health: 'degraded', message: 'unable to resolve' }], // prettier-ignore
    ['several sources', { sync: { status: 'Synced', revisions: [A] }, health: { status: 'Suspended' } }, { revision: A, health: 'suspended' }], // prettier-ignore
    ['nothing yet', {}, { revision: null, sync: 'unknown', health: 'unknown' }],
  ])('%s', (_, status, expected) => {
    expect(peersOf([application(source, status)], followed)).toMatchObject([{ tool: 'Argo CD', namespace: 'gitops', name: 'shop', ...expected }]); // prettier-ignore
  });

  it.each([
    ['another branch', { ...source, targetRevision: 'main' }],
    ['another repository', { ...source, repoURL: 'https://git.example.org/acme/other' }],
    ['another host', { ...source, repoURL: 'https://evil.example.org/acme/shop' }],
    ['no revision', { repoURL: source.repoURL }],
  ])('nothing of an application that follows %s', (_, other) => {
    expect(peersOf([application(other, { sync: { status: 'Synced', revision: A } })], followed)).toEqual([]);
  });
});

describe('what Flux says', () => {
  const applied = { lastAppliedRevision: `countersign/approved/shop@sha1:${A}`, lastAttemptedRevision: `countersign/approved/shop@sha1:${A}` }; // prettier-ignore

  it.each([
    ['applied and ready', kustomization({ ...applied, ...ready('True') }), { revision: A, sync: 'synced', health: 'healthy' }], // prettier-ignore
    ['ready, of an older generation', kustomization({ ...applied, ...ready('True'), observedGeneration: 0 }), { health: 'progressing' }], // prettier-ignore
    ['not ready', kustomization({ ...applied, lastAttemptedRevision: `x@sha1:${'b'.repeat(40)}`, ...ready('False', 'dry-run failed') }), { revision: A, sync: 'out_of_sync', health: 'degraded', message: 'dry-run failed' }], // prettier-ignore
    ['suspended', kustomization({ ...applied, ...ready('True') }, { suspend: true }), { health: 'suspended' }],
    ['of SHA-256', kustomization({ lastAppliedRevision: `x@sha256:${'c'.repeat(64)}`, ...ready('True') }), { revision: 'c'.repeat(64) }], // prettier-ignore
  ])('%s', (_, object, expected) => {
    expect(peersOf([repository(branch), object], followed)).toMatchObject([{ tool: 'Flux', kind: 'Kustomization', ...expected }]); // prettier-ignore
  });

  it('is what its source says where that cannot be fetched', () => {
    const away = repository({ name: followed.ref }, ready('False', 'authentication required'));
    expect(peersOf([away, kustomization({ ...applied, ...ready('True') })], followed)).toMatchObject([{ health: 'degraded', message: 'authentication required' }]); // prettier-ignore
  });

  it('of a chart in Git names the commit only where the version does', () => {
    expect(said('1.2.0')).toMatchObject({ revision: null, health: 'healthy' });
    expect(said(`1.2.0+${A.slice(0, 12)}`)).toMatchObject({ revision: A.slice(0, 12) });
  });

  it('counts only for what its own source builds', () => {
    const elsewhere = kustomization({ ...applied, ...ready('True') }, { sourceRef: { kind: 'GitRepository', name: 'shop', namespace: 'other' } }); // prettier-ignore
    expect(peersOf([repository(branch), elsewhere], followed)).toEqual([]);
    expect(peersOf([repository({ tag: 'v1' }), kustomization(applied)], followed)).toEqual([]);
  });
});
