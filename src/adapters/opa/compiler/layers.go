package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Files whose names begin so are the organisation's, laid above those of a repository.
const organisation = "organisation:"

// Floor says which starter rules the organisation wants to run whatever a repository chooses.
type Floor struct {
	Profile    string   `json:"profile"`
	Off        []string `json:"off"`
	MayTurnOff []string `json:"mayTurnOff"`
}

func (f *Floor) wants(r Rule) bool {
	return f != nil && Starter{Profile: f.Profile, Off: f.Off}.chooses(r)
}

func (f *Floor) letsOff(r Rule) bool {
	return slices.Contains(f.MayTurnOff, "*") || slices.Contains(f.MayTurnOff, r.Id)
}

// layer orders files: ours, then the organisation's, then the repository's, so that what lies below is told of a clash.
func (q *Request) layer(file string) int {
	switch {
	case q.Starter.Prefix != "" && strings.HasPrefix(file, q.Starter.Prefix):
		return 0
	case strings.HasPrefix(file, organisation):
		return 1
	}
	return 2
}

func (q *Request) layered(modules map[string]*ast.Module) []string {
	files := sortedKeys(modules)
	slices.SortStableFunc(files, func(a, b string) int { return q.layer(a) - q.layer(b) })
	return files
}

// overlaps finds what a repository says in packages that are the organisation's, or whose starter rules the organisation builds on. A
// clause more of a function or a set there could turn any rule of theirs off.
func (q *Request) overlaps(modules map[string]*ast.Module) (faults Faults) {
	type owned struct {
		path ast.Ref
		file string
	}
	var theirs []owned
	above := q.Starter.Floor != nil
	for _, file := range q.layered(modules) {
		if q.layer(file) < 2 && !isTest(file) {
			theirs = append(theirs, owned{modules[file].Package.Path, file})
			above = above || q.layer(file) == 1
		}
	}
	if !above {
		return nil
	}
	refuse := func(l *ast.Location, what string, by owned) {
		owner := "the organisation's"
		if q.layer(by.file) == 0 {
			owner = "of the starter rules that the organisation builds on"
		}
		faults = append(faults, Fault{
			Code: "overlap", File: l.File, Row: l.Row, Col: l.Col,
			Message: fmt.Sprintf("%s is %s (%s)", what, owner, by.file),
			Remedy:  "Write the rule in a package of your own: nothing may be added to what lies above",
		})
	}
	for _, file := range q.layered(modules) {
		m := modules[file]
		if q.layer(file) < 2 {
			continue
		}
		inside := slices.IndexFunc(theirs, func(o owned) bool { return m.Package.Path.HasPrefix(o.path) })
		if inside >= 0 {
			refuse(m.Package.Location, "package "+packageName(m.Package.Path), theirs[inside])
			continue
		}
		for _, rule := range m.Rules {
			path := slices.Concat(m.Package.Path, asPath(rule.Head.Ref().GroundPrefix()))
			reached := slices.IndexFunc(theirs, func(o owned) bool { return path.HasPrefix(o.path) || o.path.HasPrefix(path) })
			if reached >= 0 {
				refuse(rule.Location, packageName(path), theirs[reached])
			}
		}
	}
	return faults
}

// asPath makes a rule's reference, which begins with a variable, the end of a path below its package.
func asPath(ref ast.Ref) ast.Ref {
	path := ref.Copy()
	if name, ok := path[0].Value.(ast.Var); ok {
		path[0] = ast.StringTerm(string(name))
	}
	return path
}
