package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Described is one clause of a rule that takes part in decisions: what it looks at, its own and what it calls.
type Described struct {
	Id       string   `json:"id"`
	File     string   `json:"file"`
	Row      int      `json:"row"`
	Input    []string `json:"input"`
	Data     []string `json:"data"`
	Builtins []string `json:"builtins"`
	// Other rules and functions, as package.name.
	Uses []string `json:"uses"`
}

// step is one member of a path: a name, or any.
type step struct {
	name string
	any  bool
}

// value is what is known of a term: a place in input or data, a collection of such, or an object with such members.
type value struct {
	path    []step
	items   values
	members map[string]values
}

// values are what a term may stand for.
type values []*value

const (
	// A policy may be written so that following it grows without end.
	mostSteps  = 200_000
	mostValues = 12
	mostDepth  = 30
	mostPath   = 24
)

// read is a path that a rule looks at, and where.
type read struct {
	path []step
	at   *ast.Location
}

// compared is a path that is compared with a text.
type compared struct {
	path []step
	text string
	at   *ast.Location
}

// reader follows input and data through the variables and calls of compiled rules.
type reader struct {
	c        *ast.Compiler
	steps    int
	reads    []read
	compared []compared
	builtins map[string]bool
	uses     map[string]bool
	walked   map[string]bool
	results  map[string]values
}

func newReader(c *ast.Compiler) *reader {
	return &reader{c: c, builtins: map[string]bool{}, uses: map[string]bool{}, walked: map[string]bool{}, results: map[string]values{}}
}

// describe tells of each rule what it reads.
func (q *Request) describe(modules map[string]*ast.Module) (*Response, error) {
	c, rules, err := q.check(modules)
	if err != nil {
		return nil, err
	}
	response := &Response{Rules: rules, Described: []Described{}}
	for _, r := range rules {
		reader := newReader(c)
		for _, clause := range compiledClauses(c, r) {
			reader.walk(clause, nil, 0)
		}
		d := Described{Id: r.Id, File: r.File, Row: r.Row, Builtins: sortedKeys(reader.builtins), Uses: sortedKeys(reader.uses)}
		d.Input, d.Data = texts(reader.reads, "input"), texts(reader.reads, "data")
		response.Described = append(response.Described, d)
	}
	return response, nil
}

func compiledClauses(c *ast.Compiler, r Rule) (found []*ast.Rule) {
	for _, clause := range c.Modules[r.File].Rules {
		if clause.Location.Row == r.Row {
			found = append(found, clause)
		}
	}
	return found
}

// texts are the longest paths below a root; what lies on the way to another is left out.
func texts(reads []read, root string) []string {
	found := map[string]bool{}
	for _, r := range reads {
		if r.path[0].name == root {
			found[pathText(r.path)] = true
		}
	}
	list := []string{}
	all := sortedKeys(found)
	for _, text := range all {
		if !slices.ContainsFunc(all, func(other string) bool {
			return strings.HasPrefix(other, text+".") || strings.HasPrefix(other, text+"[")
		}) {
			list = append(list, text)
		}
	}
	return list
}

func pathText(path []step) string {
	var text strings.Builder
	for i, s := range path {
		switch {
		case i == 0:
			text.WriteString(s.name)
		case s.any:
			text.WriteString("[_]")
		case ast.IsVarCompatibleString(s.name):
			text.WriteString("." + s.name)
		default:
			text.WriteString("[" + strconv.Quote(s.name) + "]")
		}
	}
	return text.String()
}

