// Command rego-cases prints OPA's own conformance cases, one JSON object a line, in a form that needs no YAML and no Rego to read.
// Run it in the compiler's module, whose OPA it takes them from:
//
//	cd src/adapters/opa/compiler && go run ../../../../test/support/rego-cases/main.go "$(go list -m -f '{{.Dir}}' github.com/open-policy-agent/opa)/v1/test/cases/testdata/v1"
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/test/cases"
)

func main() {
	out := json.NewEncoder(os.Stdout)
	for _, c := range cases.MustLoad(os.Args[1]).Sorted().Cases {
		line := map[string]any{
			"note": c.Note, "category": filepath.Base(filepath.Dir(c.Filename)), "query": c.Query, "modules": c.Modules,
			"sortBindings": c.SortBindings, "strictError": c.StrictError, "ignoreGenerated": c.IgnoreGeneratedVars,
			"experimental": c.ExperimentalKeywords,
		}
		if c.Data != nil {
			line["data"] = *c.Data
		}
		if c.InputTerm != nil {
			line["input"] = ast.MustParseTerm(*c.InputTerm).String()
		} else if c.Input != nil {
			text, err := json.Marshal(*c.Input)
			if err != nil {
				fmt.Fprintln(os.Stderr, c.Note, err)
				continue
			}
			line["input"] = string(text)
		}
		if c.WantResult != nil {
			line["want"] = *c.WantResult
		}
		if c.WantDefined != nil {
			line["defined"] = *c.WantDefined
		}
		if c.WantErrorCode != nil {
			line["errorCode"] = *c.WantErrorCode
		}
		if c.WantError != nil {
			line["error"] = *c.WantError
		}
		if err := out.Encode(line); err != nil {
			fmt.Fprintln(os.Stderr, c.Note, err)
		}
	}
}
