import { identityKey, type ObjectIdentity } from '../cluster/object.js';
import type { Records } from '../review/records.js';
import type { ApprovedState, ApprovedView } from './admission.js';

/** Who knows what one environment is approved to be. */
export interface KnowsApproved {
  approvedState(key: string): ApprovedState | undefined;
  governs(test: (identity: ObjectIdentity) => boolean): ObjectIdentity | undefined;
}

/** What is approved in a target, for those who ask before they write there; `there` are its environments as they are known by then. */
export function approvedView(
  target: string,
  records: Pick<Records, 'find'>,
  there: () => readonly KnowsApproved[],
  isKnown: (repository: string, environment: string) => boolean,
): ApprovedView {
  return {
    complete: async () => {
      const all = await records.find('environment', { target });
      return all.every(({ repository, name, approvedDecision }) => approvedDecision === null || isKnown(repository, name)); // prettier-ignore
    },
    approvedState: (identity) => {
      const states = there().map((one) => one.approvedState(identityKey(identity)));
      // Of two environments the one that has it now, before the one that had it.
      return states.find((state) => state !== undefined && state !== null) ?? states.find((state) => state !== undefined); // prettier-ignore
    },
    scaled: ({ group, kind: plural, namespace, name }) => {
      const isIt = (one: ObjectIdentity): boolean =>
        one.group === group &&
        one.namespace === namespace &&
        one.name === name &&
        `${one.kind.toLowerCase()}s` === plural;
      return there()
        .map((one) => one.governs(isIt))
        .find((found) => found !== undefined);
    },
  };
}
