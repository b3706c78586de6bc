import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';
import type { Place } from '../../errors.js';
import { fault, type PolicyDocument } from './document.js';
import type { Schema } from './schema.js';

export const TARGET = 'admission.k8s.gatekeeper.sh';

/** A Rego text and the row of the file that it begins at. */
export interface TemplateSource {
  readonly text: string;
  readonly row: number;
  readonly indent: number;
}

/** What a ConstraintTemplate says, as far as it counts here. */
export interface Template {
  /** Of its constraints. */
  readonly kind: string;
  readonly place: Place;
  readonly v1: boolean;
  /** The entry, then the libs. */
  readonly sources: readonly TemplateSource[];
  readonly schema: Schema | undefined;
  /** Parameters that the schema does not name are kept. */
  readonly legacy: boolean;
  readonly title?: string;
  readonly description?: string;
  readonly annotations: JsonObject;
}

/** Reads a ConstraintTemplate. Throws Faulty. */
export function readTemplate(document: PolicyDocument): Template {
  const { value, version, placeOf } = document;
  if (version !== 'v1' && version !== 'v1beta1') {
    throw fault(placeOf(['apiVersion']), `templates are read in v1 and v1beta1, not in ${version}`, 'Convert it to v1');
  }
  const kindPath = ['spec', 'crd', 'spec', 'names', 'kind'];
  const kind = at(value, kindPath);
  if (typeof kind !== 'string' || !/^[A-Za-z][A-Za-z0-9]*$/.test(kind)) {
    throw fault(placeOf(kindPath), 'the template names no kind for its constraints', 'Write spec.crd.spec.names.kind');
  }
  const name = at(value, ['metadata', 'name']);
  if (name !== kind.toLowerCase()) {
    const message = `the template of ${kind} must be called ${kind.toLowerCase()}, as its kind is in small letters`;
    throw fault(placeOf(['metadata', 'name']), message, 'Correct metadata.name');
  }
  const validation = at(value, ['spec', 'crd', 'spec', 'validation']);
  const schema = isJsonObject(validation) ? validation.openAPIV3Schema : undefined;
  const legacy = isJsonObject(validation) ? validation.legacySchema : undefined;
  const annotations = at(value, ['metadata', 'annotations']);
  return {
    kind,
    place: document.place,
    ...readRego(document, kind),
    schema: isJsonObject(schema) ? schema : undefined,
    legacy: typeof legacy === 'boolean' ? legacy : version === 'v1beta1',
    ...readAnnotations(isJsonObject(annotations) ? annotations : {}),
  };
}

function readAnnotations(annotations: JsonObject): Pick<Template, 'annotations' | 'title' | 'description'> {
  const text = (key: string) => (typeof annotations[key] === 'string' ? annotations[key] : undefined);
  const title = text('metadata.gatekeeper.sh/title');
  const description = text('description');
  return {
    annotations,
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
  };
}

function readRego(document: PolicyDocument, kind: string): Pick<Template, 'v1' | 'sources'> {
  const { value, placeOf } = document;
  const targets = at(value, ['spec', 'targets']);
  if (!Array.isArray(targets) || targets.length !== 1 || !isJsonObject(targets[0] as Json)) {
    throw fault(
      placeOf(['spec', 'targets']),
      `the template of ${kind} must have exactly one target`,
      `Keep that of ${TARGET}`,
    );
  }
  const target = targets[0] as JsonObject;
  const path = ['spec', 'targets', 0];
  if (target.target !== TARGET) {
    throw fault(
      placeOf([...path, 'target']),
      `the target ${JSON.stringify(target.target)} is not known`,
      `Use ${TARGET}`,
    );
  }
  const codes = Array.isArray(target.code) ? (target.code as readonly Json[]) : [];
  const engines = codes.map((code) => (isJsonObject(code) ? code.engine : undefined));
  const chosen = engines.indexOf('Rego');
  if (chosen >= 0) {
    const source = (codes[chosen] as JsonObject).source;
    const v1 = isJsonObject(source) && source.version === 'v1';
    return {
      v1,
      sources: readSources(document, kind, isJsonObject(source) ? source : {}, [...path, 'code', chosen, 'source']),
    };
  }
  // Beside code for another engine, the older field is how such a template says the same in Rego.
  if (engines.length > 0 && typeof target.rego !== 'string') {
    const named = engines.map((engine) => JSON.stringify(engine ?? null)).join(', ');
    throw fault(
      placeOf([...path, 'code', 0, 'engine']),
      `the template of ${kind} is written for the engine ${named}, and only Rego is evaluated here`,
      'Add an entry with engine: Rego that says the same, or remove the template from the policy folder',
    );
  }
  return { v1: false, sources: readSources(document, kind, target, path) };
}

function readSources(
  { placeOf, textAt }: PolicyDocument,
  kind: string,
  holder: JsonObject,
  path: readonly PropertyKey[],
): TemplateSource[] {
  const { rego, libs } = holder;
  if (typeof rego !== 'string') {
    throw fault(placeOf([...path, 'rego']), `the template of ${kind} has no Rego`, 'Write it as rego: | …');
  }
  if (libs !== undefined && libs !== null && (!Array.isArray(libs) || libs.some((lib) => typeof lib !== 'string'))) {
    throw fault(placeOf([...path, 'libs']), 'libs is not a list of texts', 'Write each lib as a block of text');
  }
  const entry = { text: rego, ...textAt([...path, 'rego']) };
  const others = ((libs ?? []) as readonly string[]).map((text, i) => ({ text, ...textAt([...path, 'libs', i]) }));
  return [entry, ...others];
}

export function at(value: Json | undefined, path: readonly string[]): Json | undefined {
  let here = value;
  for (const key of path) here = isJsonObject(here) ? here[key] : undefined;
  return here;
}
