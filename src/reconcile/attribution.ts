import { FIELD_MANAGER, type LiveObject } from './cluster.js';
import { owns, type FieldDifference } from './drift.js';
import { managedFieldsOf, type ManagedFields } from './managed-fields.js';

/** The best evidence of who made a live change. `strength` says how much it is worth. */
export interface Attribution {
  /**
   * `hint`: managed fields, in which a client calls itself what it likes. `none`: there is no trace, as of a deletion. Stronger
   * evidence comes from the API server's audit log. `likely`: a forge's word on who moved a ref.
   */
  readonly strength: 'likely' | 'hint' | 'none';
  readonly source: 'managedFields' | 'forge' | null;
  /** By whom the forge knew them. */
  readonly user?: { readonly name: string };
  readonly manager: string | null;
  readonly operation: string | null;
  readonly subresource: string | null;
  /** RFC 3339, as the API server wrote it. */
  readonly time: string | null;
}

export const nothing: Attribution = {
  strength: 'none',
  source: null,
  manager: null,
  operation: null,
  subresource: null,
  time: null,
};

/** Who wrote these fields: the newest foreign manager that owns one of them; else the newest foreign one that wrote after us. */
export function attribute(live: LiveObject | null, differences: readonly FieldDifference[]): Attribution {
  if (live === null) return nothing;
  const managers = managedFieldsOf(live);
  const foreign = managers.filter(({ manager, operation }) => manager !== FIELD_MANAGER || operation !== 'Apply');
  const owners = foreign.filter(({ fields }) => differences.some(({ path }) => owns(fields, path)));
  const ours = managers.find(({ manager, operation }) => manager === FIELD_MANAGER && operation === 'Apply');
  // A field that was taken away has no owner any more. Its remover may still have written something else.
  const found =
    newest(owners) ??
    newest(foreign.filter(({ time, subresource }) => subresource === '' && time >= (ours?.time ?? '')));
  if (!found) return nothing;
  const { manager, operation, subresource, time } = found;
  return {
    strength: 'hint',
    source: 'managedFields',
    manager,
    operation,
    subresource: subresource || null,
    time: time || null,
  };
}

function newest(managers: readonly ManagedFields[]): ManagedFields | undefined {
  return managers.toSorted((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0))[0];
}
