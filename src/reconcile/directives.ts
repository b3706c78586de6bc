import { CountersignError } from '../errors.js';
import { identityKey, isJsonObject, type Json, type JsonObject, type ManifestObject } from '../cluster/object.js';

/** When a hook runs. `Skip` is never applied at all. */
export type HookPhase = 'PreSync' | 'Sync' | 'PostSync' | 'SyncFail' | 'Skip';
export type HookDeletePolicy = 'HookSucceeded' | 'HookFailed' | 'BeforeHookCreation';

export interface Hook {
  readonly phases: readonly HookPhase[];
  readonly deletion: readonly HookDeletePolicy[];
}

/** What becomes of an object that Git no longer has. */
export interface Removal {
  /** `confirm`: only by a change that somebody approved. */
  readonly prune: 'yes' | 'no' | 'confirm';
  /** After everything else is live and healthy. */
  readonly last: boolean;
  /** Prunes go through the waves in reverse. */
  readonly wave: number;
}

/**
 * What an approved manifest asks of its own reconciliation, in the annotations of Argo CD, Flux and cli-utils. Only manifests
 * that the gate let through are asked: an annotation that somebody adds in the cluster switches nothing off (DESIGN 9).
 */
export interface Directives {
  readonly wave: number;
  readonly hook: Hook | null;
  readonly removal: Removal;
  /** An update that the API server refuses because a field cannot change may delete the object and make it again. */
  readonly recreate: boolean;
  /**
   * `override`: exactly as written, others' additions are taken away. `merge`: others may put fields beside ours.
   * `ifNotPresent`: made once and then left. `ignore`: not touched at all.
   */
  readonly apply: 'override' | 'merge' | 'ifNotPresent' | 'ignore';
  /** Identity keys of objects of the same environment that must be healthy first. */
  readonly dependsOn: readonly string[];
  /** Its kind may be defined by somebody else meanwhile: it is not asked about beforehand. */
  readonly mayBeUnknown: boolean;
}

const ARGO = 'argocd.argoproj.io';
const FLUX = 'kustomize.toolkit.fluxcd.io';
const DEPENDS_ON = 'config.kubernetes.io/depends-on';

const phases: readonly HookPhase[] = ['PreSync', 'Sync', 'PostSync', 'SyncFail', 'Skip'];
const deletions: readonly HookDeletePolicy[] = ['HookSucceeded', 'HookFailed', 'BeforeHookCreation'];
/** True already of everything that we apply, or about something that a single object has no part in. */
const granted = new Set([
  'Prune=true',
  'Delete=true',
  'Delete=false', // an environment that is removed leaves its objects
  'Delete=confirm',
  'Replace=true', // what others added is taken away by every update of ours
  'Replace=false',
  'Force=false',
  'Validate=true',
  'Validate=false', // the API server drops fields that it does not know, as it does for kubectl
  'ServerSideApply=true',
  'ApplyOutOfSyncOnly=true', // never anything else
  'RespectIgnoreDifferences=true',
]);

/** Pure. Throws `object-invalid`, naming the annotation, for what is not understood: it is never passed over. */
export function directivesOf(manifest: ManifestObject): Directives {
  const annotations = annotationsOf(manifest.object);
  const said = (name: string): string | undefined => annotations.get(name);
  const refuse = (name: string, why: string, remedy: string): CountersignError =>
    new CountersignError('object-invalid', `annotation ${name}: ${why}`, {
      place: { file: manifest.source.path, line: manifest.source.line },
      remedy,
    });
  const oneOf = (name: string, choices: readonly string[]): string | undefined => {
    const value = said(name)?.toLowerCase();
    if (value === undefined || choices.includes(value)) return value;
    throw refuse(name, `"${said(name)}" is not understood`, `Use ${choices.join(' or ')}`);
  };

  const options = listed(said(`${ARGO}/sync-options`));
  for (const option of options) {
    if (granted.has(option) || honoured.has(option)) continue;
    throw refuse(
      `${ARGO}/sync-options`,
      `"${option}" is not supported`,
      'Remove it; see docs/reconciling.md for what is',
    );
  }
  const fluxPrune = oneOf(`${FLUX}/prune`, ['enabled', 'disabled']);
  const fluxReconcile = oneOf(`${FLUX}/reconcile`, ['enabled', 'disabled']);
  const ssa = oneOf(`${FLUX}/ssa`, ['override', 'merge', 'ifnotpresent', 'ignore']);
  const force = oneOf(`${FLUX}/force`, ['enabled', 'disabled']);
  const onRemove = oneOf('cli-utils.sigs.k8s.io/on-remove', ['keep']);
  const deletion = oneOf('client.lifecycle.config.k8s.io/deletion', ['detach']);
  const mutation = oneOf('client.lifecycle.config.k8s.io/mutation', ['ignore']);
  const wave = waveFrom(said, refuse);

  const kept =
    fluxPrune === 'disabled' ||
    fluxReconcile === 'disabled' ||
    onRemove === 'keep' ||
    deletion === 'detach' ||
    options.includes('Prune=false');
  const ignored = fluxReconcile === 'disabled' || ssa === 'ignore';
  const once = ssa === 'ifnotpresent' || mutation === 'ignore';
  return {
    wave,
    hook: hookFrom(said, refuse),
    removal: {
      prune: kept ? 'no' : options.includes('Prune=confirm') ? 'confirm' : 'yes',
      last: options.includes('PruneLast=true'),
      wave,
    },
    recreate: force === 'enabled' || options.includes('Force=true'),
    apply: ignored ? 'ignore' : once ? 'ifNotPresent' : ssa === 'merge' ? 'merge' : 'override',
    dependsOn: listed(said(DEPENDS_ON)).map((reference) => dependencyFrom(reference, refuse)),
    mayBeUnknown: options.includes('SkipDryRunOnMissingResource=true'),
  };
}

