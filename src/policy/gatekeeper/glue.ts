import type { Constraint } from './constraint.js';
import type { Expansion } from './expansion.js';
import type { Match } from './match.js';

/** What the glue is made from, in the order of its results. */
export interface GlueParts {
  readonly constraints: readonly (Constraint & { readonly judgesDeletes: boolean })[];
  /** In the order of `expansionOrder`. */
  readonly expansions: readonly Expansion[];
}

/**
 * The Rego that calls the templates: for each constraint a set of `[result, file, row]` over the object under review and what it
 * expands to. That matching is Rego, too, makes it part of the Wasm that a decision names (invariant 4). `input` is one member of
 * `input.changes`, or a suite's case with a ready `review`.
 */
export function glueOf({ constraints, expansions }: GlueParts): string {
  const names = constraints.map(({ kind, name }) => `${kind}/${name}`);
  const parts = [
    PRELUDE,
    ...expansions.map((expansion, i) => expansionRules(expansion, i, expansions)),
    reviews(expansions.length),
    ...constraints.map((constraint, i) => constraintRules(constraint, i)),
    ...expansions.map((expansion, i) => ownResults(expansion, i, names)),
  ];
  const sets = [...constraints.map((_, i) => `gk_results_${i}`), ...expansions.map((_, i) => `gk_expansion_${i}`)];
  return `${parts.join('\n')}\nresults := [${sets.join(', ')}]\n`;
}

const json = (value: unknown): string => JSON.stringify(value);

