import type { Reach } from '../audit/reach.js';
import { CountersignError } from '../errors.js';
import type { GovernedControls } from '../report/controls.js';
import type { Filters, Queries } from '../report/queries.js';
import { suggest } from '../settings.js';
import type { ServiceState } from './state.js';

/** What filters and reports name. */
export interface Named {
  readonly repository?: string | null;
  readonly environment?: string | null;
  readonly rule?: string | null;
  readonly control?: string | null;
  /** Of an object; of pushes several, which are no names. */
  readonly kind?: string | readonly string[] | null;
  readonly object?: { readonly kind?: string | null } | null;
}

/** What is in force in a repository, judged yet or not, as far as the caller may see it. */
export interface Governance {
  environments(repository: string): readonly string[];
  controls(repository: string): Promise<GovernedControls | null>;
}

export function governanceWithin(
  reach: Reach,
  { controls, holdings }: Pick<ServiceState, 'controls' | 'holdings'>,
): Governance {
  return {
    controls,
    environments: (repository) =>
      (holdings(repository) ?? [])
        .map(({ environment }) => environment.name)
        .filter((name) => reach.covers(repository, name)),
  };
}

/** A shorter name is near to any other of its length. */
const SHORTEST = 3;
/** So much of a name is compared and shown. */
const SHOWN = 80;
const PLACES = 'Name one that { environments { nodes { repository name } } } lists';

/**
 * Whoever misspells a name would be handed an empty listing, and take it for a clean one. `queries` are of what the caller may see, so that a name
 * out of reach and one that is nowhere are told of in the same words.
 */
export class KnownNames {
  constructor(
    private readonly queries: Queries,
    private readonly governance: Governance,
  ) {}

  /** For what is complete or not there at all. What was judged once is known, though nothing follows it any more. Throws `not-found` with what was probably meant. */
  async requirePlaces({ repository, environment }: Pick<Named, 'repository' | 'environment'>): Promise<void> {
    if (repository) {
      const names = await this.#repositories();
      if (!names.includes(repository) && !(await this.#judged({ repository })))
        throw unknown('repository', repository, names, PLACES);
    }
    if (environment) {
      const names = await this.#environments(repository);
      if (!names.includes(environment) && !(await this.#judged({ environment, ...(repository && { repository }) })))
        throw unknown('environment', environment, names, PLACES);
    }
  }

  /**
   * For a filter that nothing passes. Whatever has a name that is known is left at that; a name that is not, and nearly is one, was misspelt. One that is near to
   * none may be right: nothing was judged under it yet. Throws `not-found` with what was probably meant.
   */
  async requireSpelt({ repository, environment, rule, control, object, ...rest }: Named): Promise<void> {
    const kind = typeof rest.kind === 'string' ? rest.kind : object?.kind;
    if (repository) await this.#near('repository', repository, this.#repositories(), { repository }, PLACES);
    if (environment)
      await this.#near('environment', environment, this.#environments(repository), { environment }, PLACES);
    if (kind) await this.#near('kind', kind, this.queries.kinds(), { object: { kind } }, 'Name one as manifests do: Deployment'); // prettier-ignore
    if (!rule && !control) return;
    const governed = await this.#governed();
    const rules = governed.flatMap((one) => one.rules);
    if (rule) await this.#near('rule', rule, rules.map(({ id }) => id), { rule }, 'Name one that `countersign policy list` shows'); // prettier-ignore
    if (!control) return;
    const asked = governed.flatMap(({ catalogues }) =>
      catalogues.flatMap(({ controls }) => controls.map(({ id }) => id)),
    );
    const answered = rules.flatMap(({ controls }) => controls);
    await this.#near('control', control, [...asked, ...answered], { control }, 'Name one that { controls(repository: …) { id } } lists'); // prettier-ignore
  }

  async #near(
    what: string,
    name: string,
    known: readonly string[] | Promise<readonly string[]>,
    filter: Filters['decision'],
    remedy: string,
  ): Promise<void> {
    const names = await known;
    if (names.includes(name) || name.length < SHORTEST) return;
    if (suggest(name.slice(0, SHOWN), names) === '' || (await this.#judged(filter))) return;
    throw unknown(what, name, names, remedy);
  }

  async #judged(filter: Filters['decision']): Promise<boolean> {
    return (await this.queries.list('decision', filter, { first: 1 })).rows.length > 0;
  }

  async #repositories(): Promise<readonly string[]> {
    return (await this.queries.anyOf('repository', {})).map(({ name }) => name);
  }

  async #environments(repository?: string | null): Promise<readonly string[]> {
    const rows = await this.queries.anyOf('environment', repository ? { repository: [repository] } : {});
    // One that is defined has no row before it is first judged.
    const defined = repository ? [repository] : await this.#repositories();
    return [
      ...new Set([...rows.map(({ name }) => name), ...defined.flatMap((name) => this.governance.environments(name))]),
    ];
  }

  async #governed(): Promise<readonly GovernedControls[]> {
    const found = await Promise.all(
      // Where the catalogues of one cannot be read, the names of the others are left to compare with: whoever asks for controls is told.
      (await this.#repositories()).map((name) => this.governance.controls(name).catch(() => null)),
    );
    return found.filter((one) => one !== null);
  }
}

function unknown(what: string, name: string, known: readonly string[], remedy: string): CountersignError {
  const shown = name.slice(0, SHOWN);
  return new CountersignError('not-found', `there is no ${what} "${shown}"${suggest(shown, known)}`, { remedy });
}
