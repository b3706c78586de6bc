package main

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// Conftest is what Conftest would run: its own conventions, not ours, so that `check --conftest` says what `conftest test` says.
type Conftest struct {
	Namespaces []Namespace `json:"namespaces"`
	// True if a rule may read data.conftest, which says the file that is judged.
	ReadsFile bool `json:"readsFile"`
	// Rules that look as if they could fail but never do, because they are no sets: Conftest is silent about them.
	Blunt Faults `json:"blunt"`
}

// Namespace is a package. Its rules, then its exceptions, are one array in the entry point's array.
type Namespace struct {
	Name string `json:"name"`
	// Clauses of all rules: what Conftest counts successes against.
	Clauses int      `json:"clauses"`
	Rules   []string `json:"rules"`
}

// ConftestRequest has Conftest's options.
type ConftestRequest struct {
	Namespaces []string `json:"namespaces"` // names or path.Match patterns
	All        bool     `json:"all"`
	Strict     bool     `json:"strict"`
}

// Conftest's own patterns; the second half of conftestRule is what it calls a failure.
var failureRule = regexp.MustCompile(`^(deny|violation)(_[a-zA-Z0-9]+)*$`)

func (q *Request) conftest(ctx context.Context, modules map[string]*ast.Module) (*Response, []byte, error) {
	found := Conftest{Namespaces: []Namespace{}, Blunt: Faults{}}
	paths := map[string]string{}
	var wrong Faults
	for _, file := range sortedKeys(modules) {
		m := modules[file]
		wrong = append(wrong, problematicIf(m)...)
		name := strings.Replace(m.Package.Path.String(), "data.", "", 1)
		at := slices.IndexFunc(found.Namespaces, func(n Namespace) bool { return strings.EqualFold(n.Name, name) })
		if at < 0 {
			paths[name] = m.Package.Path.String()
			found.Namespaces = append(found.Namespaces, Namespace{Name: name, Rules: []string{}})
			at = len(found.Namespaces) - 1
		}
		if found.Namespaces[at].Name != name {
			continue // differs in case only: Conftest never finds it
		}
		found.Namespaces[at].add(m, &found.Blunt)
		found.ReadsFile = found.ReadsFile || readsFile(m)
		locatePrints(m)
	}
	if err := found.choose(q.Conftest); err != nil {
		return nil, nil, err
	}
	c, err := q.conftestCompiler(modules, found.aggregate(paths))
	switch {
	case err != nil:
		return nil, nil, err
	case len(wrong) > 0:
		return nil, nil, wrong[:1]
	}
	// Not by way of a bundle, which would compile, print and parse all of it again.
	options := []func(*rego.Rego){rego.Compiler(c), rego.Query("result = data." + aggregate + ".conftest"), rego.EnablePrintStatements(true)}
	for _, f := range conftestFunctions {
		options = append(options, rego.FunctionDyn(&rego.Function{Name: f.Name, Decl: f.Decl}, nil)) // tests call them
	}
	compiled, err := rego.New(options...).Compile(ctx)
	if err != nil {
		return nil, nil, err
	}
	return &Response{Conftest: &found}, compiled.Bytes, nil
}

// conftestCompiler is OPA's compiler of these modules and the entry point.
func (q *Request) conftestCompiler(modules map[string]*ast.Module, entry string) (*ast.Compiler, error) {
	m, err := ast.ParseModuleWithOpts(aggregate+".rego", entry, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, err
	}
	modules[aggregate+".rego"] = m
	capabilities := q.capabilities()
	capabilities.Builtins = append(capabilities.Builtins, conftestFunctions...)
	c := ast.NewCompiler().SetErrorLimit(0).WithCapabilities(capabilities).WithStrict(q.Conftest.Strict).
		WithEnablePrintStatements(true).WithDefaultRegoVersion(q.version())
	if c.Compile(modules); c.Failed() {
		return nil, c.Errors
	}
	return c, nil
}

