import { GOVERNANCE, type Environment } from '../change/environment.js';
import type { GovernanceSettings } from '../change/environments.js';
import type { ManifestCache } from '../change/manifest-cache.js';
import { render } from '../change/render.js';
import { renderedDigest } from '../cluster/rendered.js';
import type { Redactor } from '../cluster/secret.js';
import { toCountersignError } from '../errors.js';
import type { Repository } from '../source/repository.js';
import type { ApprovedBytes } from './approval.js';
import { isGoverned } from './governed-files.js';

export interface CarryingParts {
  readonly repository: Repository;
  readonly environment: Environment;
  readonly settings: GovernanceSettings;
  readonly cache: ManifestCache;
  readonly redactor: Redactor;
}

/**
 * Why what was approved of one head is not what another head brings; null where it is. An approval is carried over a merge (be it a
 * merge commit, a squash or a rebase, which differ in history and not in content) only if the service merges the approved head into
 * the new base itself and gets the very tree that was pushed, and the environment holds the same objects before and after as it did
 * for the approver (DESIGN, section 9). So nobody approves an object that they were not shown, nor a merge with something put in by hand.
 */
export async function whyNotCarried(
  from: ApprovedBytes,
  to: ApprovedBytes,
  { repository, environment, settings, cache, redactor }: CarryingParts,
): Promise<string | null> {
  const [approved, head] = [from.head.slice(0, 7), to.head.slice(0, 7)];
  if (from.base === null || to.base === null) return `it is for ${approved}, with nothing before it`;
  if (from.target !== undefined && from.target !== to.target) {
    return `it is for ${approved} on ${from.target ?? 'no target'}, and ${to.environment} goes to ${to.target ?? 'none'}`;
  }
  if (from.renderedDigest !== to.renderedDigest) {
    return `it is for ${approved}, and ${to.environment} holds other objects at ${head} than there`;
  }
  try {
    const merged = await repository.mergedTree(to.base, from.head);
    const base = to.base.slice(0, 7);
    if (merged === null) return `it is for ${approved}, and this service cannot merge that into ${base} by itself`;
    if (merged !== to.tree)
      return `it is for ${approved}, and ${head} holds other files than merging that into ${base}`;
    if (from.base === to.base) return null;
    const changed = `it is for ${approved}, and ${to.environment} was another at ${base} than at ${from.base.slice(0, 7)}`;
    if (environment.name === GOVERNANCE) {
      const between = await repository.changes(from.base, to.base);
      return between.some(({ path }) => isGoverned(path, settings)) ? changed : null;
    }
    const digest = async (commit: string): Promise<string> =>
      renderedDigest((await render(repository, environment, commit, cache)).objects, redactor);
    return (await digest(from.base)) === (await digest(to.base)) ? null : changed;
  } catch (thrown) {
    const { code, message } = toCountersignError(thrown);
    if (code !== 'revision-unknown' && code !== 'object-missing') throw thrown;
    return `it is for ${approved}, which cannot be read any more: ${message}`;
  }
}
