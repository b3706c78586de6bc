package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
)

var builtinContext *topdown.BuiltinContext

// Whether this instance also calls builtins that decisions may not use. OPA's conformance cases ask for that, nothing else does.
var impure bool

// ResetBuiltins starts a new evaluation at the time its input names.
func ResetBuiltins(ns int64) {
	builtinContext = &topdown.BuiltinContext{
		Context: context.Background(), Metrics: metrics.New(), Seed: rand.New(rand.NewSource(1)),
		Time: ast.NumberTerm(json.Number(strconv.FormatInt(ns, 10))), Cancel: topdown.NewCancel(), Cache: make(builtins.Cache),
		Capabilities: ast.CapabilitiesForThisVersion(), NDBuiltinCache: builtins.NDBCache{},
	}
}

// CallBuiltin answers 'r' and Rego text, 'u' for undefined, 'e' and a message for an error that makes the expression undefined,
// or 'h' and a message for one that ends the evaluation.
func CallBuiltin(name string, args []byte, isRego bool) (out []byte) {
	defer func() {
		if p := recover(); p != nil {
			out = fmt.Appendf(nil, "h%s: %v", name, p)
		}
	}()
	if builtinContext == nil {
		ResetBuiltins(0)
	}
	f := topdown.GetBuiltin(name)
	if f == nil || (refused[name] != "" && !impure) {
		return []byte("hthere is no builtin " + name)
	}
	value, err := parseArguments(args, isRego)
	if err != nil {
		return append([]byte("h"), err.Error()...)
	}
	terms := make([]*ast.Term, value.Len())
	for i := range terms {
		terms[i] = value.Elem(i)
	}
	var result *ast.Term
	if err := f(*builtinContext, terms, func(t *ast.Term) error { result = t; return nil }); err != nil {
		var halt topdown.Halt
		if errors.As(err, &halt) {
			return append([]byte("h"), err.Error()...)
		}
		return append([]byte("e"), err.Error()...)
	}
	if result == nil {
		return []byte("u")
	}
	return append([]byte("r"), result.String()...)
}

func parseArguments(args []byte, isRego bool) (*ast.Array, error) {
	var value ast.Value
	if isRego {
		term, err := ast.ParseTerm(string(args))
		if err != nil {
			return nil, err
		}
		value = term.Value
	} else {
		read, err := ast.ValueFromReader(bytes.NewReader(args))
		if err != nil {
			return nil, err
		}
		value = read
	}
	array, ok := value.(*ast.Array)
	if !ok {
		return nil, errors.New("arguments are not an array")
	}
	return array, nil
}
