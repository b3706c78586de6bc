package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/compile"
)

// Output is one member of an aggregate's array: the set that a rule name of one package makes in one scope.
type Output struct {
	Package string `json:"package"`
	Name    string `json:"name"`
}

// Outputs are the aggregates by scope, in the order of the entry points' arrays.
type Outputs struct {
	Object   []Output `json:"object"`
	Change   []Output `json:"change"`
	Conftest []Output `json:"conftest"`
	// Only where there are such rules.
	Admission []Output `json:"admission,omitempty"`
}

const aggregate = "countersign__run"

// check is OPA's compiler in strict mode, then our own conventions.
func (q *Request) check(modules map[string]*ast.Module) (*ast.Compiler, []Rule, error) {
	// First: OPA would tell of some of these, too, and not whose fault it is.
	if faults := q.overlaps(modules); len(faults) > 0 {
		return nil, nil, faults
	}
	if faults := parsing(modules); len(faults) > 0 {
		return nil, nil, faults
	}
	c := q.compiled(modules, !q.V0)
	if c.Failed() {
		// What a team brings need not be strict: a variable that nobody uses does no harm, and lint tells of it.
		lenient := q.compiled(modules, false)
		if lenient.Failed() || slices.ContainsFunc(c.Errors, func(e *ast.Error) bool { return isOurs(modules, e) }) {
			return nil, nil, c.Errors
		}
		c = lenient
	}
	rules, faults := q.rules(c, modules)
	faults = append(faults, blind(c, rules)...)
	if len(faults) == 0 {
		faults = q.strict(c, modules, rules)
	}
	if len(faults) > 0 {
		return nil, nil, faults
	}
	return c, rules, nil
}

func (q *Request) compiled(modules map[string]*ast.Module, strict bool) *ast.Compiler {
	capabilities := q.capabilities()
	capabilities.Builtins = append(capabilities.Builtins, conftestFunctions...) // for tests alone
	c := ast.NewCompiler().SetErrorLimit(0).WithCapabilities(capabilities).WithStrict(strict).
		WithEnablePrintStatements(true).WithUseTypeCheckAnnotations(true).WithDefaultRegoVersion(q.version())
	c.Compile(modules)
	return c
}

// isOurs says whether an error is in a package countersign.<area>, or nobody knows where.
func isOurs(modules map[string]*ast.Module, e *ast.Error) bool {
	return e.Location == nil || modules[e.Location.File] == nil || isNative(modules[e.Location.File].Package.Path)
}

// unused are the faults of strict mode that do not count, since they are in what a team has brought along.
func (q *Request) unused(modules map[string]*ast.Module) Faults {
	found := Faults{}
	for _, fault := range faultsOf(q.compiled(modules, true).Errors) {
		fault.Message, _, _ = strings.Cut(fault.Message, ". (hint")
		fault.Code, fault.Remedy = "strict", "Remove it, or write _ in its place"
		found = append(found, fault)
	}
	return found
}

// Path is where in data a rule writes: nothing else may be there.
type Path struct {
	Path []string `json:"path"`
	File string   `json:"file"`
	Row  int      `json:"row"`
}

// pathsOf lists the paths of all rules, each with the first of its clauses.
func pathsOf(c *ast.Compiler) (paths []Path) {
	var walk func(node *ast.TreeNode, path []string)
	walk = func(node *ast.TreeNode, path []string) {
		if len(node.Values) > 0 {
			l := node.Values[0].Location
			paths = append(paths, Path{Path: slices.Clone(path), File: l.File, Row: l.Row})
		}
		for _, key := range node.Sorted {
			// Other keys than texts are in no data file.
			if name, ok := key.(ast.String); ok {
				walk(node.Children[key], append(path, string(name)))
			}
		}
	}
	if root := c.RuleTree.Child(ast.DefaultRootDocument.Value); root != nil {
		walk(root, nil)
	}
	return paths
}

// blind finds rules of scope object that look at commits: they see one change and no commits, so they would never say anything.
func blind(c *ast.Compiler, rules []Rule) (faults Faults) {
	for _, r := range rules {
		if r.Scope != scopeObject {
			continue
		}
		for _, compiled := range c.Modules[r.File].Rules {
			if compiled.Location.Row == r.Row && readsInput(c, compiled, "commits", map[any]bool{}) {
				faults = append(faults, at(r.clause, "scope", "a rule of scope object sees no commits", "Give it custom.scope: change"))
				break
			}
		}
	}
	return faults
}

