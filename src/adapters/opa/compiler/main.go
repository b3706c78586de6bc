//go:build wasip1

// Command rego is OPA's own Rego compiler, checker, tester, formatter and reference evaluator as one WASI reactor. It sees no
// files, network, arguments or environment: a request is JSON in guest memory, the answer a frame in guest memory.
package main

import (
	"unsafe"

	"countersign.dev/reactor"
)

func init() {
	reactor.Serve(Handle)
	askHost = func(question []byte) []byte {
		answer := make([]byte, ask(unsafe.Pointer(unsafe.SliceData(question)), int32(len(question))))
		take(unsafe.Pointer(unsafe.SliceData(answer)))
		return answer
	}
}

// ask puts a question to the host while a request is being answered, and returns its answer's length; take fetches that.
//
//go:wasmimport countersign ask
func ask(question unsafe.Pointer, length int32) int32

//go:wasmimport countersign take
func take(into unsafe.Pointer)

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
