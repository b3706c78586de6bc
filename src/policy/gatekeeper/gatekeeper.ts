import type { Json, JsonObject, KubernetesObject } from '../../cluster/object.js';
import type { Place } from '../../errors.js';
import type { RuleSet } from '../bundle.js';
import type { Rule } from '../decision.js';
import { type Constraint, ENFORCEMENT_POINTS, readConstraint, SchemaBreach, SUITE_POINTS } from './constraint.js';
import { type Fault, fault, faultsError, Faulty, type PolicyDocument, readDocuments } from './document.js';
import { type Expansion, expansionOrder, readExpansion } from './expansion.js';
import { ORGANISATION_PREFIX } from '../organisation.js';
import { glueOf, needsNamespaces } from './glue.js';
import type { Match } from './match.js';
import { readSync, type SyncSettings } from './sync.js';
import { readTemplate, type Template, type TemplateSource } from './template.js';

/** How much of the environment templates and constraints look at besides the object itself. */
export type InventoryNeed = 'namespaces' | 'all';

/** What the compiler makes part of a bundle. Plain data. */
export interface GatekeeperSources {
  readonly templates: readonly {
    readonly kind: string;
    readonly file: string;
    readonly v1: boolean;
    readonly sources: readonly TemplateSource[];
  }[];
  /** Rego of package countersign__gatekeeper. */
  readonly glue: string;
  readonly rules: readonly Rule[];
  /** In the order of the glue's results. */
  readonly outputs: readonly RuleSet[];
  readonly inventory?: InventoryNeed;
  /** What is read of the live cluster. */
  readonly sync?: SyncSettings;
}

/** Gatekeeper's own objects by what they are. */
export interface GatekeeperDocuments {
  readonly templates: readonly PolicyDocument[];
  readonly constraints: readonly PolicyDocument[];
  readonly expansions: readonly PolicyDocument[];
  /** Config and SyncSets. */
  readonly syncs?: readonly PolicyDocument[];
}

/** Whether a file of a policy folder may hold objects of Gatekeeper. Data files are read as data. */
export function mayHoldGatekeeper(path: string): boolean {
  return /\.(ya?ml|json)$/.test(path) && !/(^|\/)data\.(ya?ml|json)$/.test(path);
}

/** Reads what Gatekeeper knows in these files, and nothing else. Throws `manifest-malformed` and its kin, with the place. */
function gatekeeperDocuments(
  files: Iterable<readonly [string, string]>,
): GatekeeperDocuments & { readonly suites: readonly PolicyDocument[] } {
  const found = { templates: [], constraints: [], expansions: [], suites: [], syncs: [] } as Record<
    string,
    PolicyDocument[]
  >;
  for (const [path, text] of files) {
    // Cheaper than reading: most YAML of a repository is no policy.
    if (!mayHoldGatekeeper(path) || !text.includes('gatekeeper.sh/')) continue;
    for (const document of readDocuments(path, text)) {
      const { group } = document;
      if (group === 'templates.gatekeeper.sh') found['templates'].push(document);
      else if (group === 'constraints.gatekeeper.sh') found['constraints'].push(document);
      else if (group === 'expansion.gatekeeper.sh') found['expansions'].push(document);
      else if (group === 'test.gatekeeper.sh') found['suites'].push(document);
      else if (group === 'config.gatekeeper.sh' || group === 'syncset.gatekeeper.sh') found['syncs'].push(document);
    }
  }
  return found as unknown as ReturnType<typeof gatekeeperDocuments>;
}

/**
 * The templates and constraints of a policy folder, ready to be compiled; undefined if there are none. What lies in a folder
 * `samples` beside a suite is for that suite's tests, as in Gatekeeper's own library, and not in force.
 * Throws `constraint-invalid` that names every fault with its place.
 */
