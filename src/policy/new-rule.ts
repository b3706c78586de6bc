import { CountersignError } from '../errors.js';
import type { Rule } from './decision.js';

export interface NewRule {
  /** `shop.owner`: an area, then a name; more parts are folders between. */
  readonly name: string;
  readonly kind: Rule['kind'];
  readonly scope: Rule['scope'];
  readonly severity: Rule['severity'];
  readonly controls: readonly string[];
}

export interface NewFiles {
  /** Paths below the policy folder. */
  readonly rule: { readonly path: string; readonly text: string };
  readonly test: { readonly path: string; readonly text: string };
}

const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*(\.[a-z][a-z0-9]*(-[a-z0-9]+)*)+$/;
/** Words of Rego that are no part of a package's name. */
const KEYWORDS = new Set('as contains data default else every false if import in input not null package some true with'.split(' ')); // prettier-ignore

/**
 * A rule to begin with and its test, which passes: by a convention that every team understands and few have written down. What it
 * says is to be replaced; what it shows (metadata, message and fix, a test of what passes, of what fails and of what tries to evade) is to
 * stay. Throws `usage` for a name that cannot be a package.
 */
export function newRule({ name, kind, scope, severity, controls }: NewRule): NewFiles {
  const parts = name.split('.').map((part) => part.replaceAll('-', '_'));
  const keyword = parts.find((part) => KEYWORDS.has(part));
  if (!NAME.test(name) || keyword !== undefined) {
    const why = keyword === undefined ? `"${name}" is no name of a rule` : `"${keyword}" is a word of Rego`;
    throw new CountersignError('usage', why, {
      remedy: 'Give an area and a name of small letters, digits and "-", as shop.owner or shop.image-age',
    });
  }
  const path = parts.join('/');
  const header = [
    '# METADATA',
    scope === 'object' ? '# title: Objects name their owner' : '# title: Commits say why',
    '# description: Say here what goes wrong without this rule.',
    '# custom:',
    `#   id: ${name}`,
    ...(scope === 'object'
      ? [
          '#   bad: "metadata: {name: cart}"',
          '#   good: "metadata: {name: cart, annotations: {example.org/owner: shop}}"',
        ]
      : ['#   bad: "tune cache"', '#   good: "tune cache, with a trailer `Reason: the shop was slow`"']),
    `#   severity: ${severity}`,
    `#   scope: ${scope}`,
    `#   controls: [${controls.map((control) => JSON.stringify(control)).join(', ')}]`,
  ];
  const of = { package: `countersign.${parts.join('.')}`, last: parts.at(-1)!, kind };
  const [rule, test] = scope === 'object' ? objectRule(of, header) : changeRule(of, header);
  return { rule: { path: `${path}.rego`, text: rule }, test: { path: `${path}_test.rego`, text: test } };
}

interface Names {
  readonly package: string;
  readonly last: string;
  readonly kind: Rule['kind'];
}

function objectRule({ package: name, last, kind }: Names, header: readonly string[]): [rule: string, test: string] {
  const rule = `package ${name}

${header.join('\n')}
${kind} contains result if {
	some change in input.changes
	change.op in {"create", "update"}
	not owned(change.after)
	result := {
		"msg": sprintf("%s %s names no owner", [change.object.kind, change.object.name]),
		"fix": "Add the annotation example.org/owner with the name of a team",
	}
}

owned(object) if regex.match(\`^[a-z][a-z-]*$\`, object.metadata.annotations["example.org/owner"])
`;
  const test = `package ${name}_test

import data.${name}

change(op, metadata) := {
	"op": op,
	"object": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "cart"},
	"before": null,
	"after": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata},
}

results(one) := found if {
	found := ${last}.${kind} with input as {"changes": [one]}
}

test_what_is_owned_passes if {
	count(results(change("create", {"name": "cart", "annotations": {"example.org/owner": "shop"}}))) == 0
}

test_what_is_not_is_named_and_told_what_to_do if {
	some result in results(change("update", {"name": "cart"}))
	result.msg == "ConfigMap cart names no owner"
	contains(result.fix, "example.org/owner")
}

test_an_owner_of_nothing_is_none if {
	every owner in ["", " ", "?", 1] {
		count(results(change("create", {"name": "cart", "annotations": {"example.org/owner": owner}}))) == 1
	}
}

test_what_is_deleted_needs_none if {
	count(results({"op": "delete", "object": {"kind": "ConfigMap", "name": "cart"}, "after": null})) == 0
}
`;
  return [rule, test];
}

function changeRule({ package: name, last, kind }: Names, header: readonly string[]): [rule: string, test: string] {
  const rule = `package ${name}

${header.join('\n')}
${kind} contains result if {
	some commit in input.commits
	count(commit.parents) < 2 # a merge repeats what its commits say
	not explained(commit)
	result := {
		"msg": sprintf("commit %s does not say why", [substring(commit.id, 0, 7)]),
		"commit": commit.id,
		"fix": "Add a trailer: git commit --amend --trailer 'Reason: …'",
	}
}

explained(commit) if {
	some reason in commit.trailers.Reason
	trim_space(reason) != ""
}
`;
  const test = `package ${name}_test

import data.${name}

commit(trailers) := {"id": "8be0d41c55a2a9f2f8e39d5bd9f5e3f4b2ad91c7", "parents": ["1f"], "trailers": trailers}

results(one) := found if {
	found := ${last}.${kind} with input as {"commits": [one]}
}

test_what_is_explained_passes if {
	count(results(commit({"Reason": ["the shop was slow"]}))) == 0
}

test_what_is_not_is_named_and_told_what_to_do if {
	some result in results(commit({}))
	result.msg == "commit 8be0d41 does not say why"
	result.commit == "8be0d41c55a2a9f2f8e39d5bd9f5e3f4b2ad91c7"
	contains(result.fix, "Reason")
}

test_a_reason_of_nothing_is_none if {
	every reasons in [[], [""], [" "]] {
		count(results(commit({"Reason": reasons}))) == 1
	}
}

test_a_merge_needs_none if {
	count(results(object.union(commit({}), {"parents": ["1f", "2a"]}))) == 0
}
`;
  return [rule, test];
}