/** Names begin with gk_, so that no variable shadows a function. */
const PRELUDE = `package countersign__gatekeeper

gk_operations := {"create": "CREATE", "update": "UPDATE", "delete": "DELETE"}

gk_object := input.before if input.op == "delete"
else := input.after

gk_group(thing) := split(thing.apiVersion, "/")[0] if contains(thing.apiVersion, "/")
else := ""

gk_version(thing) := split(thing.apiVersion, "/")[1] if contains(thing.apiVersion, "/")
else := thing.apiVersion

gk_kind(thing) := {"group": gk_group(thing), "version": gk_version(thing), "kind": thing.kind}

gk_resource := {"group": "", "version": "", "resource": ""}

# As the API server would ask, for what it could know: who writes is not known before it is written.
gk_original := input.review if input.review
else := gk_review(gk_object, input.before, gk_operations[input.op])

# As in a request, there is no namespace where it would be empty.
gk_review(thing, old, operation) := object.union(gk_base_namespace(thing), {
  "uid": "",
  "kind": gk_kind(thing),
  "resource": gk_resource,
  "name": thing.metadata.name,
  "operation": operation,
  "userInfo": {},
  "object": thing,
  "oldObject": old,
  "options": null,
})

gk_deletes if input.op == "delete"

gk_with_namespace(review) := object.union(review, {"namespaceObject": namespace}) if {
  namespace := data.inventory.cluster.v1.Namespace[review.namespace]
}
else := review

gk_objects(review) := [thing | some key in ["object", "oldObject"]; thing := review[key]; is_object(thing)]

gk_labels(thing) := labels if {
  labels := thing.metadata.labels
  is_object(labels)
}
else := {}

gk_is_namespace(thing) if {
  thing.kind == "Namespace"
  thing.apiVersion == "v1"
}

# '' for what is in no namespace.
gk_namespace(review, thing) := thing.metadata.name if gk_is_namespace(thing)
else := review.namespace if object.get(review, "namespace", "") != ""
else := object.get(thing.metadata, "namespace", "")

gk_glob(pattern, text) if pattern == text

gk_glob(pattern, text) if {
  startswith(pattern, "*")
  endswith(pattern, "*")
  contains(text, trim_suffix(trim_prefix(pattern, "*"), "*"))
}

gk_glob(pattern, text) if {
  startswith(pattern, "*")
  not endswith(pattern, "*")
  endswith(text, trim_prefix(pattern, "*"))
}

gk_glob(pattern, text) if {
  not startswith(pattern, "*")
  endswith(pattern, "*")
  startswith(text, trim_suffix(pattern, "*"))
}

gk_glob_any(patterns, text) if {
  some pattern in patterns
  gk_glob(pattern, text)
}

gk_named(pattern, thing) if gk_glob(pattern, thing.metadata.name)

gk_named(pattern, thing) if {
  endswith(pattern, "*")
  gk_glob(pattern, thing.metadata.generateName)
}

gk_selected(selector, labels) if {
  every key, value in object.get(selector, "matchLabels", {}) {
    labels[key] == value
  }
  every expression in object.get(selector, "matchExpressions", []) {
    gk_fits(expression, labels)
  }
}

gk_one_of(labels, expression) if labels[expression.key] in expression.values

gk_has(labels, key) if _ = labels[key]

gk_fits(expression, labels) if {
  expression.operator == "In"
  gk_one_of(labels, expression)
}

gk_fits(expression, labels) if {
  expression.operator == "NotIn"
  not gk_one_of(labels, expression)
}

gk_fits(expression, labels) if {
  expression.operator == "Exists"
  gk_has(labels, expression.key)
}

gk_fits(expression, labels) if {
  expression.operator == "DoesNotExist"
  not gk_has(labels, expression.key)
}

# Objects in no namespace are in any and in none: namespaces narrow nothing for them.
gk_in_any(patterns, namespace) if namespace == ""

gk_in_any(patterns, namespace) if gk_glob_any(patterns, namespace)

gk_in_some(patterns, namespace) if {
  namespace != ""
  gk_glob_any(patterns, namespace)
}

gk_cluster_scoped(review, thing) if gk_is_namespace(thing)

gk_cluster_scoped(review, thing) if gk_namespace(review, thing) == ""

gk_in_namespace(selector, review, thing) if {
  gk_is_namespace(thing)
  gk_selected(selector, gk_labels(thing))
}

gk_in_namespace(selector, review, thing) if {
  not gk_is_namespace(thing)
  gk_namespace(review, thing) == ""
}

gk_in_namespace(selector, review, thing) if {
  not gk_is_namespace(thing)
  gk_selected(selector, gk_namespace_labels(review, gk_namespace(review, thing)))
}

# Every namespace has this label, whether or not it is written.
gk_namespace_labels(review, name) := object.union({"kubernetes.io/metadata.name": name}, gk_labels(object.get(review, "namespaceObject", {}))) if name != ""

gk_unknown_namespace(review, thing) if {
  not gk_is_namespace(thing)
  gk_namespace(review, thing) != ""
  not review.namespaceObject
}

gk_expand(source, base, api_version, kind) := object.union(source, {
  "apiVersion": api_version,
  "kind": kind,
  "metadata": object.union_n([gk_metadata(source), gk_base_namespace(base), {
    "name": lower(concat("-", [base.metadata.name, kind])),
    "ownerReferences": array.concat([other | some other in object.get(gk_metadata(source), "ownerReferences", []); not gk_same(other, base)], [{
      "apiVersion": base.apiVersion,
      "kind": base.kind,
      "name": base.metadata.name,
    }]),
  }]),
})

gk_metadata(source) := source.metadata if is_object(source.metadata)
else := {}

gk_base_namespace(base) := {"namespace": namespace} if {
  namespace := base.metadata.namespace
  namespace != ""
}
else := {}

gk_same(owner, base) if {
  owner.apiVersion == base.apiVersion
  owner.kind == base.kind
  owner.name == base.metadata.name
}

# What has no text msg is handed on as it is, so that it is refused and not passed over.
gk_message(result, entry) := concat("", [entry.implied, result.msg]) if is_string(result.msg)
else := object.get(result, "msg", null)

gk_details(result) := {"details": result.details} if result.details != {}
else := {}

gk_value(result, entry, file, row) := object.union(
  {"msg": gk_message(result, entry), "template": {"file": file, "line": row}},
  gk_details(result),
) if is_object(result)
else := result

gk_also(value, more) := object.union(value, more) if is_object(value)
else := value
`;

