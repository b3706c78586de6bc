package main

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Rules that OPA answers an API server with, in `package kubernetes.admission` as its documentation has them or in any other: their
// input is an AdmissionReview, and no object of Kubernetes has a `request` of its own.
const admissionPackage = "kubernetes.admission"

func isAdmission(c *ast.Compiler, r Rule) bool {
	if r.Package == admissionPackage || strings.HasPrefix(r.Package, admissionPackage+".") {
		return true
	}
	for _, clause := range compiledClauses(c, r) {
		if readsInput(c, clause, "request", map[any]bool{}) {
			return true
		}
	}
	return false
}

// admissionRules are the aggregate's own: the sets, under a review that is made of one member of `input.changes`. What a delete is asked
// about are the sets that look for one; a webhook is asked of creates and updates alone unless its owner says more.
func admissionRules(sets []string, ofDelete []bool) string {
	deletes := make([]string, len(sets))
	for i, set := range sets {
		deletes[i] = "set()"
		if ofDelete[i] {
			deletes[i] = set
		}
	}
	return admissionReview + `
admission := sets if {
	input.op != "delete"
	sets := [` + strings.Join(sets, ", ") + `] with input as admission_review
}

admission := sets if {
	input.op == "delete"
	sets := [` + strings.Join(deletes, ", ") + `] with input as admission_review
}
`
}

// As the API server would ask, for what could be known: who writes is not known before it is written. The name of a resource is guessed from its
// kind, as Kubernetes itself does where it has nothing better.
const admissionReview = `
admission_review := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"request": {
		"uid": "",
		"kind": {"group": admission_group, "version": admission_version, "kind": input.object.kind},
		"resource": {"group": admission_group, "version": admission_version, "resource": admission_resource(lower(input.object.kind))},
		"name": input.object.name,
		"namespace": input.object.namespace,
		"operation": upper(input.op),
		"userInfo": {},
		"object": input.after,
		"oldObject": input.before,
		"dryRun": false,
		"options": null,
	},
}

admission_group := split(input.object.apiVersion, "/")[0] if contains(input.object.apiVersion, "/")
else := ""

admission_version := split(input.object.apiVersion, "/")[1] if contains(input.object.apiVersion, "/")
else := input.object.apiVersion

admission_resource(kind) := "endpoints" if kind == "endpoints"
else := concat("", [kind, "es"]) if endswith(kind, "s")
else := concat("", [trim_suffix(kind, "y"), "ies"]) if endswith(kind, "y")
else := concat("", [kind, "s"])
`

// ofDelete says of each output whether one of its rules looks for deletes.
func ofDelete(c *ast.Compiler, rules []Rule, outputs []Output) []bool {
	found := make([]bool, len(outputs))
	for _, r := range rules {
		if r.Scope != scopeAdmission {
			continue
		}
		for _, clause := range compiledClauses(c, r) {
			if namesDelete(c, clause, map[any]bool{}) {
				found[slices.Index(outputs, Output{r.Package, r.Name})] = true
			}
		}
	}
	return found
}

// namesDelete says whether a rule, or what it calls, looks for the operation DELETE.
func namesDelete(c *ast.Compiler, r *ast.Rule, seen map[any]bool) bool {
	return someRule(c, r, seen, func(r *ast.Rule) (named bool) {
		ast.WalkTerms(r, func(t *ast.Term) bool {
			named = named || t.Value.Compare(ast.String("DELETE")) == 0
			return named
		})
		return named
	})
}

// readsInput says whether a rule, or what it calls, looks at a member of the input.
func readsInput(c *ast.Compiler, r *ast.Rule, member string, seen map[any]bool) bool {
	return someRule(c, r, seen, func(r *ast.Rule) (found bool) {
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			found = found || len(ref) > 1 && ref[0].Equal(ast.InputRootDocument) && ref[1].Value.Compare(ast.String(member)) == 0
			return found
		})
		return found
	})
}

// someRule says whether something is true of a rule or of what it calls.
func someRule(c *ast.Compiler, r *ast.Rule, seen map[any]bool, is func(*ast.Rule) bool) bool {
	if seen[r] {
		return false
	}
	seen[r] = true
	if is(r) {
		return true
	}
	for dependency := range c.Graph.Dependencies(r) {
		if other, ok := dependency.(*ast.Rule); ok && someRule(c, other, seen, is) {
			return true
		}
	}
	return false
}
