import type { Environment } from '../change/environment.js';
import type { EnvironmentRecord } from './records.js';

type Definition = Pick<EnvironmentRecord, 'path' | 'ref' | 'target' | 'namespace' | 'labels' | 'ignore'>;

/** What a record keeps of how an environment is defined. */
export function definition({ path, ref, target, namespace, labels, ignore }: Environment): Definition {
  return { path, ref, target, namespace, labels, ignore };
}

export function sameDefinition(record: EnvironmentRecord, environment: Environment): boolean {
  const written = JSON.stringify(sorted(definition(record)));
  return written === JSON.stringify(sorted(definition(environment)));
}

/** How an environment was defined when its last approved commit was; records of old releases only keep how it was judged last. */
export function approvedDefinition(record: EnvironmentRecord, environment: Environment): Environment | null {
  if (record.approved === null) return null;
  return record.approvedDefinition ?? { ...environment, ...definition(record) };
}

/** jsonb keeps no key order. */
function sorted({ labels, ...rest }: Definition): unknown {
  return [
    rest.path,
    rest.ref,
    rest.target,
    rest.namespace,
    rest.ignore,
    Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ];
}

/** Of an environment that nothing was decided about yet. */
export function newEnvironment(repository: string, environment: Environment): EnvironmentRecord {
  return {
    repository,
    name: environment.name,
    ...definition(environment),
    head: null,
    headDecision: null,
    headOutcome: null,
    approved: null,
    approvedDecision: null,
    approvedDefinition: null,
    noLongerCompliant: false,
    nonCompliantFrom: null,
    healthy: null,
    healthyDecision: null,
    status: 'new',
    trouble: null,
    gate: null,
    updatedAt: new Date(0).toISOString(),
  };
}