// walk notes what a rule looks at, given what its arguments are, and follows what it calls.
func (r *reader) walk(rule *ast.Rule, args []values, depth int) {
	key := keyOf(rule, args)
	if r.walked[key] || depth > mostDepth || r.steps > mostSteps {
		return
	}
	r.walked[key] = true
	env := r.bindings(rule, args, depth)
	var visit func(x any) bool
	look := func(x any) { ast.NewGenericVisitor(visit).Walk(x) }
	visit = func(x any) bool {
		r.steps++
		switch x := x.(type) {
		case *ast.With:
			look(x.Value)
			return true
		case *ast.Expr:
			if replaced(x) {
				for _, w := range x.With {
					look(w.Value)
				}
				return true
			}
			if !x.IsCall() {
				return false
			}
			r.call(x, env, depth)
			for _, operand := range x.Operands() {
				look(operand)
			}
			for _, w := range x.With {
				look(w)
			}
			return true
		case *ast.Term:
			if ref, ok := x.Value.(ast.Ref); ok {
				at := x.Location
				if at == nil {
					at = ref[0].Location
				}
				for _, v := range r.ofRef(ref, env, depth, true) {
					r.note(v, at)
				}
				for _, inner := range ref[1:] {
					look(inner)
				}
				return true
			}
		}
		return false
	}
	for clause := rule; clause != nil; clause = clause.Else {
		look(clause.Body)
		if clause.Head.Key != nil {
			look(clause.Head.Key)
		}
		if clause.Head.Value != nil {
			look(clause.Head.Value)
		}
	}
}

// replaced says whether an expression sees another input than the rule does.
func replaced(e *ast.Expr) bool {
	return slices.ContainsFunc(e.With, func(w *ast.With) bool {
		ref, ok := w.Target.Value.(ast.Ref)
		return ok && ref[0].Equal(ast.InputRootDocument)
	})
}

func (r *reader) note(v *value, at *ast.Location) {
	if v.path != nil {
		r.reads = append(r.reads, read{v.path, at})
	}
}

// call follows a function, or notes the builtin, and what a path is compared with.
func (r *reader) call(e *ast.Expr, env map[ast.Var]values, depth int) {
	operator := e.Operator()
	operands := e.Operands()
	if builtin, ok := ast.BuiltinMap[operator.String()]; ok {
		if builtin.Infix == "" && !strings.HasPrefix(builtin.Name, "internal.") {
			r.builtins[builtin.Name] = true
		}
		if len(operands) == 2 && (builtin.Name == ast.Equality.Name || builtin.Name == ast.Equal.Name || builtin.Name == ast.NotEqual.Name) {
			r.compare(operands[0], operands[1], env, depth, e.Location)
			r.compare(operands[1], operands[0], env, depth, e.Location)
		}
		// Reading by a builtin is reading.
		for _, v := range r.ofBuiltin(builtin.Name, operands, env, depth) {
			if builtin.Name == ast.ObjectGet.Name {
				r.note(v, e.Location)
			}
		}
		return
	}
	args := make([]values, len(operands))
	for i, operand := range operands {
		args[i] = r.of(operand, env, depth)
	}
	for _, f := range r.c.GetRulesExact(operator) {
		r.use(f)
		r.walk(f, args, depth+1)
	}
}

func (r *reader) compare(one, other *ast.Term, env map[ast.Var]values, depth int, at *ast.Location) {
	text, ok := other.Value.(ast.String)
	if !ok {
		return
	}
	for _, v := range r.of(one, env, depth) {
		if v.path != nil {
			r.compared = append(r.compared, compared{v.path, string(text), at})
		}
	}
}

func (r *reader) use(rule *ast.Rule) {
	r.uses[strings.TrimPrefix(rule.Ref().GroundPrefix().String(), "data.")] = true
}

