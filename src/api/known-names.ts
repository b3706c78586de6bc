import { CountersignError } from '../errors.js';
import type { Queries } from '../report/queries.js';
import { suggest } from '../settings.js';

/**
 * Whoever misspells a name would be handed an empty listing, and take it for a clean one. `queries` are of what the caller may see, so that a name
 * out of reach and one that is nowhere are told of in the same words. What was judged once is known, though nothing follows it any more. Throws
 * `not-found` with what was probably meant.
 */
export async function requireKnownNames(
  queries: Queries,
  { repository, environment }: { readonly repository?: string | null; readonly environment?: string | null },
): Promise<void> {
  const judged = async (filter: { repository?: string; environment?: string }): Promise<boolean> =>
    (await queries.list('decision', filter, { first: 1 })).rows.length > 0;
  if (repository) {
    const names = (await queries.anyOf('repository', {})).map(({ name }) => name);
    if (!names.includes(repository) && !(await judged({ repository }))) throw unknown('repository', repository, names);
  }
  if (environment) {
    const names = (await queries.anyOf('environment', repository ? { repository: [repository] } : {})).map(
      ({ name }) => name,
    );
    const filter = { environment, ...(repository ? { repository } : {}) };
    if (!names.includes(environment) && !(await judged(filter))) throw unknown('environment', environment, names);
  }
}

function unknown(what: string, name: string, known: readonly string[]): CountersignError {
  const shown = name.slice(0, 80);
  return new CountersignError('not-found', `there is no ${what} "${shown}"${suggest(shown, known)}`, {
    remedy: 'Name one that { environments { nodes { repository name } } } lists',
  });
}
