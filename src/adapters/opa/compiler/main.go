//go:build wasip1

// Command rego is OPA's own Rego compiler, checker, tester, formatter and reference evaluator as one WASI reactor. It sees no
// files, network, arguments or environment: a request is JSON in guest memory, the answer a frame in guest memory.
package main

import "countersign.dev/reactor"

func init() { reactor.Serve(Handle) }

// builtin calls one builtin: the allocated bytes hold its name, then its arguments as one JSON array (Rego text when isRego is 1).
//
//go:wasmexport rego_builtin
func builtin(nameLength, isRego int32) int32 {
	in := reactor.Take()
	return reactor.Give(CallBuiltin(string(in[:nameLength]), in[nameLength:], isRego == 1))
}

// reset starts a new evaluation: caches of builtins are dropped, the clock stands at ns.
//
//go:wasmexport rego_reset
func reset(ns int64) { ResetBuiltins(ns) }

func main() {}
