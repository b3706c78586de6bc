import { isJsonObject, type Json, type JsonObject } from './object.js';

export type HealthStatus = 'healthy' | 'progressing' | 'degraded' | 'suspended' | 'missing' | 'unknown';

export interface Health {
  readonly status: HealthStatus;
  /** One sentence for people; '' where there is nothing to add. */
  readonly reason: string;
}

/** How long a pod may look for a node, in milliseconds, as kstatus has it. */
const SCHEDULING = 15_000;

/**
 * What a live object says about itself, in the order of kstatus (sigs.k8s.io/cli-utils/pkg/kstatus): deletion, a generation its
 * controller has not seen, the standard conditions, the kind's own rules, then `Ready`. Where Argo CD knows a kind better its rule
 * is taken (test/vectors/health says where the two disagree). Never throws: an object of any shape may be in a cluster.
 */
export function healthOf(live: JsonObject | null, now: number = Date.now()): Health {
  if (live === null) return { status: 'missing', reason: 'it is not in the cluster' };
  if (text(live, 'metadata', 'deletionTimestamp')) {
    const held = at(live, 'metadata', 'finalizers');
    const names = Array.isArray(held) ? held.filter((one) => typeof one === 'string').join(', ') : '';
    return progressing(names ? `it is being deleted and waits for ${names}` : 'it is being deleted');
  }
  const generation = at(live, 'metadata', 'generation');
  const observed = at(live, 'status', 'observedGeneration');
  if (typeof generation === 'number' && typeof observed === 'number' && observed < generation) {
    return progressing('its controller has not seen the newest version yet');
  }
  const stalled = condition(live, 'Stalled');
  if (stalled?.status === 'True') return degraded(stalled.message || 'stalled');
  const reconciling = condition(live, 'Reconciling');
  if (reconciling?.status === 'True') return progressing(reconciling.message || 'reconciling');
  const rule = rules[`${groupOf(live)}/${text(live, 'kind')}`];
  return rule ? rule(live, now) : byReadiness(live);
}

/** The worst of several, for an environment as a whole; of none, healthy. */
export function worst(states: Iterable<Health>): Health {
  let result = healthy;
  for (const health of states) if (order.indexOf(health.status) > order.indexOf(result.status)) result = health;
  return result;
}

const order: readonly HealthStatus[] = ['healthy', 'suspended', 'unknown', 'progressing', 'missing', 'degraded'];
const healthy: Health = { status: 'healthy', reason: '' };
const progressing = (reason: string): Health => ({ status: 'progressing', reason });
const degraded = (reason: string): Health => ({ status: 'degraded', reason });
const suspended = (reason: string): Health => ({ status: 'suspended', reason });

const rules: Readonly<Record<string, (live: JsonObject, now: number) => Health>> = {
  'apps/Deployment': deployment,
  'apps/StatefulSet': statefulSet,
  'apps/DaemonSet': daemonSet,
  'apps/ReplicaSet': replicaSet,
  'batch/Job': job,
  'batch/CronJob': (live) => (at(live, 'spec', 'suspend') === true ? suspended('the schedule is suspended') : healthy),
  '/Pod': pod,
  '/Service': service,
  '/PersistentVolumeClaim': claim,
  'networking.k8s.io/Ingress': (live) => (hasAddress(live) ? healthy : progressing('it has no address yet')),
  'autoscaling/HorizontalPodAutoscaler': autoscaler,
  'argoproj.io/Workflow': workflow,
  '/Namespace': (live) =>
    text(live, 'status', 'phase') === 'Terminating' ? progressing('it is being deleted') : healthy,
  'policy/PodDisruptionBudget': () => healthy,
  'apiextensions.k8s.io/CustomResourceDefinition': definition,
  'apiregistration.k8s.io/APIService': available,
};

function deployment(live: JsonObject): Health {
  if (at(live, 'spec', 'paused') === true) return suspended('the rollout is paused');
  const progress = condition(live, 'Progressing');
  if (progress?.reason === 'ProgressDeadlineExceeded')
    return degraded(progress.message || 'the rollout ran out of time');
  const failure = condition(live, 'ReplicaFailure');
  if (failure?.status === 'True') return degraded(failure.message || 'pods cannot be made');
  const wanted = count(live, 1, 'spec', 'replicas');
  const updated = count(live, 0, 'status', 'updatedReplicas');
  const existing = count(live, 0, 'status', 'replicas');
  const ready = count(live, 0, 'status', 'readyReplicas');
  const isAvailable = count(live, 0, 'status', 'availableReplicas');
  if (at(live, 'status', 'observedGeneration') === undefined) return progressing('its controller has not seen it yet');
  if (updated < wanted) return progressing(`${updated} of ${wanted} pods are of the newest version`);
  if (existing > updated) return progressing(`${existing - updated} old pods are still running`);
  if (isAvailable < updated) return progressing(`${isAvailable} of ${updated} pods are available`);
  if (ready < wanted) return progressing(`${ready} of ${wanted} pods are ready`);
  const timed = at(live, 'spec', 'progressDeadlineSeconds') !== undefined;
  if (timed && progress && !(progress.status === 'True' && progress.reason === 'NewReplicaSetAvailable')) {
    return progressing(progress.message || 'the rollout is not through');
  }
  const isThere = condition(live, 'Available');
  return isThere && isThere.status !== 'True' ? progressing(isThere.message || 'it is not available') : healthy;
}