// compile makes one Wasm module with one entry point per scope, each an array of the sets that the rules make.
func (q *Request) compile(ctx context.Context, modules map[string]*ast.Module) (*Response, []byte, error) {
	response := &Response{}
	points := q.Raw
	for _, file := range sortedKeys(modules) {
		if isTest(file) && len(points) == 0 {
			delete(modules, file)
		}
	}
	if len(points) == 0 {
		c, rules, err := q.check(modules)
		if err != nil {
			return nil, nil, err
		}
		response.Paths = pathsOf(c)
		outputs, err := addAggregate(c, modules, rules)
		if err != nil {
			return nil, nil, err
		}
		templates, err := q.gatekeeper()
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(modules, templates)
		response.Rules, response.Outputs = rules, outputs
		points = []string{aggregate + "/object", aggregate + "/change", aggregate + "/conftest"}
		if len(outputs.Admission) > 0 {
			points = append(points, aggregate+"/admission")
		}
		if q.Gatekeeper != nil {
			points = append(points, gatekeeperEntry)
		}
	}
	b := &bundle.Bundle{Data: map[string]any{}}
	b.Manifest.Init()
	b.Manifest.SetRegoVersion(q.version())
	for _, file := range sortedKeys(modules) {
		raw := q.Files[file]
		if raw == "" {
			raw = "package made" // what is made here has no text of its own, and OPA formats the text of each module
		}
		b.Modules = append(b.Modules, bundle.ModuleFile{URL: file, Path: file, Raw: []byte(raw), Parsed: modules[file]})
	}
	c := compile.New().WithBundle(b).WithTarget("wasm").WithCapabilities(q.allCapabilities()).WithRegoVersion(q.version()).WithEntrypoints(points...)
	if err := c.Build(ctx); err != nil {
		return nil, nil, err
	}
	if len(c.Bundle().WasmModules) != 1 {
		return nil, nil, errors.New("the compiler made no Wasm module")
	}
	return response, c.Bundle().WasmModules[0].Raw, nil
}

func twin(name, scope string) string { return reserved + name + "__" + scope }

// addAggregate adds the module of the entry points, and what it needs.
func addAggregate(c *ast.Compiler, modules map[string]*ast.Module, rules []Rule) (*Outputs, error) {
	if err := locate(modules, rules); err != nil {
		return nil, err
	}
	source, outputs := aggregateOf(c, modules, rules)
	m, err := ast.ParseModuleWithOpts(aggregate+".rego", source, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, err
	}
	modules[aggregate+".rego"] = m
	return outputs, nil
}

// locate gives every clause a located twin beside it, whose members are [value, file, row]. The clause itself stays for tests and other rules.
func locate(modules map[string]*ast.Module, rules []Rule) error {
	for _, r := range rules {
		name := twin(r.Name, r.Scope)
		if !r.complete {
			addTwin(modules[r.File], r.clause, name, r.File, r.Row)
		} else if err := addCompleteTwin(modules[r.File], r.clause, name, r.File, r.Row); err != nil {
			return err
		}
	}
	return nil
}

func addTwin(m *ast.Module, clause *ast.Rule, name, file string, row int) {
	c := clause.Copy()
	c.Module, c.Annotations = m, nil
	c.Head.SetRef(ast.Ref{ast.VarTerm(name)})
	c.Head.Name = ast.Var(name)
	c.Head.Key = ast.ArrayTerm(clause.Head.Key.Copy(), ast.StringTerm(file), ast.IntNumberTerm(row))
	// OPA prints the modules while it builds; its printer looks at the location of every term, and at comments between.
	ast.WalkTerms(c.Head, func(t *ast.Term) bool {
		if t.Location == nil {
			t.Location = clause.Location
		}
		return false
	})
	m.Comments = nil
	m.Rules = append(m.Rules, c)
}

// aggregateOf writes the module whose rules are the entry points. Sets are always defined, so its arrays are.
func aggregateOf(c *ast.Compiler, modules map[string]*ast.Module, rules []Rule) (string, *Outputs) {
	o := &Outputs{Object: []Output{}, Change: []Output{}, Conftest: []Output{}}
	paths := map[string]string{}
	for _, m := range modules {
		paths[packageName(m.Package.Path)] = m.Package.Path.String()
	}
	var text strings.Builder
	text.WriteString("package " + aggregate + "\n")
	list := func(scope string, outputs *[]Output) (sets []string) {
		add := func(pkg, name, rule string) {
			set := paths[pkg] + "." + rule
			if !slices.Contains(sets, set) {
				sets = append(sets, set)
				*outputs = append(*outputs, Output{pkg, name})
			}
		}
		for _, r := range rules {
			if r.Scope == scope {
				add(r.Package, r.Name, twin(r.Name, scope))
			}
		}
		for _, r := range rules {
			if r.Scope == scope && scope == scopeConftest && hasExceptions(modules, paths[r.Package]) {
				add(r.Package, "exception", "exception")
			}
		}
		return sets
	}
	write := func(scope string, outputs *[]Output) {
		fmt.Fprintf(&text, "\n%s := [%s]\n", scope, strings.Join(list(scope, outputs), ", "))
	}
	write(scopeObject, &o.Object)
	write(scopeChange, &o.Change)
	write(scopeConftest, &o.Conftest)
	if sets := list(scopeAdmission, &o.Admission); len(sets) > 0 {
		text.WriteString(admissionRules(sets, ofDelete(c, rules, o.Admission)))
	}
	return text.String(), o
}

func hasExceptions(modules map[string]*ast.Module, path string) bool {
	for _, m := range modules {
		if m.Package.Path.String() != path {
			continue
		}
		for _, r := range m.Rules {
			if r.Head.Name == "exception" && r.Head.Key != nil && r.Head.Value == nil {
				return true
			}
		}
	}
	return false
}