// bindings says what the variables of a rule stand for. The compiler has given each a name of its own.
func (r *reader) bindings(rule *ast.Rule, args []values, depth int) map[ast.Var]values {
	env := map[ast.Var]values{}
	for i, arg := range rule.Head.Args {
		if v, ok := arg.Value.(ast.Var); ok && i < len(args) {
			env[v] = args[i]
		}
	}
	bind := func(t *ast.Term, found values) bool {
		v, ok := t.Value.(ast.Var)
		if !ok || len(found) == 0 || len(env[v]) > 0 {
			return false
		}
		env[v] = found
		return true
	}
	// What is bound by what comes later, as in comprehensions, needs another round.
	for round, changed := 0, true; changed && round < 6; round++ {
		changed = false
		visit := func(x any) bool {
			r.steps++
			switch x := x.(type) {
			case *ast.Every:
				changed = bind(x.Value, stepped(r.of(x.Domain, env, depth), step{any: true})) || changed
			case *ast.Expr:
				if !x.IsCall() || replaced(x) {
					break
				}
				operands := x.Operands()
				if x.IsEquality() {
					changed = bind(operands[0], r.of(operands[1], env, depth)) || changed
					changed = bind(operands[1], r.of(operands[0], env, depth)) || changed
					break
				}
				if len(operands) == 0 {
					break
				}
				out := operands[len(operands)-1]
				if builtin, ok := ast.BuiltinMap[x.Operator().String()]; ok {
					if len(operands) == builtin.Decl.Arity()+1 {
						changed = bind(out, r.ofBuiltin(builtin.Name, operands, env, depth)) || changed
					}
					break
				}
				given := make([]values, len(operands)-1)
				for i := range given {
					given[i] = r.of(operands[i], env, depth)
				}
				for _, f := range r.c.GetRulesExact(x.Operator()) {
					if len(f.Head.Args) == len(given) {
						changed = bind(out, r.result(f, given, depth+1)) || changed
					}
				}
			}
			return false
		}
		for clause := rule; clause != nil; clause = clause.Else {
			ast.NewGenericVisitor(visit).Walk(clause.Body)
			if clause.Head.Value != nil {
				ast.NewGenericVisitor(visit).Walk(clause.Head.Value)
			}
			if clause.Head.Key != nil {
				ast.NewGenericVisitor(visit).Walk(clause.Head.Key)
			}
		}
	}
	return env
}

// result is what a rule or function gives.
func (r *reader) result(rule *ast.Rule, args []values, depth int) values {
	key := keyOf(rule, args)
	if found, ok := r.results[key]; ok || depth > mostDepth || r.steps > mostSteps {
		return found
	}
	r.results[key] = nil // while it is looked for: recursion gives nothing new
	env := r.bindings(rule, args, depth)
	var found values
	for clause := rule; clause != nil; clause = clause.Else {
		switch {
		case clause.Head.Key != nil && clause.Head.Value == nil:
			found = join(found, values{{items: r.of(clause.Head.Key, env, depth)}})
		case clause.Head.Value != nil:
			one := r.of(clause.Head.Value, env, depth)
			if !rule.Ref().IsGround() {
				one = values{{items: one}}
			}
			found = join(found, one)
		}
	}
	r.results[key] = found
	return found
}

func (r *reader) of(t *ast.Term, env map[ast.Var]values, depth int) values {
	r.steps++
	switch v := t.Value.(type) {
	case ast.Var:
		return env[v]
	case ast.Ref:
		return r.ofRef(v, env, depth, false)
	case *ast.ArrayComprehension:
		return values{{items: r.of(v.Term, env, depth)}}
	case *ast.SetComprehension:
		return values{{items: r.of(v.Term, env, depth)}}
	case *ast.ObjectComprehension:
		return values{{items: r.of(v.Value, env, depth)}}
	case *ast.Array:
		var items values
		v.Foreach(func(item *ast.Term) { items = join(items, r.of(item, env, depth)) })
		return values{{items: items}}
	case ast.Set:
		var items values
		v.Foreach(func(item *ast.Term) { items = join(items, r.of(item, env, depth)) })
		return values{{items: items}}
	case ast.Object:
		members := map[string]values{}
		v.Foreach(func(key, member *ast.Term) {
			if name, ok := key.Value.(ast.String); ok {
				members[string(name)] = r.of(member, env, depth)
			}
		})
		return values{{members: members}}
	}
	return nil
}

