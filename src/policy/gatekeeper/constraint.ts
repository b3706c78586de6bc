import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';
import type { Place } from '../../errors.js';
import type { Severity } from '../decision.js';
import { fault, type Fault, Faulty, type PolicyDocument } from './document.js';
import { type Match, readMatch } from './match.js';
import { schemaFaults, withDefaults } from './schema.js';
import { at, type Template } from './template.js';

/** `dryrun` is reported and has no effect; `none`: not enforced where it is asked for. */
export type EnforcementAction = 'deny' | 'warn' | 'dryrun' | 'none';

export interface Constraint {
  readonly kind: string;
  readonly name: string;
  readonly place: Place;
  readonly parameters: Json;
  readonly match: Match;
  readonly action: EnforcementAction;
  readonly severity: Severity;
  readonly controls: readonly string[];
}

/**
 * Enforcement points of scoped actions that are ours: what Gatekeeper does at admission and `gator` before it is what is done here
 * to a proposed change.
 */
export const ENFORCEMENT_POINTS: readonly string[] = [
  'validation.gatekeeper.sh',
  'gator.gatekeeper.sh',
  'countersign.dev',
];
/** Those of `gator verify`. */
export const SUITE_POINTS: readonly string[] = ['gator.gatekeeper.sh'];
const AUDIT = 'audit.gatekeeper.sh';

/** A breach of the template's schema: what a suite's `invalid: true` expects. */
export class SchemaBreach extends Faulty {}

/** Reads a constraint under its template. Throws Faulty that names every fault. */
export function readConstraint(
  document: PolicyDocument,
  template: Template,
  points: readonly string[] = ENFORCEMENT_POINTS,
): Constraint {
  const { value, version, placeOf } = document;
  const faults: Fault[] = [];
  if (version !== 'v1beta1' && version !== 'v1alpha1') {
    faults.push({
      place: placeOf(['apiVersion']),
      message: `constraints are read in v1beta1, not in ${version}`,
      remedy: 'Write constraints.gatekeeper.sh/v1beta1',
    });
  }
  const name = at(value, ['metadata', 'name']);
  if (typeof name !== 'string' || name === '')
    throw fault(placeOf(['metadata']), 'the constraint has no name', 'Write metadata.name');
  const spec = value.spec ?? {};
  if (!isJsonObject(spec)) throw fault(placeOf(['spec']), 'spec is no mapping', 'Write match and parameters below it');
  const known = ['enforcementAction', 'match', 'parameters', 'scopedEnforcementActions'];
  for (const field of Object.keys(spec)) {
    if (known.includes(field)) continue;
    const message = `a constraint's spec has no field ${field} (there are ${known.join(', ')})`;
    faults.push({ place: placeOf(['spec', field]), message, remedy: 'Correct or remove it' });
  }
  let breach = false;
  const collect = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (thrown) {
      if (!(thrown instanceof Faulty)) throw thrown;
      breach ||= thrown instanceof SchemaBreach;
      faults.push(...thrown.faults);
      return undefined;
    }
  };
  const match = collect(() => readMatch(document, spec.match));
  const action = collect(() => readAction(document, spec, points));
  const parameters = collect(() => readParameters(document, template, spec.parameters));
  const described = collect(() => describe(document, template));
  if (faults.length > 0) throw breach ? new SchemaBreach(faults) : new Faulty(faults);
  return {
    kind: template.kind,
    name,
    place: document.place,
    parameters: parameters!,
    match: match!,
    action: action!,
    ...described!,
  };
}

function readParameters({ placeOf }: PolicyDocument, template: Template, given: Json | undefined): Json {
  const { schema, legacy } = template;
  const parameters = withDefaults(schema, given ?? {});
  const faults = schemaFaults(schema ?? (legacy ? undefined : {}), parameters, legacy);
  if (faults.length === 0) return parameters;
  const placed = faults.map(({ path, message }) => ({
    place: placeOf(['spec', 'parameters', ...path]),
    message: `${['parameters', ...path].join('.')}: ${message}`,
    remedy: `Correct it, or the schema of the template at ${template.place.file}:${template.place.line ?? 1}`,
  }));
  throw faults.every(({ unknown }) => unknown) ? new Faulty(placed) : new SchemaBreach(placed);
}

const ACTIONS = ['deny', 'warn', 'dryrun'] as const;

function readAction(document: PolicyDocument, spec: JsonObject, points: readonly string[]): EnforcementAction {
  const { placeOf } = document;
  const action = spec.enforcementAction ?? 'deny';
  if (action !== 'scoped') return oneAction(document, action, ['spec', 'enforcementAction']);
  const path = ['spec', 'scopedEnforcementActions'];
  const scoped = spec.scopedEnforcementActions;
  if (!Array.isArray(scoped)) {
    throw fault(
      placeOf(path),
      'a scoped constraint needs a list of scopedEnforcementActions',
      'Write what is done where',
    );
  }
  const found: EnforcementAction[] = [];
  (scoped as readonly Json[]).forEach((entry, i) => {
    const names =
      isJsonObject(entry) && Array.isArray(entry.enforcementPoints) ? (entry.enforcementPoints as readonly Json[]) : [];
    const one = oneAction(document, isJsonObject(entry) ? (entry.action ?? null) : null, [...path, i, 'action']);
    for (const point of names.map((named) => (isJsonObject(named) ? named.name : undefined))) {
      if (point === '*' || (typeof point === 'string' && points.includes(point))) found.push(one);
      else if (point === AUDIT && points === ENFORCEMENT_POINTS) found.push('dryrun'); // reported, and kept from nothing
    }
  });
  return ACTIONS.find((candidate) => found.includes(candidate)) ?? 'none';
}

export function oneAction({ placeOf }: PolicyDocument, action: Json, path: readonly PropertyKey[]): EnforcementAction {
  const known = ACTIONS.find((candidate) => candidate === action);
  if (known) return known;
  const message = `the enforcement action ${JSON.stringify(action)} is none of ${ACTIONS.join(', ')}`;
  throw fault(placeOf(path), message, 'Correct it: an action that nobody knows would enforce nothing');
}

const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low', 'info'];

/** Severity and controls, from annotations of the constraint, else of its template. */
function describe(document: PolicyDocument, template: Template): Pick<Constraint, 'severity' | 'controls'> {
  const own = at(document.value, ['metadata', 'annotations']);
  const text = (key: string) => (isJsonObject(own) ? own[key] : undefined) ?? template.annotations[key];
  const severity = text('countersign.dev/severity') ?? 'medium';
  const known = SEVERITIES.find((candidate) => candidate === severity);
  if (!known) {
    const message = `countersign.dev/severity ${JSON.stringify(severity)} is none of ${SEVERITIES.join(', ')}`;
    throw fault(document.placeOf(['metadata', 'annotations', 'countersign.dev/severity']), message, 'Correct it');
  }
  const controls = text('countersign.dev/controls');
  return { severity: known, controls: typeof controls === 'string' ? controls.split(/[\s,]+/).filter(Boolean) : [] };
}