function reviews(expansions: number): string {
  const others = Array.from({ length: expansions }, (_, i) => `gk_expanded_${i}`);
  return `gk_first := {"review": gk_with_namespace(gk_original), "source": "Original", "implied": "", "overridden": ""}

gk_reviews := ${['[gk_first]', ...others].reduce((all, next) => `array.concat(${all}, ${next})`)}
`;
}

/** The conditions of a match on `entry` and one of its objects, without the one on labels of the namespace. */
function conditions(match: Match, i: number): string[] {
  const lines: string[] = [];
  if (match.source !== 'All') lines.push(`entry.source == ${json(match.source)}`);
  lines.push('some thing in gk_objects(entry.review)');
  if (match.kinds.length > 0) lines.push(`gk_kinds_${i}(thing)`);
  if (match.scope === 'Cluster') lines.push('gk_cluster_scoped(entry.review, thing)');
  if (match.scope === 'Namespaced') lines.push('not gk_cluster_scoped(entry.review, thing)');
  if (match.namespaces.length > 0 || match.excludedNamespaces.length > 0) {
    lines.push('namespace := gk_namespace(entry.review, thing)');
  }
  if (match.namespaces.length > 0) lines.push(`gk_in_any(${json(match.namespaces)}, namespace)`);
  if (match.excludedNamespaces.length > 0) lines.push(`not gk_in_some(${json(match.excludedNamespaces)}, namespace)`);
  if (match.labelSelector) lines.push(`gk_selected(${json(match.labelSelector)}, gk_labels(thing))`);
  if (match.name !== undefined) lines.push(`gk_named(${json(match.name)}, thing)`);
  return lines;
}

function kindRules(match: Match, i: number): string {
  return match.kinds
    .map(({ apiGroups, kinds }) => {
      const lines = [
        ...(any(kinds) ? [] : [`thing.kind in ${set(kinds)}`]),
        ...(any(apiGroups) ? [] : [`gk_group(thing) in ${set(apiGroups)}`]),
      ];
      return `gk_kinds_${i}(thing) if {\n  ${(lines.length > 0 ? lines : ['is_object(thing)']).join('\n  ')}\n}\n`;
    })
    .join('\n');
}

const any = (list: readonly string[]): boolean => list.length === 0 || list.includes('*');
const set = (texts: readonly string[]): string => `{${texts.map(json).join(', ')}}`;

function constraintRules(constraint: GlueParts['constraints'][number], i: number): string {
  const { kind, name, place, match, parameters, action, judgesDeletes } = constraint;
  if (action === 'none') return `gk_found_${i} := set()\n\ngk_results_${i} := set()\n`;
  const at = `${json(place.file)}, ${place.line ?? 1}`;
  const live = judgesDeletes ? [] : ['not gk_deletes'];
  const plain = conditions(match, i);
  const selector = match.namespaceSelector && json(match.namespaceSelector);
  const needsLabels = needsNamespaces(match);
  const matched = [...plain, ...(selector ? [`gk_in_namespace(${selector}, entry.review, thing)`] : [])];
  const plainValue = 'gk_value(result, entry, file, row)';
  const value = action === 'dryrun' ? `gk_also(${plainValue}, {"enforcementAction": "dryrun"})` : plainValue;
  const rules = [
    kindRules(match, i),
    `gk_match_${i}(entry) if {\n  ${matched.join('\n  ')}\n}\n`,
    `gk_found_${i} contains [entry.overridden, value] if {
  ${[...live, 'some entry in gk_reviews', `gk_match_${i}(entry)`].join('\n  ')}
  results := data.countersign__templates[${json(kind)}].countersign__violation with input as {"review": entry.review, "parameters": ${json(parameters)}}
  some [result, file, row] in results
  value := ${value}
}
`,
    `gk_results_${i} contains [value, ${at}] if some ["", value] in gk_found_${i}\n`,
  ];
  if (needsLabels) {
    const message = `it cannot be told whether ${kind} ${name} is about this object: it selects namespaces by label, and the namespace is not described here`;
    rules.push(`gk_results_${i} contains [{"msg": ${json(message)}, "fix": "Describe the Namespace in this environment"}, ${at}] if {
  ${[...live, 'some entry in gk_reviews', ...plain, 'gk_unknown_namespace(entry.review, thing)'].join('\n  ')}
}
`);
  }
  return rules.join('\n');
}