export function readGatekeeper(files: ReadonlyMap<string, string>): GatekeeperSources | undefined {
  const all = gatekeeperDocuments(files);
  const samples = all.suites.map(({ place }) => `${place.file.replace(/[^/]*$/, '')}samples/`);
  const inForce = ({ place }: PolicyDocument) => !samples.some((folder) => place.file.startsWith(folder));
  return assemble({
    templates: all.templates.filter(inForce),
    constraints: all.constraints.filter(inForce),
    expansions: all.expansions.filter(inForce),
    syncs: all.syncs?.filter(inForce) ?? [],
  });
}

/** The same of given documents. Throws as `readGatekeeper`. */
export function assemble(
  documents: GatekeeperDocuments,
  points: readonly string[] = ENFORCEMENT_POINTS,
): GatekeeperSources | undefined {
  const { syncs = [] } = documents;
  if (documents.templates.length + documents.constraints.length + documents.expansions.length + syncs.length === 0)
    return undefined;
  const faults: Fault[] = [];
  let breach: SchemaBreach | undefined;
  const collect = <T>(read: () => T): T[] => {
    try {
      return [read()];
    } catch (thrown) {
      if (!(thrown instanceof Faulty)) throw thrown;
      if (thrown instanceof SchemaBreach) breach = thrown;
      faults.push(...thrown.faults);
      return [];
    }
  };
  const templates = new Map<string, Template>();
  const named = new Set<string>(); // broken ones too, so that their constraints are not said to have none
  for (const document of documents.templates) {
    for (const template of collect(() => unused(templates, readTemplate(document))))
      templates.set(template.kind, template);
    named.add(kindIn(document.value));
  }
  const constraints: Constraint[] = [];
  for (const document of documents.constraints) {
    const { kind } = document;
    const template = templates.get(kind);
    if (!template && named.has(kind)) continue;
    constraints.push(
      ...collect(() => unlike(constraints, readConstraint(document, template ?? missing(document, kind), points))),
    );
  }
  const expansions = documents.expansions.flatMap((document) => collect(() => readExpansion(document)));
  const ordered = collect(() => expansionOrder(expansions)).flat();
  const [synced] = collect(() => readSync(syncs));
  if (breach && points === SUITE_POINTS) throw breach; // what a suite may expect
  if (faults.length > 0) throw faultsError(faults);
  // What a repository exempts is exempt from its own constraints; those above it go by what is said there.
  const led = constraints.some(isAbove);
  const above = led ? readSync(syncs.filter(isAbove)) : synced;
  const about = constraints.map((one) => ({ ...one, match: without(one.match, (isAbove(one) ? above : synced).exempt) })); // prettier-ignore
  const excludedNamespaces = above.sync?.excludedNamespaces ?? [];
  const sync = synced.sync && (led ? { ...synced.sync, excludedNamespaces } : synced.sync);
  return { ...sourcesOf([...templates.values()], about, ordered), ...(sync ? { inventory: 'all', sync } : {}) };
}

const isAbove = ({ place }: { readonly place: Place }): boolean => place.file.startsWith(ORGANISATION_PREFIX);

/** Exempt from all constraints is what each of them could have excluded. */
function without(match: Match, namespaces: readonly string[]): Match {
  if (namespaces.length === 0) return match;
  return { ...match, excludedNamespaces: [...new Set([...match.excludedNamespaces, ...namespaces])] };
}

function unused(templates: ReadonlyMap<string, Template>, template: Template): Template {
  const other = templates.get(template.kind);
  if (!other) return template;
  const message = `the template of ${template.kind} is written twice, here and at ${other.place.file}:${other.place.line ?? 1}`;
  throw fault(template.place, message, 'Keep one of the two');
}

function unlike(constraints: readonly Constraint[], constraint: Constraint): Constraint {
  const other = constraints.find(({ kind, name }) => kind === constraint.kind && name === constraint.name);
  if (!other) return constraint;
  const message = `the constraint ${constraint.kind} ${constraint.name} is written twice, here and at ${other.place.file}:${other.place.line ?? 1}`;
  throw fault(constraint.place, message, 'Keep one of the two');
}

