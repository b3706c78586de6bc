package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// What a decision may not depend on: with these the same input could give another result tomorrow.
var refused = map[string]string{
	"http.send":          "Put what it would fetch into data.yaml, or ask for it as a check of the change (input.checks)",
	"net.lookup_ip_addr": "Put the addresses into data.yaml",
	"opa.runtime":        "Put the setting into data.yaml",
	"rand.intn":          "Derive the value from the input, for example from a digest of input.head",
	"uuid.rfc4122":       "Derive the value from the input, for example from a digest of input.head",
}

func (q *Request) version() ast.RegoVersion {
	if q.V0 {
		return ast.RegoV0
	}
	return ast.RegoV1
}

func (q *Request) capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(q.version()))
	if q.Impure {
		return c
	}
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return refused[b.Name] != "" })
	c.AllowNet = []string{}
	return c
}

// parse reads every .rego file; all faults of all files come back at once.
func (q *Request) parse() (map[string]*ast.Module, error) {
	modules := map[string]*ast.Module{}
	var faults Faults
	for _, name := range sortedKeys(q.Files) {
		if !strings.HasSuffix(name, ".rego") {
			continue
		}
		m, err := ast.ParseModuleWithOpts(name, q.Files[name], ast.ParserOptions{
			ProcessAnnotation: true, RegoVersion: q.version(), Capabilities: q.capabilities(),
		})
		if err != nil {
			var list ast.Errors
			if !errors.As(err, &list) {
				return nil, err
			}
			faults = append(faults, q.hint(name, faultsOf(list))...)
			continue
		}
		if m == nil {
			continue // nothing but comments
		}
		if !q.Impure {
			faults = append(faults, refusals(m)...)
		}
		modules[name] = m
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return modules, nil
}

// hint says so if a file that does not parse is Rego of the other version.
func (q *Request) hint(name string, faults Faults) Faults {
	other, remedy := ast.RegoV0, "This is Rego v0. Write `if` before bodies and `contains` for sets, as `opa fmt --v0-v1` does"
	if q.V0 {
		other, remedy = ast.RegoV1, "This is Rego v1, read as v0. Say that it is v1"
	}
	if _, err := ast.ParseModuleWithOpts(name, q.Files[name], ast.ParserOptions{RegoVersion: other}); err == nil {
		for i := range faults {
			faults[i].Remedy = remedy
		}
	}
	return faults
}

// refusals finds calls of refused builtins. The capabilities lack them too; this only words it better.
func refusals(m *ast.Module) (faults Faults) {
	look := func(operator *ast.Term) {
		ref, ok := operator.Value.(ast.Ref)
		if !ok {
			return
		}
		if remedy := refused[ref.String()]; remedy != "" {
			l := operator.Location
			faults = append(faults, Fault{
				Code: "refused_builtin", File: l.File, Row: l.Row, Col: l.Col, Remedy: remedy,
				Message: ref.String() + " is refused: a decision must give the same result years later, on any machine",
			})
		}
	}
	eachCall(m, look)
	return faults
}

// eachCall shows the operator of each call in a module.
func eachCall(m *ast.Module, look func(operator *ast.Term)) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Expr:
			if terms, ok := x.Terms.([]*ast.Term); ok && len(terms) > 0 {
				look(terms[0])
			}
		case *ast.Term:
			if call, ok := x.Value.(ast.Call); ok {
				look(call[0])
			}
		}
		return false
	}).Walk(m)
}

func (q *Request) format() (*Response, error) {
	files := map[string]string{}
	for _, name := range sortedKeys(q.Files) {
		text, err := format.SourceWithOpts(name, []byte(q.Files[name]), format.Opts{RegoVersion: q.version()})
		if err != nil {
			return nil, err
		}
		files[name] = string(text)
	}
	return &Response{Files: files}, nil
}

// versions says of each file which Rego it is written in: "v0" where it is no v1 but v0.
func (q *Request) versions() map[string]string {
	found := map[string]string{}
	old := Request{V0: true}
	for name, text := range q.Files {
		found[name] = "v1"
		if _, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: q.capabilities()}); err == nil {
			continue
		}
		if _, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV0, Capabilities: old.capabilities()}); err == nil {
			found[name] = "v0"
		}
	}
	return found
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.rego") }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
