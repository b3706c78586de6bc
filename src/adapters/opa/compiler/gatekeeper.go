package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Gatekeeper is what a policy folder's ConstraintTemplates and constraints come to. Glue is the module of package
// countersign__gatekeeper: its rule `results` is an array with one set of located results for each constraint.
type Gatekeeper struct {
	Templates []Template `json:"templates"`
	Glue      string     `json:"glue"`
}

// Template is the Rego of one ConstraintTemplate. Rows are those of the YAML file it is written in.
type Template struct {
	Kind    string   `json:"kind"`
	File    string   `json:"file"`
	V1      bool     `json:"v1"`
	Sources []Source `json:"sources"` // the entry, then the libs
}

// Source is a Rego text that begins at a row of a file.
type Source struct {
	Text   string `json:"text"`
	Row    int    `json:"row"`
	Indent int    `json:"indent"`
}

const (
	templatesPackage = "countersign__templates"
	gatekeeperEntry  = "countersign__gatekeeper/results"
)

var (
	violationRule = ast.Var("violation")
	inventoryRef  = ast.MustParseRef("data.inventory")
	libRef        = ast.MustParseRef("data.lib")
)

// gatekeeper parses, checks and moves every template under a package of its own, and returns the modules by a name that no file has.
func (q *Request) gatekeeper() (map[string]*ast.Module, error) {
	all := map[string]*ast.Module{}
	if q.Gatekeeper == nil {
		return all, nil
	}
	var faults Faults
	for _, t := range q.Gatekeeper.Templates {
		modules, err := t.modules()
		if err == nil {
			err = t.compile(modules)
		}
		if err != nil {
			found := faultsOf(err)
			for i := range found {
				found[i].Col += t.indentAt(found[i].Row)
			}
			faults = append(faults, found...)
			continue
		}
		for name, m := range modules {
			all[name] = m
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	glue, err := ast.ParseModuleWithOpts("countersign__gatekeeper.rego", q.Gatekeeper.Glue, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, err
	}
	all["countersign__gatekeeper.rego"] = glue
	return all, nil
}

func (t *Template) version() ast.RegoVersion {
	if t.V1 {
		return ast.RegoV1
	}
	return ast.RegoV0
}

func (t *Template) capabilities() *ast.Capabilities {
	q := Request{V0: !t.V1}
	return q.capabilities()
}

func (t *Template) indentAt(row int) int {
	indent := 0
	for _, s := range t.Sources {
		if s.Row <= row {
			indent = s.Indent
		}
	}
	return indent
}

// modules of a template, each under countersign__templates.<kind>: two templates may use the same names, as they do in Gatekeeper.
func (t *Template) modules() (map[string]*ast.Module, error) {
	modules := map[string]*ast.Module{}
	root := ast.MustParseRef("data." + templatesPackage).Append(ast.StringTerm(t.Kind))
	var faults Faults
	for i, s := range t.Sources {
		// Blank rows before the text give every location the row of the YAML file.
		m, err := ast.ParseModuleWithOpts(t.File, strings.Repeat("\n", max(0, s.Row-1))+s.Text,
			ast.ParserOptions{RegoVersion: t.version(), Capabilities: t.capabilities()})
		if err != nil {
			faults = append(faults, faultsOf(err)...)
			continue
		}
		if m == nil {
			faults = append(faults, t.fault(s.Row, "the Rego of the template is empty", "Write its rules, or remove it"))
			continue
		}
		faults = append(faults, refusals(m)...)
		if i == 0 {
			faults = append(faults, t.entry(m, s)...)
			m.Package.Path = root
		} else {
			if path := m.Package.Path; !path.HasPrefix(libRef) || len(path) == len(libRef) {
				faults = append(faults, t.fault(m.Package.Location.Row, "a lib of a template must be a package below lib", "Name it `package lib.…`"))
			}
			m.Package.Path = root.Append(ast.StringTerm("libs")).Concat(tail(m.Package.Path))
		}
		faults = append(faults, t.move(m, root)...)
		modules[fmt.Sprintf("%s#%s/%d.rego", t.File, t.Kind, i)] = m
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return modules, nil
}

// tail of a ref without its head, as terms that may follow another ref.
func tail(ref ast.Ref) []*ast.Term { return ref[1:] }

// entry checks that there is a violation rule, and gives each of its clauses a located twin.
func (t *Template) entry(m *ast.Module, s Source) (faults Faults) {
	var clauses []*ast.Rule
	for _, r := range m.Rules {
		name := strings.Trim(r.Head.Ref()[0].Value.String(), `"`)
		if strings.HasPrefix(name, reserved) {
			faults = append(faults, at(r, "reserved_name", "names that begin with "+reserved+" are reserved", "Rename the rule"))
		}
		if name != string(violationRule) {
			continue
		}
		if r.Head.Key == nil || r.Head.Value != nil || len(r.Head.Args) > 0 || len(r.Head.Reference) > 1 {
			faults = append(faults, at(r, "rule_form", "violation is not a set of results, so it could never deny anything",
				"Write `violation[{\"msg\": msg}] { … }`"))
			continue
		}
		clauses = append(clauses, r)
	}
	if len(clauses) == 0 && len(faults) == 0 {
		return Faults{t.fault(s.Row, "the template of "+t.Kind+" has no rule violation, so it could never deny anything",
			"Write `violation[{\"msg\": msg}] { … }`")}
	}
	for _, r := range clauses {
		addTwin(m, r, reserved+"violation", t.File, r.Location.Row)
	}
	return faults
}

// move leads references to libs to where they now are, and refuses those to any other data: a template sees its parameters, the
// object, the inventory, and nothing else.
func (t *Template) move(m *ast.Module, root ast.Ref) (faults Faults) {
	libs := root.Append(ast.StringTerm("libs"))
	moved := func(ref ast.Ref, l *ast.Location) ast.Ref {
		if len(ref) == 0 || !ref[0].Equal(ast.DefaultRootDocument) || ref.HasPrefix(root) || ref.HasPrefix(inventoryRef) {
			return ref
		}
		if ref.HasPrefix(libRef) {
			return libs.Concat(tail(ref))
		}
		f := t.fault(0, ref.String()+" is out of a template's reach: it may use data.inventory and data.lib", "Hand it over as a parameter")
		if l != nil {
			f.Row, f.Col = l.Row, l.Col
		}
		faults = append(faults, f)
		return ref
	}
	for _, i := range m.Imports {
		ref, ok := i.Path.Value.(ast.Ref)
		if !ok || len(ref) == 0 {
			continue
		}
		if ref[0].Equal(ast.InputRootDocument) {
			faults = append(faults, t.fault(i.Location.Row, "a template cannot import input", "Write input.review and input.parameters where they are used"))
			continue
		}
		i.Path.Value = moved(ref, i.Location)
	}
	for _, r := range m.Rules {
		ast.WalkTerms(r, func(term *ast.Term) bool {
			if ref, ok := term.Value.(ast.Ref); ok {
				term.Value = moved(ref, term.Location)
			}
			return false
		})
	}
	return faults
}

// compile finds what is wrong with one template. Not strict: Gatekeeper is not, and what works there has to work here.
func (t *Template) compile(modules map[string]*ast.Module) error {
	copies := map[string]*ast.Module{}
	for name, m := range modules {
		copies[name] = m.Copy()
	}
	c := ast.NewCompiler().SetErrorLimit(0).WithCapabilities(t.capabilities()).WithEnablePrintStatements(true).WithDefaultRegoVersion(t.version())
	if c.Compile(copies); c.Failed() {
		for _, e := range c.Errors {
			if strings.Contains(e.Message, "external_data") {
				e.Message = "external_data is refused: a decision must give the same result years later, on any machine"
			}
		}
		return c.Errors
	}
	return nil
}

func (t *Template) fault(row int, message, remedy string) Fault {
	return Fault{Code: "template", File: t.File, Row: row, Message: message, Remedy: remedy}
}

// allCapabilities are what modules of either version need together.
func (q *Request) allCapabilities() *ast.Capabilities {
	c := q.capabilities()
	if q.Gatekeeper == nil {
		return c
	}
	old := (&Request{V0: true}).capabilities()
	for _, b := range old.Builtins {
		if !slices.ContainsFunc(c.Builtins, func(known *ast.Builtin) bool { return known.Name == b.Name }) {
			c.Builtins = append(c.Builtins, b)
		}
	}
	for _, k := range old.FutureKeywords {
		if !slices.Contains(c.FutureKeywords, k) {
			c.FutureKeywords = append(c.FutureKeywords, k)
		}
	}
	return c
}
