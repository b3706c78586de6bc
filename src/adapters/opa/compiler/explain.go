package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// View is one input as rules of one scope see it.
type View struct {
	Scope string `json:"scope"`
	Input any    `json:"input"`
}

// Explained is what the rules of a scope gave for one view, by OPA's own interpreter, and how they came to it.
type Explained struct {
	Sets  any      `json:"sets"`
	Fired []Fired  `json:"fired"`
	Trace []string `json:"trace,omitempty"`
	// Lines of the trace that were left out.
	More int `json:"more,omitempty"`
}

// Fired is a rule that was true, where it is written, and what its variables stood for. One that takes part in decisions tells its result,
// and which other rules it may rest on, each as file:row.
type Fired struct {
	Name   string         `json:"name"`
	File   string         `json:"file"`
	Row    int            `json:"row"`
	Result any            `json:"result,omitempty"`
	Uses   []string       `json:"uses,omitempty"`
	Values map[string]any `json:"values"`
}

const (
	traceLines = 4000
	firedRules = 400
	valueBytes = 2000
)

// explain evaluates the very rules that a bundle's Wasm holds, and keeps what happened.
func (q *Request) explain(ctx context.Context, modules map[string]*ast.Module) (*Response, error) {
	for _, file := range sortedKeys(modules) {
		if isTest(file) {
			delete(modules, file)
		}
	}
	c, rules, err := q.check(modules)
	if err != nil {
		return nil, err
	}
	outputs, err := addAggregate(c, modules, rules)
	if err != nil {
		return nil, err
	}
	now, err := time.Parse(time.RFC3339Nano, q.Time)
	if err != nil {
		return nil, err
	}
	prepared := map[string]rego.PreparedEvalQuery{}
	response := &Response{Outputs: outputs}
	for _, view := range q.Views {
		query, ok := prepared[view.Scope]
		if !ok {
			options := []func(*rego.Rego){
				rego.Query("data." + aggregate + "." + view.Scope), rego.SetRegoVersion(q.version()), rego.Capabilities(q.capabilities()),
			}
			for _, file := range sortedKeys(modules) {
				options = append(options, rego.ParsedModule(modules[file]))
			}
			if q.Data != nil {
				options = append(options, rego.Store(inmem.NewFromObject(q.Data)))
			}
			if query, err = rego.New(options...).PrepareForEval(ctx); err != nil {
				return nil, err
			}
			prepared[view.Scope] = query
		}
		tracer := topdown.NewBufferTracer()
		set, err := query.Eval(ctx, rego.EvalInput(view.Input), rego.EvalTime(now), rego.EvalQueryTracer(tracer),
			// Rules that an index leaves out are told of as well: that a rule was not even looked at explains nothing.
			rego.EvalRuleIndexing(!q.Trace), rego.EvalEarlyExit(!q.Trace))
		if err != nil {
			return nil, err
		}
		one := Explained{Fired: firedIn(c, *tracer)}
		if len(set) > 0 && len(set[0].Expressions) > 0 {
			one.Sets = set[0].Expressions[0].Value
		}
		if q.Trace {
			one.Trace, one.More = traceOf(*tracer)
		}
		response.Explained = append(response.Explained, one)
	}
	return response, nil
}

func firedIn(c *ast.Compiler, events []*topdown.Event) []Fired {
	fired := []Fired{}
	seen := map[string]bool{}
	for _, e := range events {
		r, ok := e.Node.(*ast.Rule)
		if !ok || e.Op != topdown.ExitOp || r.Location == nil || len(fired) == firedRules {
			continue
		}
		f := Fired{Name: r.Head.Name.String(), File: r.Location.File, Row: r.Location.Row, Values: map[string]any{}}
		if f.File == aggregate+".rego" {
			continue
		}
		if f.Name == "" && len(r.Head.Ref()) > 0 {
			f.Name = r.Head.Ref()[0].String()
		}
		for v, meta := range e.LocalMetadata {
			if e.Locals == nil || strings.HasPrefix(string(meta.Name), "__local") || strings.HasPrefix(string(meta.Name), "$") {
				continue
			}
			if value := e.Locals.Get(v); value != nil {
				f.Values[string(meta.Name)] = plain(value)
			}
		}
		if strings.HasPrefix(f.Name, reserved) && r.Head.Key != nil {
			f.Name = strings.Split(strings.TrimPrefix(f.Name, reserved), "__")[0]
			f.Result = headOf(r.Head.Key, e.Locals)
			f.Uses = usedBy(c, r.Location)
		}
		key, _ := json.Marshal(f)
		if !seen[string(key)] {
			seen[string(key)] = true
			fired = append(fired, f)
		}
	}
	return fired
}

// usedBy lists the rules that those at a place rest on, near or far.
func usedBy(c *ast.Compiler, at *ast.Location) []string {
	used := map[string]bool{}
	var follow func(r *ast.Rule)
	follow = func(r *ast.Rule) {
		for dependency := range c.Graph.Dependencies(r) {
			other, ok := dependency.(*ast.Rule)
			if !ok || other.Location == nil {
				continue
			}
			key := other.Location.File + ":" + strconv.Itoa(other.Location.Row)
			if !used[key] {
				used[key] = true
				follow(other)
			}
		}
	}
	if m := c.Modules[at.File]; m != nil {
		for _, r := range m.Rules {
			if r.Location.Row == at.Row {
				follow(r)
			}
		}
	}
	return sortedKeys(used)
}

// headOf is the member that a rule added to its set, [value, file, row], with its variables filled in; nil where one is unknown.
func headOf(key *ast.Term, locals *ast.ValueMap) any {
	member := filled(key, locals)
	if !member.IsGround() {
		return nil
	}
	value, err := ast.JSON(member.Value)
	if err != nil {
		return nil
	}
	return value
}

func filled(t *ast.Term, locals *ast.ValueMap) *ast.Term {
	fill := func(inner *ast.Term) (*ast.Term, error) { return filled(inner, locals), nil }
	switch v := t.Value.(type) {
	case ast.Var:
		if locals != nil {
			if value := locals.Get(v); value != nil {
				return ast.NewTerm(value)
			}
		}
	case *ast.Array:
		items := make([]*ast.Term, 0, v.Len())
		v.Foreach(func(item *ast.Term) { items = append(items, filled(item, locals)) })
		return ast.ArrayTerm(items...)
	case ast.Set:
		if mapped, err := v.Map(fill); err == nil {
			return ast.NewTerm(mapped)
		}
	case ast.Object:
		mapped, err := v.Map(func(k, value *ast.Term) (*ast.Term, *ast.Term, error) {
			return filled(k, locals), filled(value, locals), nil
		})
		if err == nil {
			return ast.NewTerm(mapped)
		}
	}
	return t
}

// plain is a value as JSON, or its beginning as text where it is long.
func plain(value ast.Value) any {
	if text := value.String(); len(text) > valueBytes {
		return strings.ToValidUTF8(text[:valueBytes], "") + "…"
	}
	found, err := ast.JSON(value)
	if err != nil {
		return value.String()
	}
	return found
}

func traceOf(events []*topdown.Event) ([]string, int) {
	var text bytes.Buffer
	topdown.PrettyTraceWithLocation(&text, events)
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	if len(lines) > traceLines {
		return lines[:traceLines], len(lines) - traceLines
	}
	return lines, 0
}
