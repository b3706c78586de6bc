package main

import (
	"context"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

// TestResult is one Rego test.
type TestResult struct {
	Name    string `json:"name"`
	Package string `json:"package"`
	File    string `json:"file"`
	Row     int    `json:"row"`
	Outcome string `json:"outcome"` // passed, failed, skipped, error
	Error   string `json:"error,omitempty"`
	Output  string `json:"output,omitempty"`
	Micros  int64  `json:"micros"`
}

// test runs the test_ rules of _test.rego files with OPA's own runner.
func (q *Request) test(ctx context.Context, modules map[string]*ast.Module) (*Response, error) {
	data := q.Data
	if data == nil {
		data = map[string]any{}
	}
	store := inmem.NewFromObject(data)
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	defer store.Abort(ctx, txn)
	capabilities := q.capabilities()
	capabilities.Builtins = append(capabilities.Builtins, conftestFunctions...)
	c := ast.NewCompiler().SetErrorLimit(0).WithCapabilities(capabilities).WithEnablePrintStatements(true).
		WithUseTypeCheckAnnotations(true).WithDefaultRegoVersion(q.version())
	runner := tester.NewRunner().SetCompiler(c).SetStore(store).SetModules(modules).CapturePrintOutput(true).
		SetTimeout(30 * time.Second).SetDefaultRegoVersion(q.version()).SetParallel(1).
		AddCustomBuiltins(conftestBuiltins())
	if q.Run != "" {
		runner = runner.Filter(q.Run)
	}
	var covered *cover.Cover
	if q.Coverage {
		covered = cover.New()
		runner = runner.SetCoverageQueryTracer(covered)
	}
	results, err := runner.RunTests(ctx, txn)
	if err != nil {
		return nil, err
	}
	response := &Response{Tests: []TestResult{}}
	for r := range results {
		t := TestResult{Name: r.Name, Package: strings.TrimPrefix(r.Package, "data."), Micros: r.Duration.Microseconds(), Output: string(r.Output), Outcome: "failed"}
		if r.Location != nil {
			t.File, t.Row = r.Location.File, r.Location.Row
		}
		switch {
		case r.Error != nil:
			t.Outcome, t.Error = "error", r.Error.Error()
		case r.Skip:
			t.Outcome = "skipped"
		case r.Pass():
			t.Outcome = "passed"
		}
		response.Tests = append(response.Tests, t)
	}
	if covered != nil {
		response.Coverage = covered.Report(modules)
	}
	return response, nil
}
