import { type Environment, GOVERNANCE } from './environment.js';

type Dependent = Pick<Environment, 'name' | 'dependsOn'>;

/** What is wrong with what environments depend on: who and at which position of its list. Pure. */
export interface DependencyFault {
  readonly environment: number;
  readonly position: number;
  readonly message: string;
}

/** Names that are of none of them (unless `open`: more may come), and circles, each told once. */
export function dependencyFaults(environments: readonly Dependent[], { open = false } = {}): DependencyFault[] {
  const byName = new Map(environments.map((environment) => [environment.name, environment]));
  const faults: DependencyFault[] = [];
  environments.forEach(({ name, dependsOn = [] }, environment) => {
    dependsOn.forEach((other, position) => {
      const add = (message: string): void => void faults.push({ environment, position, message });
      if (other === GOVERNANCE) add('everything waits for governance anyhow');
      else if (!byName.has(other)) {
        if (!open) add(`there is no environment "${other}"`);
      } else {
        const way = wayBack(other, name, byName);
        // At its first member only: each of the others would say the same.
        if (way && way.every((one) => indexOf(environments, one) >= environment)) {
          add(way.length === 1 ? 'it cannot wait for itself' : `it waits for itself, by way of ${way.slice(0, -1).join(', ')}`); // prettier-ignore
        }
      }
    });
  });
  return faults;
}

/** Those that others wait for go first: what a commit changes in them is decided before. Else the order stays. */
export function inDependencyOrder<T extends Dependent>(environments: readonly T[]): readonly T[] {
  if (!environments.some(({ dependsOn }) => dependsOn?.length)) return environments;
  const byName = new Map(environments.map((environment) => [environment.name, environment]));
  const ordered = new Set<T>();
  const add = (environment: T, above: readonly T[]): void => {
    if (above.includes(environment)) return; // a circle is refused elsewhere
    for (const name of environment.dependsOn ?? []) {
      const other = byName.get(name);
      if (other) add(other, [...above, environment]);
    }
    ordered.add(environment);
  };
  for (const environment of environments) add(environment, []);
  return [...ordered];
}

/** The names from one environment to another by what each depends on, both ends included; null where none leads there. */
function wayBack(from: string, to: string, byName: ReadonlyMap<string, Dependent>): readonly string[] | null {
  const seen = new Set<string>();
  const walk = (name: string): readonly string[] | null => {
    if (name === to) return [name];
    if (seen.has(name)) return null;
    seen.add(name);
    for (const next of byName.get(name)?.dependsOn ?? []) {
      const way = walk(next);
      if (way) return [name, ...way];
    }
    return null;
  };
  return walk(from);
}

const indexOf = (environments: readonly Dependent[], name: string): number =>
  environments.findIndex((environment) => environment.name === name);