// ofRef is what a reference stands for; if `follow`, the rules that it names are walked, too.
func (r *reader) ofRef(ref ast.Ref, env map[ast.Var]values, depth int, follow bool) values {
	head, ok := ref[0].Value.(ast.Var)
	if !ok {
		return nil
	}
	switch {
	case ref[0].Equal(ast.InputRootDocument):
		return stepsOf(values{{path: []step{{name: "input"}}}}, ref[1:])
	case ref[0].Equal(ast.DefaultRootDocument):
		for n := 2; n <= len(ref); n++ {
			if _, ground := ref[n-1].Value.(ast.String); !ground {
				break
			}
			rules := r.c.GetRulesExact(ref[:n])
			if len(rules) == 0 {
				continue
			}
			var found values
			for _, rule := range rules {
				if len(rule.Head.Args) > 0 {
					continue
				}
				if follow {
					r.use(rule)
					r.walk(rule, nil, depth+1)
				}
				found = join(found, r.result(rule, nil, depth+1))
			}
			return stepsOf(found, ref[n:])
		}
		if r.c.RuleTree.Find(ref.GroundPrefix()) != nil {
			return nil // a package as a whole
		}
		return stepsOf(values{{path: []step{{name: "data"}}}}, ref[1:])
	}
	return stepsOf(env[head], ref[1:])
}

// ofBuiltin is what a builtin gives of what it is given.
func (r *reader) ofBuiltin(name string, operands []*ast.Term, env map[ast.Var]values, depth int) values {
	given := func(i int) values {
		if i >= len(operands) {
			return nil
		}
		return r.of(operands[i], env, depth)
	}
	switch name {
	case ast.ObjectGet.Name:
		if len(operands) < 3 {
			return nil
		}
		found := given(0)
		if path, ok := operands[1].Value.(*ast.Array); ok {
			path.Foreach(func(key *ast.Term) { found = stepped(found, stepOf(key)) })
			return found
		}
		return stepped(found, stepOf(operands[1]))
	case ast.Sort.Name, ast.ArraySlice.Name, ast.ArrayReverse.Name, ast.ObjectFilter.Name, ast.ObjectRemove.Name, ast.Minus.Name:
		return given(0)
	case ast.ArrayConcat.Name, ast.Or.Name, ast.And.Name, ast.ObjectUnion.Name:
		return join(given(0), given(1))
	}
	return nil
}

func stepsOf(found values, ref []*ast.Term) values {
	for _, t := range ref {
		found = stepped(found, stepOf(t))
	}
	return found
}

func stepOf(t *ast.Term) step {
	if name, ok := t.Value.(ast.String); ok {
		return step{name: string(name)}
	}
	return step{any: true}
}

func stepped(found values, s step) (next values) {
	for _, v := range found {
		switch {
		case v.path != nil && len(v.path) < mostPath:
			next = join(next, values{{path: append(slices.Clone(v.path), s)}})
		case v.members != nil && !s.any:
			next = join(next, v.members[s.name])
		case v.members != nil:
			for _, name := range sortedKeys(v.members) {
				next = join(next, v.members[name])
			}
		case v.items != nil:
			next = join(next, v.items)
		}
	}
	return next
}

func join(a, b values) values {
	for _, v := range b {
		if len(a) >= mostValues {
			break
		}
		if !slices.ContainsFunc(a, func(other *value) bool { return other.text(0) == v.text(0) }) {
			a = append(slices.Clone(a), v)
		}
	}
	return a
}

func keyOf(rule *ast.Rule, args []values) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%p", rule)
	for _, arg := range args {
		text.WriteString("|")
		for _, v := range arg {
			text.WriteString(v.text(0) + ",")
		}
	}
	return text.String()
}

func (v *value) text(depth int) string {
	if v.path != nil {
		return pathText(v.path)
	}
	if depth > 4 {
		return "…"
	}
	var text strings.Builder
	text.WriteString("{")
	for _, item := range v.items {
		text.WriteString(item.text(depth+1) + ",")
	}
	for _, name := range sortedKeys(v.members) {
		text.WriteString(name + ":")
		for _, member := range v.members[name] {
			text.WriteString(member.text(depth+1) + ",")
		}
	}
	return text.String() + "}"
}
