import { globMatcher } from '../change/glob.js';
import type { LoggedEntry } from './entry.js';

/** Globs; `*` alone means all. */
export interface Place {
  readonly repositories: readonly string[];
  readonly environments: readonly string[];
}

/** Where somebody may do something. */
export interface Reach {
  /** Every repository and environment, those to come included. */
  readonly everywhere: boolean;
  /** Where nothing is excluded in a repository, its own environments to come included. */
  wholly(repository: string): boolean;
  /** Any of its environments: what belongs to the repository as a whole may be seen. */
  partly(repository: string): boolean;
  covers(repository: string, environment: string): boolean;
}

export function reachOfPlaces(places: readonly Place[]): Reach {
  const areas = places.map(({ repositories, environments }) => ({
    all: isAll(repositories),
    repository: anyOf(repositories),
    allOfIt: isAll(environments),
    environment: anyOf(environments),
  }));
  return {
    everywhere: areas.some(({ all, allOfIt }) => all && allOfIt),
    wholly: (name) => areas.some(({ repository, allOfIt }) => allOfIt && repository(name)),
    partly: (name) => areas.some(({ repository }) => repository(name)),
    covers: (name, of) => areas.some(({ repository, environment }) => repository(name) && environment(of)),
  };
}

/**
 * Whether the contents that an entry names are within reach: those of its environment, or of its repository where it has no environment. What belongs to
 * the service as a whole (its configuration, who took an export, whom an erasure was about) is for those who reach everything.
 */
export function bodiesWithin(reach: Reach, { predicate }: Pick<LoggedEntry, 'predicate'>): boolean {
  const { repository, environment } = predicate;
  if (reach.everywhere) return true;
  if (typeof repository !== 'string') return false;
  return typeof environment === 'string' ? reach.covers(repository, environment) : reach.partly(repository);
}

const isAll = (globs: readonly string[]): boolean => globs.some((glob) => glob === '*' || glob === '**');

function anyOf(globs: readonly string[]): (name: string) => boolean {
  if (isAll(globs)) return () => true;
  const matchers = globs.map(globMatcher);
  return (name) => matchers.some((matches) => matches(name));
}
