package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
	"github.com/open-policy-agent/opa/v1/version"
)

// Request is what the host asks. Files are Rego sources by path; names of paths are only for messages.
type Request struct {
	Op       string            `json:"op"`
	Files    map[string]string `json:"files"`
	Data     map[string]any    `json:"data"`
	V0       bool              `json:"v0"`
	Starter  Starter           `json:"starter"`
	Run      string            `json:"run"`      // test: only tests whose name matches
	Coverage bool              `json:"coverage"` // test
	Query    string            `json:"query"`    // eval, query
	Input    any               `json:"input"`    // eval
	TimeNs   int64             `json:"timeNs"`   // eval
	Raw      []string          `json:"raw"`      // compile: entry points as they are, without our conventions
	Impure   bool              `json:"impure"`   // refuse no builtin: for OPA's conformance cases, never for a decision

	Time       string      `json:"time"`       // explain: RFC 3339
	Views      []View      `json:"views"`      // explain
	Trace      bool        `json:"trace"`      // explain: the whole story, not only which rules were true
	Gatekeeper *Gatekeeper `json:"gatekeeper"` // compile, check
	Schema     any         `json:"schema"`     // JSON Schema of the input: what reads anything else is a fault

	Conftest ConftestRequest `json:"conftest"` // conftest
}

// Starter says which of the rules that ship with Countersign run.
type Starter struct {
	Prefix  string   `json:"prefix"`
	Profile string   `json:"profile"`
	Off     []string `json:"off"`
	Floor   *Floor   `json:"floor"`
}

// Fault is one thing that is wrong with the sources.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Row     int    `json:"row,omitempty"`
	Col     int    `json:"col,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// Faults is an error that holds several.
type Faults []Fault

func (f Faults) Error() string { return fmt.Sprintf("%d faults", len(f)) }

// Response is the JSON part of an answer.
type Response struct {
	Version     string            `json:"version,omitempty"`
	Faults      Faults            `json:"faults,omitempty"`
	Rules       []Rule            `json:"rules,omitempty"`
	Paths       []Path            `json:"paths,omitempty"`
	Outputs     *Outputs          `json:"outputs,omitempty"`
	Tests       []TestResult      `json:"tests,omitempty"`
	Coverage    any               `json:"coverage,omitempty"`
	Files       map[string]string `json:"files,omitempty"`
	Annotations any               `json:"annotations,omitempty"`
	Result      any               `json:"result,omitempty"`
	Defined     bool              `json:"defined,omitempty"`
	Explained   []Explained       `json:"explained,omitempty"`
	Conftest    *Conftest         `json:"conftest,omitempty"`
	Findings    Faults            `json:"findings,omitempty"`
	Described   []Described       `json:"described,omitempty"`
}

// Handle answers one request with a frame: length of the JSON (4 bytes, little endian), the JSON, then Wasm if any was made.
func Handle(request []byte) (answer []byte) {
	defer func() {
		if p := recover(); p != nil {
			answer = frame(&Response{Faults: Faults{{Code: "panic", Message: fmt.Sprintf("OPA cannot handle these sources: %v", p)}}}, nil)
		}
	}()
	var q Request
	if err := util.UnmarshalJSON(request, &q); err != nil {
		return frame(&Response{Faults: faultsOf(err)}, nil)
	}
	response, wasm, err := q.answer(context.Background())
	if err != nil {
		response, wasm = &Response{Faults: faultsOf(err)}, nil
	}
	return frame(response, wasm)
}

func (q *Request) answer(ctx context.Context) (*Response, []byte, error) {
	switch q.Op {
	case "version":
		return &Response{Version: version.Version}, nil, nil
	case "format":
		r, err := q.format()
		return r, nil, err
	case "builtins":
		impure = q.Impure
		return &Response{}, nil, nil
	case "versions":
		return &Response{Files: q.versions()}, nil, nil
	}
	modules, err := q.parse()
	if err != nil {
		return nil, nil, err
	}
	switch q.Op {
	case "compile":
		return q.compile(ctx, modules)
	case "check":
		c, rules, err := q.check(modules)
		if err != nil {
			return nil, nil, err
		}
		_, err = q.gatekeeper()
		return &Response{Rules: rules, Paths: pathsOf(c)}, nil, err
	case "conftest":
		return q.conftest(ctx, modules)
	case "lint":
		r, err := q.lint(modules)
		return r, nil, err
	case "describe":
		r, err := q.describe(modules)
		return r, nil, err
	case "inspect":
		r, err := inspect(modules)
		return r, nil, err
	case "query":
		wasm, err := q.compileQuery(ctx, modules)
		return &Response{}, wasm, err
	case "test":
		r, err := q.test(ctx, modules)
		return r, nil, err
	case "explain":
		r, err := q.explain(ctx, modules)
		return r, nil, err
	case "eval":
		r, err := q.eval(ctx, modules)
		return r, nil, err
	}
	return nil, nil, fmt.Errorf("unknown operation %q", q.Op)
}

func frame(r *Response, wasm []byte) []byte {
	text, err := json.Marshal(r)
	if err != nil {
		text, _ = json.Marshal(&Response{Faults: Faults{{Code: "internal", Message: err.Error()}}})
	}
	n := len(text)
	out := make([]byte, 4, 4+n+len(wasm))
	out[0], out[1], out[2], out[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	out = append(out, text...)
	return append(out, wasm...)
}

func faultsOf(err error) Faults {
	var faults Faults
	if errors.As(err, &faults) {
		return faults
	}
	var list ast.Errors
	var one *ast.Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = ast.Errors{one}
	default:
		return Faults{{Code: "error", Message: err.Error()}}
	}
	for _, e := range list {
		f := Fault{Code: e.Code, Message: e.Message}
		reword(&f)
		if e.Location != nil {
			f.File, f.Row, f.Col = e.Location.File, e.Location.Row, e.Location.Col
		}
		faults = append(faults, f)
	}
	sort.SliceStable(faults, func(i, j int) bool {
		if faults[i].File != faults[j].File {
			return faults[i].File < faults[j].File
		}
		return faults[i].Row < faults[j].Row
	})
	return faults
}

var yamlError = regexp.MustCompile(`^yaml: (unmarshal errors:\s+)?(line \d+: )?`)

// reword says what OPA's parser means where it tells of METADATA blocks: its lines are counted from the block.
func reword(f *Fault) {
	switch {
	case yamlError.MatchString(f.Message):
		f.Message = "the METADATA block is not as it should be: " + yamlError.ReplaceAllString(f.Message, "")
		f.Remedy = "Correct the block: the comment lines after # METADATA are one YAML mapping"
	case strings.HasPrefix(f.Message, "invalid annotation scope ''"):
		f.Message = "the METADATA block describes nothing: no rule or package follows it"
		f.Remedy = "Put it right above what it describes, or remove it"
	}
}
