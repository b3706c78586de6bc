package main

import (
	"context"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// eval is the reference: OPA's own interpreter.
func (q *Request) eval(ctx context.Context, modules map[string]*ast.Module) (*Response, error) {
	options := []func(*rego.Rego){rego.Query(q.Query), rego.SetRegoVersion(q.version()), rego.Capabilities(q.capabilities())}
	for _, file := range sortedKeys(modules) {
		options = append(options, rego.ParsedModule(modules[file]))
	}
	if q.Data != nil {
		options = append(options, rego.Store(inmem.NewFromObject(q.Data)))
	}
	prepared, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	set, err := prepared.Eval(ctx, rego.EvalInput(q.Input), rego.EvalTime(time.Unix(0, q.TimeNs)))
	if err != nil {
		return nil, err
	}
	if len(set) == 0 || len(set[0].Expressions) == 0 {
		return &Response{}, nil
	}
	return &Response{Result: set[0].Expressions[0].Value, Defined: true}, nil
}

// compileQuery makes a Wasm module of one query, whose result is the set of its bindings: for OPA's conformance cases.
func (q *Request) compileQuery(ctx context.Context, modules map[string]*ast.Module) ([]byte, error) {
	options := []func(*rego.Rego){rego.Query(q.Query), rego.SetRegoVersion(q.version()), rego.Capabilities(q.capabilities())}
	for _, file := range sortedKeys(modules) {
		options = append(options, rego.ParsedModule(modules[file]))
	}
	result, err := rego.New(options...).Compile(ctx)
	if err != nil {
		return nil, err
	}
	return result.Bytes, nil
}

// inspect lists every METADATA block with its place.
func inspect(modules map[string]*ast.Module) (*Response, error) {
	list := make([]*ast.Module, 0, len(modules))
	for _, file := range sortedKeys(modules) {
		list = append(list, modules[file])
	}
	set, errs := ast.BuildAnnotationSet(list)
	if len(errs) > 0 {
		return nil, errs
	}
	found := []map[string]any{}
	for _, ref := range set.Flatten() {
		entry := map[string]any{"path": ref.Path.String(), "annotations": ref.Annotations}
		if ref.Location != nil {
			entry["file"], entry["row"] = ref.Location.File, ref.Location.Row
		}
		found = append(found, entry)
	}
	return &Response{Annotations: found}, nil
}
