import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';
import type { Place } from '../../errors.js';
import { type EnforcementAction, oneAction } from './constraint.js';
import { fault, type PolicyDocument } from './document.js';
import { at } from './template.js';

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** An ExpansionTemplate: which objects give rise to which others, as a Deployment does to Pods. */
export interface Expansion {
  readonly name: string;
  readonly place: Place;
  readonly applyTo: readonly {
    readonly groups: readonly string[];
    readonly versions: readonly string[];
    readonly kinds: readonly string[];
  }[];
  /** Where in the object the template of the other one stands. */
  readonly templateSource: readonly string[];
  readonly generated: GroupVersionKind;
  /** In place of that of the constraints. */
  readonly action: EnforcementAction | undefined;
}

/** Reads an ExpansionTemplate. Throws Faulty. */
export function readExpansion(document: PolicyDocument): Expansion {
  const { value, placeOf } = document;
  const name = at(value, ['metadata', 'name']);
  if (typeof name !== 'string' || name === '' || name.length > 63) {
    throw fault(
      placeOf(['metadata', 'name']),
      'the expansion template needs a name of at most 63 letters',
      'Write metadata.name',
    );
  }
  const spec = isJsonObject(value.spec) ? value.spec : {};
  const { applyTo, templateSource, generatedGVK, enforcementAction } = spec;
  if (typeof templateSource !== 'string' || templateSource === '') {
    throw fault(
      placeOf(['spec', 'templateSource']),
      `the expansion template ${name} has no templateSource`,
      'Write it, as spec.template',
    );
  }
  const generated = isJsonObject(generatedGVK) ? gvk(generatedGVK) : undefined;
  if (!generated) {
    throw fault(
      placeOf(['spec', 'generatedGVK']),
      `the expansion template ${name} does not say what is generated`,
      'Write generatedGVK',
    );
  }
  if (!Array.isArray(applyTo) || applyTo.length === 0) {
    throw fault(placeOf(['spec', 'applyTo']), `the expansion template ${name} applies to nothing`, 'Write applyTo');
  }
  const from = (applyTo as readonly Json[]).map((entry, i) => {
    const list = (key: string): readonly string[] => {
      const names = isJsonObject(entry) ? entry[key] : undefined;
      if (Array.isArray(names) && names.length > 0 && names.every((one) => typeof one === 'string')) return names;
      throw fault(
        placeOf(['spec', 'applyTo', i]),
        `applyTo needs a list of ${key}`,
        'Write groups, versions and kinds',
      );
    };
    return { groups: list('groups'), versions: list('versions'), kinds: list('kinds') };
  });
  return {
    name,
    place: document.place,
    applyTo: from,
    templateSource: templateSource.split('.'),
    generated,
    action:
      enforcementAction === undefined || enforcementAction === ''
        ? undefined
        : oneAction(document, enforcementAction, ['spec', 'enforcementAction']),
  };
}

function gvk({ group = '', version, kind }: JsonObject): GroupVersionKind | undefined {
  if (typeof group !== 'string' || typeof version !== 'string' || typeof kind !== 'string' || !version || !kind)
    return undefined;
  return { group, version, kind };
}

export function appliesTo(expansion: Expansion, { group, version, kind }: GroupVersionKind): boolean {
  return expansion.applyTo.some(
    ({ groups, versions, kinds }) => groups.includes(group) && versions.includes(version) && kinds.includes(kind),
  );
}

/**
 * In an order in which what is expanded further comes first. Throws Faulty for templates that feed each other in a circle: their
 * expansion would have no end.
 */
export function expansionOrder(expansions: readonly Expansion[]): readonly Expansion[] {
  const ordered: Expansion[] = [];
  let waiting = [...expansions];
  while (waiting.length > 0) {
    const ready = waiting.filter((one) => !waiting.some((other) => appliesTo(one, other.generated)));
    if (ready.length === 0) {
      const names = waiting.map(({ name }) => name).join(', ');
      throw fault(
        waiting[0].place,
        `the expansion templates ${names} feed each other`,
        'Let none apply to what it gives rise to',
      );
    }
    ordered.push(...ready);
    waiting = waiting.filter((one) => !ready.includes(one));
  }
  return ordered;
}