const honoured = new Set([
  'Prune=false',
  'Prune=confirm',
  'PruneLast=true',
  'Force=true',
  'SkipDryRunOnMissingResource=true',
]);

type Refuse = (name: string, why: string, remedy: string) => CountersignError;

function waveFrom(said: (name: string) => string | undefined, refuse: Refuse): number {
  const own = `${ARGO}/sync-wave`;
  const name = said(own) === undefined && said('helm.sh/hook') !== undefined ? 'helm.sh/hook-weight' : own;
  const text = said(name);
  if (text === undefined) return 0;
  if (!/^[+-]?\d{1,9}$/.test(text)) {
    throw refuse(name, `"${text}" is no whole number`, 'Write a whole number, as "-1" or "5"');
  }
  return Number(text);
}

function hookFrom(said: (name: string) => string | undefined, refuse: Refuse): Hook | null {
  const given = listed(said(`${ARGO}/hook`));
  if (given.length === 0) return helmHook(said);
  const policies = listed(said(`${ARGO}/hook-delete-policy`));
  for (const phase of given) {
    if (phases.some((one) => one === phase) || deletionPhases.has(phase)) continue;
    throw refuse(`${ARGO}/hook`, `"${phase}" is not supported`, `Use one of ${phases.join(', ')}`);
  }
  for (const policy of policies) {
    if (deletions.some((one) => one === policy)) continue;
    throw refuse(`${ARGO}/hook-delete-policy`, `"${policy}" is not supported`, `Use one of ${deletions.join(', ')}`);
  }
  return hookOf(given.filter((phase) => !deletionPhases.has(phase)) as HookPhase[], policies as HookDeletePolicy[]);
}

/** They run when an application is deleted. An environment never is: when it is removed its objects are left alone. */
const deletionPhases = new Set(['PreDelete', 'PostDelete']);

function hookOf(given: readonly HookPhase[], deletion: readonly HookDeletePolicy[]): Hook {
  return {
    phases: given.length === 0 ? ['Skip'] : given,
    deletion: deletion.length === 0 ? ['BeforeHookCreation'] : deletion,
  };
}

/** Helm's hooks in a rendered chart, as Argo CD takes them; what it has no phase for (test, rollback, deletion) is skipped. */
function helmHook(said: (name: string) => string | undefined): Hook | null {
  const given = listed(said('helm.sh/hook'));
  // A definition that must be there first is applied first anyhow.
  if (given.length === 0 || given.includes('crd-install')) return null;
  const found = new Set(given.flatMap((name) => helmPhases[name] ?? []));
  const policies = listed(said('helm.sh/hook-delete-policy')).flatMap((name) => helmDeletions[name] ?? []);
  return hookOf([...found], policies);
}

const helmPhases: Readonly<Record<string, HookPhase>> = {
  'pre-install': 'PreSync',
  'pre-upgrade': 'PreSync',
  'post-install': 'PostSync',
  'post-upgrade': 'PostSync',
};
const helmDeletions: Readonly<Record<string, HookDeletePolicy>> = {
  'before-hook-creation': 'BeforeHookCreation',
  'hook-succeeded': 'HookSucceeded',
  'hook-failed': 'HookFailed',
};

/** `group/namespaces/NAMESPACE/kind/NAME`, or `group/kind/NAME` of what has no namespace; the core group is empty. */
function dependencyFrom(reference: string, refuse: Refuse): string {
  const parts = reference.split('/');
  const [group, ...rest] = parts;
  if (parts.length === 5 && rest[0] === 'namespaces') {
    return identityKey({ group, version: '', namespace: rest[1], kind: rest[2], name: rest[3] });
  }
  if (parts.length === 3) return identityKey({ group, version: '', namespace: '', kind: rest[0], name: rest[1] });
  throw refuse(
    DEPENDS_ON,
    `"${reference}" names no object`,
    'Write group/namespaces/NAMESPACE/Kind/NAME, or group/Kind/NAME of a cluster-scoped one',
  );
}

function annotationsOf(object: JsonObject): ReadonlyMap<string, string> {
  const metadata = object['metadata'];
  const annotations: Json | undefined = isJsonObject(metadata) ? metadata['annotations'] : undefined;
  if (!isJsonObject(annotations)) return new Map();
  return new Map(
    Object.entries(annotations).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
}

function listed(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
