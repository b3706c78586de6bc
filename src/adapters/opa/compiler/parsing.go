package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"path"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/types"
)

var parsed = types.NewObject(nil, types.NewDynamicProperty(types.S, types.A))

// Functions that Conftest adds to Rego. Tests may use them: the host has Conftest's parsers. A rule that takes part in decisions may not, for what
// it reads is the input.
var conftestFunctions = []*ast.Builtin{
	{Name: "parse_config", Decl: types.NewFunction(types.Args(types.S, types.S), parsed)},
	{Name: "parse_config_file", Decl: types.NewFunction(types.Args(types.S), parsed)},
	{Name: "parse_combined_config_files", Decl: types.NewFunction(types.Args(types.NewArray(nil, types.S)), parsed)},
}

// parsing finds calls of these functions outside of tests.
func parsing(modules map[string]*ast.Module) (faults Faults) {
	for _, file := range sortedKeys(modules) {
		if isTest(file) {
			continue
		}
		eachCall(modules[file], func(operator *ast.Term) {
			for _, f := range conftestFunctions {
				if operator.Value.String() == f.Name {
					l := operator.Location
					faults = append(faults, Fault{Code: "refused_builtin", File: l.File, Row: l.Row, Col: l.Col,
						Message: f.Name + " is for tests: what a rule looks at is its input and data", Remedy: "Use it in a _test.rego file, and give rules the value as input or data"})
				}
			}
		})
	}
	return faults
}

// askHost is set where there is one. Its answer is `v` and JSON, or `e` and what is wrong.
var askHost func(question []byte) []byte

// conftestBuiltins are these functions for OPA's test runner. What cannot be parsed ends the test: an undefined value would let `not deny` pass.
func conftestBuiltins() []*tester.Builtin {
	list := make([]*tester.Builtin, len(conftestFunctions))
	for i, f := range conftestFunctions {
		call := func(bctx rego.BuiltinContext, terms []*ast.Term) (*ast.Term, error) {
			value, err := askToParse(f, bctx.Location, terms)
			if err != nil {
				return nil, rego.NewHaltError(err)
			}
			return ast.NewTerm(value), nil
		}
		list[i] = &tester.Builtin{Decl: f, Func: rego.FunctionDyn(&rego.Function{Name: f.Name, Decl: f.Decl}, call)}
	}
	return list
}

func askToParse(f *ast.Builtin, at *ast.Location, terms []*ast.Term) (ast.Value, error) {
	name, arguments := f.Name, make([]any, f.Decl.Arity())
	for i := range arguments { // what its result is bound to may come after them
		value, err := ast.JSON(terms[i].Value)
		if err != nil {
			return nil, err
		}
		arguments[i] = value
	}
	folder := "."
	if at != nil {
		folder = path.Dir(at.File) // paths are relative to the file that names them
	}
	question, err := json.Marshal(map[string]any{"function": name, "folder": folder, "arguments": arguments})
	if err != nil {
		return nil, err
	}
	answer := askHost(question)
	if len(answer) == 0 {
		return nil, errors.New(name + " is not available here")
	}
	if answer[0] != 'v' {
		return nil, errors.New(name + ": " + string(answer[1:]))
	}
	return ast.ValueFromReader(bytes.NewReader(answer[1:]))
}
