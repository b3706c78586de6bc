import type { DataSource } from 'typeorm';
import type { Reach } from '../../audit/reach.js';

/** What somebody may see, by name: as many rows as there are environments, so that an index can be used. */
export interface KnownPlaces {
  /** Repositories of which nothing is out of reach. */
  readonly whole: readonly string[];
  /** Those, and others of which something is in reach. */
  readonly partly: readonly string[];
  /** Of each environment in reach of the others, its repository and its name, at the same position. */
  readonly repositories: readonly string[];
  readonly environments: readonly string[];
}

/** Milliseconds after which the names are read again: a new environment is seen that much later by whoever may not see all. */
const FRESH = 1_000;

/** Which repositories and environments there are, as far as each reach goes. */
export class Places {
  #read: { readonly at: number; readonly names: Promise<Names> } | undefined;
  #within = new WeakMap<Reach, { readonly of: Promise<Names>; readonly places: KnownPlaces }>();

  constructor(private readonly dataSource: DataSource) {}

  async within(reach: Reach): Promise<KnownPlaces> {
    const now = Date.now();
    if (!this.#read || now - this.#read.at > FRESH) this.#read = { at: now, names: this.#names() };
    const { names } = this.#read;
    const made = this.#within.get(reach);
    if (made?.of === names) return made.places;
    const places = placesWithin(reach, await names);
    this.#within.set(reach, { of: names, places });
    return places;
  }

  /** Those that have an environment of that name, or had. */
  async repositoriesOf(environment: string): Promise<readonly string[]> {
    const rows = await this.dataSource.query<{ repository: string }[]>('SELECT repository FROM environment WHERE name = $1', [environment]); // prettier-ignore
    return rows.map(({ repository }) => repository);
  }

  async #names(): Promise<Names> {
    try {
      return await this.dataSource.query<Names>(
        `SELECT repository, name FROM environment UNION ALL SELECT name AS repository, NULL AS name FROM repository`,
      );
    } catch (thrown) {
      this.#read = undefined;
      throw thrown;
    }
  }
}

type Names = readonly { readonly repository: string; readonly name: string | null }[];

function placesWithin(reach: Reach, names: Names): KnownPlaces {
  const partly = [...new Set(names.map(({ repository }) => repository))].filter((name) => reach.partly(name));
  const whole = partly.filter((name) => reach.wholly(name));
  const single = names.filter(
    ({ repository, name }) => name !== null && !whole.includes(repository) && reach.covers(repository, name),
  );
  return {
    whole,
    partly,
    repositories: single.map(({ repository }) => repository),
    environments: single.map(({ name }) => name!),
  };
}
