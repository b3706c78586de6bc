package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"
)

// strict finds what a policy says of the input that can never be: members that do not exist, by following each rule into its helpers, and
// what OPA's own type checker finds when it is told what the input is. Only packages countersign.<area> see that input.
func (q *Request) strict(c *ast.Compiler, modules map[string]*ast.Module, rules []Rule) (faults Faults) {
	if q.Schema == nil {
		return nil
	}
	told := map[string]bool{}
	tell := func(at *ast.Location, message, remedy string) {
		// The organisation's own repository answers for its rules, by its own settings.
		if at == nil || told[placeOf(at)+message] || strings.HasPrefix(at.File, organisation) {
			return
		}
		told[placeOf(at)+message], told[lineOf(at)] = true, true
		faults = append(faults, Fault{Code: "input_schema", File: at.File, Row: at.Row, Col: at.Col, Message: message, Remedy: remedy})
	}
	s := schema{q.Schema}
	for _, rule := range rules {
		if !rule.seesChange() {
			continue
		}
		reader := newReader(c)
		for _, clause := range compiledClauses(c, rule) {
			reader.walk(clause, nil, 0)
		}
		for _, r := range reader.reads {
			if r.path[0].name == "input" {
				if message, remedy := s.lacks(r.path); message != "" {
					tell(r.at, message, remedy)
				}
			}
		}
		for _, one := range reader.compared {
			if one.path[0].name == "input" {
				if message, remedy := s.never(one.path, one.text); message != "" {
					tell(one.at, message, remedy)
				}
			}
		}
	}
	for _, fault := range q.typeFaults(c, modules, rules) {
		if !told[fmt.Sprintf("%s:%d", fault.File, fault.Row)] {
			faults = append(faults, fault)
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Row - b.Row
	})
	return faults
}

func lineOf(l *ast.Location) string { return fmt.Sprintf("%s:%d", l.File, l.Row) }

// typeFaults compiles once more with the input's type known. What is said of files that others use, too, does not count: their input may be another.
func (q *Request) typeFaults(c *ast.Compiler, modules map[string]*ast.Module, rules []Rule) (faults Faults) {
	set := ast.NewSchemaSet()
	set.Put(ast.SchemaRootRef, q.Schema)
	typed := ast.NewCompiler().SetErrorLimit(0).WithCapabilities(q.capabilities()).WithSchemas(set).
		WithEnablePrintStatements(true).WithDefaultRegoVersion(q.version())
	sources := map[string]*ast.Module{}
	for file, m := range modules {
		if !isTest(file) {
			sources[file] = m
		}
	}
	if typed.Compile(sources); !typed.Failed() {
		return nil
	}
	ours := seen(c, rules, false)
	others := seen(c, rules, true)
	for _, e := range typed.Errors {
		if e.Location == nil || !ours[e.Location.File] || others[e.Location.File] || strings.HasPrefix(e.Location.File, organisation) {
			continue
		}
		f := Fault{Code: "input_schema", File: e.Location.File, Row: e.Location.Row, Col: e.Location.Col, Message: e.Message,
			Remedy: "Correct what it reads; countersign policy schema prints what the input is"}
		var invalid *ast.RefErrInvalidDetail
		if detail, ok := e.Details.(*ast.RefErrInvalidDetail); ok {
			invalid = detail
		}
		if invalid != nil && len(invalid.OneOf) > 0 {
			var names []string
			for _, one := range invalid.OneOf {
				names = append(names, strings.Trim(one.String(), `"`))
			}
			parent := plainRef(invalid.Ref[:invalid.Pos])
			name := strings.Trim(invalid.Ref[invalid.Pos].String(), `"`)
			f.Message, f.Remedy = parent+"."+name+" does not exist", suggestion(parent, name, names)
		} else if e.Details != nil {
			f.Message += ": " + strings.Join(e.Details.Lines(), ", ")
		}
		faults = append(faults, f)
	}
	return faults
}

// plainRef is a reference as its author wrote it, as far as that is known.
func plainRef(ref ast.Ref) string {
	text := ref.String()
	if strings.HasPrefix(text, "__local") {
		_, rest, _ := strings.Cut(text[2:], "__")
		return "…" + rest
	}
	return text
}

// seen are the files of rules, and of what those use, that see the input as Countersign gives it; or of the other ones.
func seen(c *ast.Compiler, rules []Rule, others bool) map[string]bool {
	files := map[string]bool{}
	done := map[*ast.Rule]bool{}
	var follow func(r *ast.Rule)
	follow = func(r *ast.Rule) {
		if done[r] {
			return
		}
		done[r] = true
		files[r.Location.File] = true
		for dependency := range c.Graph.Dependencies(r) {
			if other, ok := dependency.(*ast.Rule); ok {
				follow(other)
			}
		}
	}
	for _, rule := range rules {
		if rule.seesChange() != others {
			for _, clause := range compiledClauses(c, rule) {
				follow(clause)
			}
		}
	}
	return files
}