function statefulSet(live: JsonObject): Health {
  if (text(live, 'spec', 'updateStrategy', 'type') === 'OnDelete') return healthy;
  const wanted = count(live, 1, 'spec', 'replicas');
  const existing = count(live, 0, 'status', 'replicas');
  const ready = count(live, 0, 'status', 'readyReplicas');
  const current = count(live, 0, 'status', 'currentReplicas');
  const updated = count(live, 0, 'status', 'updatedReplicas');
  if (at(live, 'status', 'observedGeneration') === undefined) return progressing('its controller has not seen it yet');
  if (existing < wanted) return progressing(`${existing} of ${wanted} pods exist`);
  if (ready < wanted) return progressing(`${ready} of ${wanted} pods are ready`);
  if (existing > wanted) return progressing(`${existing - wanted} pods more than wanted`);
  const partition = at(live, 'spec', 'updateStrategy', 'rollingUpdate', 'partition');
  if (typeof partition === 'number' && partition > 0) {
    const due = Math.max(0, wanted - partition);
    return updated < due ? progressing(`${updated} of ${due} pods above the partition are updated`) : healthy;
  }
  if (current < wanted) return progressing(`${current} of ${wanted} pods are current`);
  if (text(live, 'status', 'currentRevision') !== text(live, 'status', 'updateRevision')) {
    return progressing('pods of the old revision are still running');
  }
  return healthy;
}

function daemonSet(live: JsonObject): Health {
  if (text(live, 'spec', 'updateStrategy', 'type') === 'OnDelete') return healthy;
  if (at(live, 'status', 'observedGeneration') === undefined) return progressing('its controller has not seen it yet');
  const wanted = count(live, -1, 'status', 'desiredNumberScheduled');
  if (wanted === -1) return progressing('its controller has not counted the nodes yet');
  for (const [field, state] of [
    ['currentNumberScheduled', 'scheduled'],
    ['updatedNumberScheduled', 'updated'],
    ['numberAvailable', 'available'],
    ['numberReady', 'ready'],
  ] as const) {
    const have = count(live, 0, 'status', field);
    if (have < wanted) return progressing(`${have} of ${wanted} pods are ${state}`);
  }
  return healthy;
}

function replicaSet(live: JsonObject): Health {
  const failure = condition(live, 'ReplicaFailure');
  if (failure?.status === 'True') return degraded(failure.message || 'pods cannot be made');
  const wanted = count(live, 1, 'spec', 'replicas');
  const ready = count(live, 0, 'status', 'readyReplicas');
  const existing = count(live, 0, 'status', 'replicas');
  const isAvailable = count(live, 0, 'status', 'availableReplicas');
  if (isAvailable < wanted) return progressing(`${isAvailable} of ${wanted} pods are available`);
  if (ready < wanted) return progressing(`${ready} of ${wanted} pods are ready`);
  return existing > wanted ? progressing(`${existing - wanted} pods more than wanted`) : healthy;
}

function job(live: JsonObject): Health {
  const failed = condition(live, 'Failed');
  if (failed?.status === 'True') return degraded(failed.message || 'the job failed');
  if (condition(live, 'Complete')?.status === 'True') return { status: 'healthy', reason: 'the job is complete' };
  if (at(live, 'spec', 'suspend') === true) return suspended('the job is suspended');
  return progressing(text(live, 'status', 'startTime') ? 'the job is running' : 'the job has not begun');
}

function pod(live: JsonObject, now: number): Health {
  // What ends by itself may still do so after a container failed: only a pod that is to run for ever is hopeless then.
  const endless = (text(live, 'spec', 'restartPolicy') || 'Always') === 'Always';
  const stuck = endless ? waitingContainer(live) : null;
  switch (text(live, 'status', 'phase')) {
    case 'Succeeded':
      return healthy;
    case 'Failed':
      return degraded(text(live, 'status', 'message') || 'the pod failed');
    case 'Running': {
      if (!endless) return progressing('the pod is running, and is to end');
      if (condition(live, 'Ready')?.status === 'True') return healthy;
      if (stuck) return degraded(stuck);
      return hasEnded(live) ? degraded('a container ended') : progressing('containers are not ready');
    }
    default: {
      const scheduled = condition(live, 'PodScheduled');
      const made = Date.parse(text(live, 'metadata', 'creationTimestamp'));
      if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable' && !(now - made < SCHEDULING)) {
        return degraded(scheduled.message || 'no node can take the pod');
      }
      return stuck ? degraded(stuck) : progressing('the pod is not running yet');
    }
  }
}