function missing({ placeOf }: PolicyDocument, kind: string): never {
  throw fault(placeOf(['kind']), `there is no template of ${kind} in the policy folder`, 'Add its ConstraintTemplate');
}

function kindIn(value: JsonObject): string {
  let here: Json | undefined = value;
  for (const key of ['spec', 'crd', 'spec', 'names', 'kind']) here = (here as JsonObject | undefined)?.[key];
  return typeof here === 'string' ? here : '';
}

function sourcesOf(
  templates: readonly Template[],
  constraints: readonly Constraint[],
  expansions: readonly Expansion[],
): GatekeeperSources {
  const reads = (kind: string, word: string) =>
    templates.find((one) => one.kind === kind)!.sources.some(({ text }) => text.includes(word));
  const parts = {
    constraints: constraints.map((one) => ({ ...one, judgesDeletes: reads(one.kind, '"DELETE"') })),
    expansions,
  };
  const inventory: InventoryNeed | undefined = constraints.some(({ kind }) => reads(kind, 'inventory'))
    ? 'all'
    : constraints.some(({ match }) => needsNamespaces(match)) ||
        constraints.some(({ kind }) => reads(kind, 'namespaceObject'))
      ? 'namespaces'
      : undefined;
  const ruled = constraints.map((one) => constraintRule(one, templates));
  const expanding = expansions.map(expansionRule);
  return {
    templates: templates.map(({ kind, place, v1, sources }) => ({ kind, file: place.file, v1, sources })),
    glue: glueOf(parts),
    rules: [...ruled, ...expanding].filter((rule) => rule !== undefined),
    outputs: [
      ...constraints.map(({ kind, name }) => ({ package: kind, name })),
      ...expansions.map(({ name }) => ({ package: EXPANSION, name })),
    ],
    ...(inventory ? { inventory } : {}),
  };
}

const EXPANSION = 'ExpansionTemplate';

/** None for a constraint that is enforced elsewhere. */
function constraintRule(constraint: Constraint, templates: readonly Template[]): Rule | undefined {
  const { kind, name, place, action, severity, controls } = constraint;
  if (action === 'none') return undefined;
  const { title, description } = templates.find((one) => one.kind === kind)!;
  return {
    id: `${kind}/${name}`,
    package: kind,
    name,
    kind: action === 'deny' ? 'deny' : 'warn',
    scope: 'object',
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    severity,
    controls,
    place,
    ...layerOf(place),
  };
}

function layerOf({ file }: Place): Pick<Rule, 'starter' | 'organisation'> {
  return { starter: false, ...(isAbove({ place: { file } }) ? { organisation: true } : {}) };
}

function expansionRule({ name, place, action }: Expansion): Rule {
  return {
    id: `${EXPANSION}/${name}`,
    package: EXPANSION,
    name,
    kind: action === undefined || action === 'deny' ? 'deny' : 'warn',
    scope: 'object',
    severity: 'medium',
    controls: [],
    place,
    ...layerOf(place),
  };
}

/** Objects as templates look for them under `data.inventory`. */
export function inventoryOf(objects: Iterable<KubernetesObject>, need: InventoryNeed): Json {
  const cluster: Tree = {};
  const namespace: Tree = {};
  for (const object of objects) {
    const { apiVersion, kind, metadata } = object;
    if (need === 'namespaces' && (kind !== 'Namespace' || apiVersion !== 'v1')) continue;
    const under = metadata.namespace ? branch(namespace, metadata.namespace) : cluster;
    branch(branch(under, apiVersion), kind)[metadata.name] = object;
  }
  return { cluster, namespace };
}

interface Tree {
  [key: string]: Tree | KubernetesObject;
}

function branch(tree: Tree, key: string): Tree {
  // Names come from manifests: one called __proto__ must be a name like any other.
  if (!Object.hasOwn(tree, key))
    Object.defineProperty(tree, key, { value: {}, enumerable: true, writable: true, configurable: true });
  return tree[key] as Tree;
}
