package main

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// Builtins whose result does not depend on the order of what they are given.
var orderless = []string{"sort", "count", "sum", "product", "max", "min", "any", "all", "array.concat"}

// lint finds what compiles but is slow or unstable as Wasm, and what lacks metadata.
func (q *Request) lint(modules map[string]*ast.Module) (*Response, error) {
	// What the parsed modules say of calls, before the compiler takes them apart.
	sorted := map[string]bool{}
	for _, m := range modules {
		noteSorted(m, sorted)
	}
	// Said here with the rest, not instead of it.
	strict := *q
	q.Schema = nil
	c, rules, err := q.check(modules)
	if err != nil {
		return nil, err
	}
	found := append(q.unused(modules), strict.strict(c, modules, rules)...)
	seen := map[string]bool{}
	add := func(l *ast.Location, code, message, remedy string) {
		key := fmt.Sprint(code, l.File, l.Row)
		if l == nil || seen[key] || sorted[placeOf(l)] && code == "unsorted" {
			return
		}
		seen[key] = true
		found = append(found, Fault{Code: code, File: l.File, Row: l.Row, Col: l.Col, Message: message, Remedy: remedy})
	}
	const unsorted = "a set's order is its own: the text or list made of it here may differ from OPA's"
	for _, file := range sortedKeys(c.Modules) {
		if isTest(file) {
			continue
		}
		native := isNative(c.Modules[file].Package.Path)
		for _, r := range c.Modules[file].Rules {
			name := r.Head.Name.String()
			if r.Head.Key != nil && r.Head.Value == nil && kindOf(name, native) == "" && isObject(c.TypeEnv.GetByValue(r.Head.Key.Value)) {
				add(r.Location, "objects-in-set", name+" is a set of objects: each is hashed, which costs a third more", "Make it a list: "+name+" := [x | …]")
			}
			ast.WalkTerms(r, func(t *ast.Term) bool {
				switch x := t.Value.(type) {
				case *ast.SetComprehension:
					if isObject(c.TypeEnv.GetByValue(x.Term.Value)) {
						add(t.Location, "objects-in-set", "objects are collected in a set: each is hashed, which costs a third more", "Collect them in a list: [x | …]")
					}
				case *ast.ArrayComprehension:
					if overSet(c.TypeEnv, x.Body) {
						add(t.Location, "unsorted", unsorted, "Put sort( … ) around it")
					}
				}
				return false
			})
			// The compiler gives operands names of their own.
			local := map[string]ast.Value{}
			ast.WalkExprs(r, func(e *ast.Expr) bool {
				if e.IsEquality() {
					if name, ok := e.Operand(0).Value.(ast.Var); ok {
						local[string(name)] = e.Operand(1).Value
					}
				}
				return false
			})
			ast.WalkExprs(r, func(e *ast.Expr) bool {
				if e.IsCall() && slices.Contains([]string{"concat", "json.marshal"}, e.Operator().String()) {
					for _, operand := range e.Operands() {
						value := operand.Value
						if name, ok := value.(ast.Var); ok && local[string(name)] != nil {
							value = local[string(name)]
						}
						_, collected := value.(*ast.SetComprehension)
						if collected || isSet(c.TypeEnv.GetByValue(value)) {
							add(e.Location, "unsorted", unsorted, "Give it sort( … ) of the set")
						}
					}
				}
				return false
			})
		}
	}
	for _, r := range rules {
		if r.Starter {
			continue
		}
		switch {
		case r.Title == "":
			add(r.clause.Location, "metadata", r.Id+" has no title: reports show its name only", "Add a METADATA block with title and custom.id, severity and controls; docs/rules.md shows what that gives")
		case r.seesChange() && r.Id == r.Package+"."+r.Name:
			add(r.clause.Location, "metadata", r.Id+" has no custom.id: exceptions and reports name it by its package, which may move", "Add custom.id to its METADATA")
		}
	}
	slices.SortStableFunc(found, func(a, b Fault) int {
		if a.File != b.File {
			if a.File < b.File {
				return -1
			}
			return 1
		}
		return a.Row - b.Row
	})
	return &Response{Findings: found}, nil
}

func noteSorted(m *ast.Module, into map[string]bool) {
	note := func(operator string, operands []*ast.Term) {
		if !slices.Contains(orderless, operator) {
			return
		}
		for _, operand := range operands {
			if _, ok := operand.Value.(*ast.ArrayComprehension); ok && operand.Location != nil {
				into[placeOf(operand.Location)] = true
			}
		}
	}
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Expr:
			if x.IsCall() {
				note(x.Operator().String(), x.Operands())
			}
		case *ast.Term:
			if call, ok := x.Value.(ast.Call); ok && len(call) > 0 {
				note(call[0].Value.String(), call[1:])
			}
		}
		return false
	}).Walk(m)
}

func placeOf(l *ast.Location) string { return fmt.Sprintf("%s:%d:%d", l.File, l.Row, l.Col) }

// overSet says whether a body goes through the members of a set.
func overSet(env *ast.TypeEnv, body ast.Body) (found bool) {
	for _, e := range body {
		ast.WalkRefs(e, func(ref ast.Ref) bool {
			for i := 1; i < len(ref); i++ {
				_, isVar := ref[i].Value.(ast.Var)
				var head ast.Value = ref[:i]
				if i == 1 {
					head = ref[0].Value
				}
				if isVar && isSet(env.GetByValue(head)) {
					found = true
				}
			}
			return found
		})
	}
	return found
}

func isSet(t types.Type) bool {
	_, ok := t.(*types.Set)
	return ok
}

func isObject(t types.Type) bool {
	_, ok := t.(*types.Object)
	return ok
}