const hopeless = /^(InvalidImageName|Err.*|.*Error|.*BackOff)$/;

function waitingContainer(live: JsonObject): string | null {
  for (const state of [...containers(live, 'initContainerStatuses'), ...containers(live, 'containerStatuses')]) {
    const reason = text(state, 'state', 'waiting', 'reason');
    if (hopeless.test(reason)) return `container ${text(state, 'name')}: ${reason}`;
  }
  return null;
}

function hasEnded(live: JsonObject): boolean {
  return containers(live, 'containerStatuses').some((state) => at(state, 'lastState', 'terminated') !== undefined);
}

function containers(live: JsonObject, list: string): JsonObject[] {
  const states = at(live, 'status', list);
  return Array.isArray(states) ? (states as readonly Json[]).filter(isJsonObject) : [];
}

function service(live: JsonObject): Health {
  if (text(live, 'spec', 'type') !== 'LoadBalancer') return healthy;
  return hasAddress(live) ? healthy : progressing('it has no address yet');
}

function hasAddress(live: JsonObject): boolean {
  const addresses = at(live, 'status', 'loadBalancer', 'ingress');
  return Array.isArray(addresses) && addresses.length > 0;
}

/** The first condition that says something decides, as in Argo CD. autoscaling/v1 keeps them in an annotation. */
function autoscaler(live: JsonObject): Health {
  for (const state of autoscalerConditions(live)) {
    const [type, reason] = [text(state, 'type'), text(state, 'reason')];
    if (brokenScaling.has(`${type} ${reason}`)) return degraded(text(state, 'message') || reason);
    if ((type === 'AbleToScale' || type === 'ScalingLimited') && text(state, 'status') === 'True') return healthy;
  }
  return progressing('it has not scaled yet');
}

const brokenScaling = new Set([
  'AbleToScale FailedGetScale',
  'AbleToScale FailedUpdateScale',
  'ScalingActive FailedGetResourceMetric',
  'ScalingActive InvalidSelector',
]);

function autoscalerConditions(live: JsonObject): JsonObject[] {
  const own = at(live, 'status', 'conditions');
  if (Array.isArray(own)) return (own as readonly Json[]).filter(isJsonObject);
  try {
    const kept: unknown = JSON.parse(
      text(live, 'metadata', 'annotations', 'autoscaling.alpha.kubernetes.io/conditions'),
    );
    return Array.isArray(kept) ? (kept as readonly Json[]).filter(isJsonObject) : [];
  } catch {
    return []; // none there, or none that anybody could read
  }
}

function workflow(live: JsonObject): Health {
  const message = text(live, 'status', 'message');
  switch (text(live, 'status', 'phase')) {
    case 'Succeeded':
      return healthy;
    case 'Failed':
    case 'Error':
      return degraded(message || 'the workflow failed');
    default:
      return progressing(message || 'the workflow is running');
  }
}

function claim(live: JsonObject): Health {
  const phase = text(live, 'status', 'phase');
  if (phase === 'Bound') return healthy;
  return phase === 'Lost' ? degraded('its volume is lost') : progressing('no volume is bound to it yet');
}

function definition(live: JsonObject): Health {
  const names = condition(live, 'NamesAccepted');
  if (names?.status === 'False') return degraded(names.message || 'its names are not accepted');
  return condition(live, 'Established')?.status === 'True' ? healthy : progressing('the API is not established yet');
}

function available(live: JsonObject): Health {
  const state = condition(live, 'Available');
  return state?.status === 'True' ? healthy : progressing(state?.message || 'the API is not available yet');
}

function byReadiness(live: JsonObject): Health {
  const ready = condition(live, 'Ready');
  switch (ready?.status) {
    case undefined:
    case 'True':
      return healthy;
    case 'False':
      return progressing(ready?.message || 'it is not ready');
    default:
      return { status: 'unknown', reason: ready?.message || 'it does not know whether it is ready' };
  }
}

interface Condition {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

function condition(live: JsonObject, type: string): Condition | undefined {
  const conditions = at(live, 'status', 'conditions');
  if (!Array.isArray(conditions)) return undefined;
  const found = (conditions as readonly Json[]).find((c) => isJsonObject(c) && c['type'] === type);
  return isJsonObject(found)
    ? { status: text(found, 'status'), reason: text(found, 'reason'), message: text(found, 'message') }
    : undefined;
}

function at(value: JsonObject, ...path: readonly string[]): Json | undefined {
  let here: Json | undefined = value;
  for (const key of path) here = isJsonObject(here) ? here[key] : undefined;
  return here;
}

function text(value: JsonObject, ...path: readonly string[]): string {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : '';
}

function count(value: JsonObject, otherwise: number, ...path: readonly string[]): number {
  const found = at(value, ...path);
  return typeof found === 'number' ? found : otherwise;
}

function groupOf(live: JsonObject): string {
  const version = text(live, 'apiVersion');
  return version.includes('/') ? version.slice(0, version.indexOf('/')) : '';
}
