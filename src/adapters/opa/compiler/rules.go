package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Rule is one clause of a deny, warn or require rule. Clauses of one name may have metadata of their own.
type Rule struct {
	Id          string   `json:"id"`
	Package     string   `json:"package"`
	Name        string   `json:"name"`
	Kind        string   `json:"kind"`
	Scope       string   `json:"scope"`
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Severity    string   `json:"severity"`
	Controls    []string `json:"controls"`
	File        string   `json:"file"`
	Row         int      `json:"row"`
	Starter     bool     `json:"starter"`
	// The organisation's own, or one of ours that it wants everywhere.
	Organisation bool `json:"organisation,omitempty"`

	clause  *ast.Rule
	profile string
	// A complete rule whose value holds the results: `deny := [message | …]`.
	complete bool
}

// seesChange: the input is Countersign's own, and not what another tool would give.
func (r Rule) seesChange() bool { return r.Scope == scopeChange || r.Scope == scopeObject }

// Scopes of a rule. `conftest` rules see one plain object as their whole input, as Conftest gives it to them; `admission` rules an
// AdmissionReview of it, as an API server gives it to OPA.
const (
	scopeChange    = "change"
	scopeObject    = "object"
	scopeConftest  = "conftest"
	scopeAdmission = "admission"
)

var (
	severities   = []string{"critical", "high", "medium", "low", "info"}
	conftestRule = regexp.MustCompile(`^(deny|violation|warn)(_[a-zA-Z0-9]+)*$`)
)

// Names that begin so are ours, in every package.
const reserved = "countersign__"

// rules finds every rule that takes part in decisions and reads its metadata. A rule that looks like one but could never
// have an effect is a fault: silence would be an allow nobody meant.
func (q *Request) rules(c *ast.Compiler, modules map[string]*ast.Module) ([]Rule, Faults) {
	var found []Rule
	var faults Faults
	named := map[string]Rule{}
	list := make([]*ast.Module, 0, len(modules))
	for _, file := range sortedKeys(modules) {
		list = append(list, modules[file])
	}
	annotations, errs := ast.BuildAnnotationSet(list)
	if len(errs) > 0 {
		return nil, faultsOf(errs)
	}
	for _, file := range q.layered(modules) {
		m := modules[file]
		native := isNative(m.Package.Path)
		if strings.HasPrefix(packageName(m.Package.Path), reserved) {
			l := m.Package.Location
			faults = append(faults, Fault{Code: "reserved_name", File: l.File, Row: l.Row, Col: l.Col,
				Message: "packages that begin with " + reserved + " are reserved", Remedy: "Rename the package"})
		}
		for _, clause := range m.Rules {
			name := clause.Head.Ref()[0].Value.String()
			name = strings.Trim(name, `"`)
			if strings.HasPrefix(name, reserved) {
				faults = append(faults, at(clause, "reserved_name", "names that begin with "+reserved+" are reserved", "Rename the rule"))
				continue
			}
			kind := kindOf(name, native)
			if kind == "" || isTest(file) || len(clause.Head.Args) > 0 {
				continue
			}
			complete := !native && givesResults(c, clause)
			if complete && (clause.Default || slices.ContainsFunc(found, func(r Rule) bool {
				return r.complete && r.Name == name && r.Package == packageName(m.Package.Path)
			})) {
				continue // one value, whichever clause gives it
			}
			if !complete && (clause.Head.Key == nil || clause.Head.Value != nil || len(clause.Head.Reference) != 1) {
				faults = append(faults, at(clause, "rule_form", name+" is not a set of results, so it could never deny anything",
					"Write `"+name+" contains message if { … }`"))
				continue
			}
			r := Rule{
				Package: packageName(m.Package.Path), Name: name, Kind: kind, File: file, Row: clause.Location.Row,
				Severity: "medium", Controls: []string{}, Scope: scopeConftest, clause: clause, complete: complete,
				Starter: q.Starter.Prefix != "" && strings.HasPrefix(file, q.Starter.Prefix),
			}
			if native {
				r.Scope = scopeChange
			} else if isAdmission(c, r) {
				r.Scope = scopeAdmission
			}
			faults = append(faults, r.describe(annotations.Chain(clause), native)...)
			if r.Id == "" {
				r.Id = r.Package + "." + r.Name
			}
			if first, ok := named[r.Id]; ok && (first.Package != r.Package || first.Name != r.Name) {
				faults = append(faults, at(clause, "duplicate_id", fmt.Sprintf("the id %s is that of the rule at %s:%d, too", r.Id, first.File, first.Row),
					"Give one of them another custom.id: exceptions and reports name rules by it"))
			} else if !ok {
				named[r.Id] = r
			}
			r.Organisation = q.layer(file) == 1 || r.Starter && q.Starter.Floor.wants(r)
			if !r.Starter || q.Starter.runs(r) {
				found = append(found, r)
			}
		}
	}
	return found, faults
}