const NAME_LABEL = 'kubernetes.io/metadata.name';

/** Whether the namespace's own object must be known; every namespace has a label with its name. */
export function needsNamespaces({ namespaceSelector }: Match): boolean {
  if (!namespaceSelector) return false;
  const { matchLabels = {}, matchExpressions = [] } = namespaceSelector as {
    readonly matchLabels?: Record<string, string>;
    readonly matchExpressions?: readonly { readonly key: string }[];
  };
  return [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)].some((key) => key !== NAME_LABEL);
}

/** Rules for one ExpansionTemplate: the entries that it adds to those under review. */
function expansionRules(expansion: Expansion, i: number, all: readonly Expansion[]): string {
  const { name, templateSource, generated, action } = expansion;
  // Ordered so that whatever gives rise to what this one applies to comes before it.
  const bases = all.slice(0, i).map((_, j) => `gk_expanded_${j}`);
  const apiVersion = generated.group ? `${generated.group}/${generated.version}` : generated.version;
  const first = '[{"review": gk_original, "source": "Original", "implied": "", "overridden": ""}]';
  return `gk_bases_${i} := [base.review.object |
  some base in ${[first, ...bases].reduce((list, next) => `array.concat(${list}, ${next})`)}
  gk_applies_${i}(base.review.object)
]

${expansion.applyTo
  .map(
    ({ groups, versions, kinds }) => `gk_applies_${i}(thing) if {
  gk_group(thing) in ${set(groups)}
  gk_version(thing) in ${set(versions)}
  thing.kind in ${set(kinds)}
}
`,
  )
  .join('\n')}
gk_expanded_${i} := [entry |
  some base in gk_bases_${i}
  source := object.get(base, ${json(templateSource)}, null)
  is_object(source)
  expanded := gk_expand(source, base, ${json(apiVersion)}, ${json(generated.kind)})
  entry := {
    "review": gk_with_namespace(gk_review(expanded, null, object.get(gk_original, "operation", ""))),
    "source": "Generated",
    "implied": ${json(`[Implied by ${name}] `)},
    "overridden": ${json(action === undefined ? '' : `expansion ${i}`)},
  }
]
`;
}

/** What is said in the name of an ExpansionTemplate: what it could not expand, and what its own enforcement action applies to. */
function ownResults(expansion: Expansion, i: number, names: readonly string[]): string {
  const at = `${json(expansion.place.file)}, ${expansion.place.line ?? 1}`;
  const missing = json(`there is no ${expansion.templateSource.join('.')} that ${expansion.name} could expand`);
  const rules = [
    `gk_expansion_${i} contains [{"msg": ${missing}}, ${at}] if {
  not gk_deletes
  some base in gk_bases_${i}
  not is_object(object.get(base, ${json(expansion.templateSource)}, null))
}
`,
  ];
  if (expansion.action !== undefined && expansion.action !== 'none') {
    for (let c = 0; c < names.length; c++) {
      rules.push(`gk_expansion_${i} contains [value, ${at}] if {
  some [${json(`expansion ${i}`)}, found] in gk_found_${c}
  value := gk_also(found, {"constraint": ${json(names[c])}})
}
`);
    }
  }
  return rules.join('\n');
}