// aggregate is the module of the entry point: for each namespace, an array of what each rule gives, a list that is empty where it is undefined.
func (c *Conftest) aggregate(paths map[string]string) string {
	var text strings.Builder
	text.WriteString("package " + aggregate + "\n\nconftest := [")
	for _, n := range c.Namespaces {
		text.WriteString("\n\t[")
		for _, rule := range append(slices.Clone(n.Rules), "exception") {
			if len(n.Rules) > 0 {
				fmt.Fprintf(&text, "[v | v := %s.%s], ", paths[n.Name], rule)
			}
		}
		text.WriteString("],")
	}
	text.WriteString("\n]\n")
	return text.String()
}

func (n *Namespace) add(m *ast.Module, blunt *Faults) {
	for _, r := range m.Rules {
		name := r.Head.Name.String()
		if !conftestRule.MatchString(name) {
			continue
		}
		n.Clauses++
		if !slices.ContainsFunc(n.Rules, func(other string) bool { return strings.EqualFold(other, name) }) && len(r.Head.Args) == 0 {
			n.Rules = append(n.Rules, name)
		}
		if r.Head.Key == nil && never(r.Head.Value) {
			*blunt = append(*blunt, at(r, "rule_form", name+" is not a set of results, so it never fails", "Write `"+name+" contains message if { … }`"))
		}
	}
}

// never says whether a complete rule's value is no list, so that Conftest takes it for passed.
func never(value *ast.Term) bool {
	if value == nil {
		return true
	}
	switch value.Value.(type) {
	case ast.Boolean, ast.String, ast.Number, ast.Null, ast.Object:
		return true
	}
	return false
}

func (c *Conftest) choose(q ConftestRequest) error {
	if q.All {
		return nil
	}
	wild := slices.ContainsFunc(q.Namespaces, func(pattern string) bool { return strings.ContainsAny(pattern, "*?[") })
	var chosen []Namespace
	if !wild {
		for _, name := range q.Namespaces {
			at := slices.IndexFunc(c.Namespaces, func(n Namespace) bool { return n.Name == name })
			if at < 0 {
				chosen = append(chosen, Namespace{Name: name, Rules: []string{}})
			} else {
				chosen = append(chosen, c.Namespaces[at])
			}
		}
	}
	for _, n := range c.Namespaces {
		for _, pattern := range q.Namespaces {
			matched, err := path.Match(pattern, n.Name)
			if err != nil {
				return fmt.Errorf("match pattern %q: %w", pattern, err)
			}
			if matched && wild {
				chosen = append(chosen, n)
				break
			}
		}
	}
	c.Namespaces = chosen
	return nil
}

// problematicIf refuses what Conftest refuses: `deny[msg] if` is no set in Rego v1 (open-policy-agent/opa issue 6509).
func problematicIf(m *ast.Module) Faults {
	for _, r := range m.Rules {
		if r.Head == nil || r.Head.Name != "" || r.Head.Value == nil || len(r.Head.Reference) == 0 {
			continue
		}
		name := strings.Trim(r.Head.Reference[0].Value.String(), `"`)
		if (failureRule.MatchString(name) || conftestRule.MatchString(name)) && r.Head.Value.String() == "true" {
			return Faults{at(r, "rule_form", name+" is written with `if` but without `contains`, so it is no set of results", "Write `"+name+" contains message if { … }`")}
		}
	}
	return nil
}

func readsFile(m *ast.Module) (found bool) {
	ast.WalkRefs(m, func(ref ast.Ref) bool {
		if len(ref) > 0 && ref[0].Equal(ast.DefaultRootDocument) {
			name, isText := ast.Value(nil), false
			if len(ref) > 1 {
				name = ref[1].Value
				_, isText = name.(ast.String)
			}
			found = found || !isText || name.Compare(ast.String("conftest")) == 0
		}
		return false
	})
	return found
}

// locatePrints gives every print its place as a first argument: the host of a Wasm module is not told where a call stands.
func locatePrints(m *ast.Module) {
	ast.WalkExprs(m, func(e *ast.Expr) bool {
		terms, ok := e.Terms.([]*ast.Term)
		if ok && e.IsCall() && e.Operator().String() == "print" {
			place := ast.StringTerm(fmt.Sprintf("%s:%d", e.Location.File, e.Location.Row))
			place.Location = e.Location
			e.Terms = append([]*ast.Term{terms[0], place}, terms[1:]...)
		}
		return false
	})
}