// describe takes title, description and custom fields from the closest METADATA that has them; an id only from the rule or document.
func (r *Rule) describe(chain ast.AnnotationsRefSet, native bool) (faults Faults) {
	seen := map[string]bool{}
	for _, ref := range chain {
		a := ref.Annotations
		if a == nil {
			continue
		}
		near := a.Scope == "rule" || a.Scope == "document"
		if near && r.Title == "" {
			r.Title = a.Title
		}
		if near && r.Description == "" {
			r.Description = a.Description
		}
		for _, key := range sortedKeys(a.Custom) {
			if seen[key] || (key == "id" && !near) {
				continue
			}
			seen[key] = true
			if message := r.set(key, a.Custom[key], native); message != "" {
				faults = append(faults, Fault{Code: "metadata", File: a.Location.File, Row: a.Location.Row, Col: a.Location.Col,
					Message: message, Remedy: "Correct custom." + key + " in the METADATA block"})
			}
		}
	}
	return faults
}

func (r *Rule) set(key string, value any, native bool) string {
	text, isText := value.(string)
	switch key {
	case "id":
		if !isText || strings.TrimSpace(text) == "" {
			return "custom.id is not a text"
		}
		r.Id = text
	case "severity":
		if !slices.Contains(severities, text) {
			return fmt.Sprintf("custom.severity %v is none of %s", value, strings.Join(severities, ", "))
		}
		r.Severity = text
	case "scope":
		if text != scopeChange && text != scopeObject {
			return fmt.Sprintf("custom.scope %v is neither change nor object", value)
		}
		if !native {
			return "custom.scope counts only in a package countersign.<area>; this is a rule of Conftest or OPA, which sees one object"
		}
		r.Scope = text
	case "profile":
		if text != "baseline" && text != "strict" {
			return fmt.Sprintf("custom.profile %v is neither baseline nor strict", value)
		}
		r.profile = text
	case "controls":
		items, ok := value.([]any)
		if !ok {
			return "custom.controls is not a list"
		}
		for _, item := range items {
			control, ok := item.(string)
			if !ok {
				return "custom.controls holds something that is not a text"
			}
			r.Controls = append(r.Controls, control)
		}
	}
	return ""
}

// runs says whether a starter rule is on, by the repository's choice or the organisation's.
func (s Starter) runs(r Rule) bool {
	return s.chooses(r) || s.Floor.wants(r) && !(slices.Contains(s.Off, r.Id) && s.Floor.letsOff(r))
}

// chooses: off by id or profile; `strict` holds all that `baseline` does.
func (s Starter) chooses(r Rule) bool {
	if slices.Contains(s.Off, r.Id) {
		return false
	}
	switch s.Profile {
	case "strict":
		return true
	case "baseline":
		return r.profile != "strict"
	}
	return false
}

func isNative(path ast.Ref) bool {
	return len(path) > 1 && path[1].Value.Compare(ast.String("countersign")) == 0
}

func kindOf(name string, native bool) string {
	if native {
		switch name {
		case "deny", "warn", "require":
			return name
		}
		return ""
	}
	m := conftestRule.FindStringSubmatch(name)
	switch {
	case m == nil:
		return ""
	case m[1] == "warn":
		return "warn"
	}
	return "deny"
}

func packageName(path ast.Ref) string { return strings.TrimPrefix(path.String(), "data.") }

func at(r *ast.Rule, code, message, remedy string) Fault {
	l := r.Location
	return Fault{Code: code, Message: message, File: l.File, Row: l.Row, Col: l.Col, Remedy: remedy}
}
