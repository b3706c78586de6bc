package main

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// givesResults says whether a complete rule's value is a list or a set, whose members Conftest takes for results: `deny := [message | …]`.
func givesResults(c *ast.Compiler, clause *ast.Rule) bool {
	h := clause.Head
	if h.Key != nil || h.Value == nil || len(h.Reference) != 1 {
		return false
	}
	var list func(t types.Type) bool
	list = func(t types.Type) bool {
		switch t := t.(type) {
		case *types.Array, *types.Set:
			return true
		case types.Any:
			for _, one := range t {
				if !list(one) {
					return false
				}
			}
			return len(t) > 0
		}
		return false
	}
	return list(c.TypeEnv.GetByRef(clause.Ref()))
}

// addCompleteTwin gives a complete rule a set beside it, of its value's members with the rule's place.
func addCompleteTwin(m *ast.Module, clause *ast.Rule, name, file string, row int) error {
	text := fmt.Sprintf("package made\n\n%s contains [countersign__result, %q, %d] if countersign__result := %s[_]", name, file, row, clause.Head.Name)
	made, err := ast.ParseModuleWithOpts(file, text, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return err
	}
	twin := made.Rules[0]
	twin.Module, twin.Location, twin.Head.Location = m, clause.Location, clause.Location
	for _, e := range twin.Body {
		e.Location = clause.Location
	}
	ast.WalkTerms(twin, func(t *ast.Term) bool {
		t.Location = clause.Location
		return false
	})
	m.Comments = nil
	m.Rules = append(m.Rules, twin)
	return nil
}