// schema is a JSON Schema as far as the input's needs it: properties, additionalProperties, items, anyOf, $ref, enum, const.
type schema struct{ root any }

// open are the schemas that a place may have; any of them true means that anything may be there.
func (s schema) open(node any) (found []map[string]any, anything bool) {
	m, ok := node.(map[string]any)
	if !ok {
		return nil, node != false
	}
	if ref, ok := m["$ref"].(string); ok {
		target := s.root
		for _, part := range strings.Split(strings.TrimPrefix(strings.TrimPrefix(ref, "#"), "/"), "/") {
			if inner, ok := target.(map[string]any); ok && part != "" {
				target = inner[part]
			}
		}
		return s.open(target)
	}
	if list, ok := m["anyOf"].([]any); ok {
		for _, one := range list {
			inner, any := s.open(one)
			found, anything = append(found, inner...), anything || any
		}
		return found, anything
	}
	if m["type"] == nil && m["enum"] == nil && m["const"] == nil {
		return nil, true
	}
	return []map[string]any{m}, false
}

// at follows one step. The names are those that there are where the step leads nowhere.
func (s schema) at(node any, to step) (next []any, names []string) {
	found, anything := s.open(node)
	if anything {
		return []any{true}, nil
	}
	for _, m := range found {
		switch m["type"] {
		case "object":
			properties, _ := m["properties"].(map[string]any)
			more, said := m["additionalProperties"]
			names = append(names, sortedKeys(properties)...)
			if inner, ok := properties[to.name]; ok && !to.any {
				next = append(next, inner)
				continue
			}
			if to.any {
				for _, name := range sortedKeys(properties) {
					next = append(next, properties[name])
				}
			}
			switch {
			case !said && len(properties) == 0:
				next = append(next, true)
			case said && more != false:
				next = append(next, more)
			}
		case "array":
			if to.any {
				next = append(next, m["items"])
			}
		}
	}
	return next, names
}

// lacks says that a path does not exist, and what to write.
func (s schema) lacks(path []step) (message, remedy string) {
	nodes := []any{s.root}
	for i, to := range path[1:] {
		var next []any
		var names []string
		for _, node := range nodes {
			inner, there := s.at(node, to)
			next, names = append(next, inner...), append(names, there...)
		}
		if len(next) == 0 {
			parent := pathText(path[:i+1])
			if len(names) == 0 {
				return fmt.Sprintf("%s has no members, and %s is read", parent, pathText(path[:i+2])), "Read " + parent + " itself; countersign policy schema prints what the input is"
			}
			return pathText(path[:i+2]) + " does not exist", suggestion(parent, to.name, names)
		}
		nodes = next
	}
	return "", ""
}

// never says that a path is compared with a text that it never is.
func (s schema) never(path []step, text string) (message, remedy string) {
	nodes := []any{s.root}
	for _, to := range path[1:] {
		var next []any
		for _, node := range nodes {
			inner, _ := s.at(node, to)
			next = append(next, inner...)
		}
		nodes = next
	}
	var known []string
	for _, node := range nodes {
		found, anything := s.open(node)
		if anything {
			return "", ""
		}
		for _, m := range found {
			list, _ := m["enum"].([]any)
			if one, ok := m["const"]; ok {
				list = []any{one}
			}
			if list == nil && m["type"] != "null" {
				return "", ""
			}
			for _, one := range list {
				if name, ok := one.(string); ok {
					known = append(known, name)
				}
			}
		}
	}
	if len(known) == 0 || slices.Contains(known, text) {
		return "", ""
	}
	remedy = "It is one of " + strings.Join(sortedSet(known), ", ")
	if near := nearest(text, known); near != "" {
		remedy = fmt.Sprintf("Did you mean %q?", near)
	}
	return fmt.Sprintf("%s is never %q", pathText(path), text), remedy
}

func suggestion(parent, name string, names []string) string {
	member := func(one string) string {
		if ast.IsVarCompatibleString(one) {
			return parent + "." + one
		}
		return fmt.Sprintf("%s[%q]", parent, one)
	}
	if near := nearest(name, names); near != "" {
		return "Did you mean " + member(near) + "?"
	}
	return parent + " has " + strings.Join(sortedSet(names), ", ")
}

// nearest is the name that was probably meant, or nothing.
func nearest(name string, names []string) string {
	best, distance := "", (len(name)+2)/3+1
	for _, one := range sortedSet(names) {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(one)); d < distance {
			best, distance = one, d
		}
	}
	return best
}

func sortedSet(names []string) []string {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return sortedKeys(set)
}
