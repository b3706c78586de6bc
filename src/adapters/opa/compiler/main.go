//go:build wasip1

// Command rego is OPA's own Rego compiler, checker, tester, formatter and reference evaluator as one WASI reactor. It sees no
// files, network, arguments or environment: a request is JSON in guest memory, the answer a frame in guest memory.
package main

import (
	"runtime"
	"unsafe"
)

// One request at a time: the host holds the only thread.
var in, out []byte

//go:wasmexport rego_alloc
func alloc(n int32) unsafe.Pointer {
	in = make([]byte, n)
	if n == 0 {
		return nil
	}
	return unsafe.Pointer(&in[0])
}

// call answers the request in the allocated bytes and returns the answer's length.
//
//go:wasmexport rego_call
func call() int32 {
	out = Handle(in)
	in = nil
	return int32(len(out))
}

//go:wasmexport rego_out
func outPointer() unsafe.Pointer { return unsafe.Pointer(&out[0]) }

// builtin calls one builtin: the allocated bytes hold its name, then its arguments as one JSON array (Rego text when isRego is 1).
//
//go:wasmexport rego_builtin
func builtin(nameLength, isRego int32) int32 {
	out = CallBuiltin(string(in[:nameLength]), in[nameLength:], isRego == 1)
	in = nil
	return int32(len(out))
}

// reset starts a new evaluation: caches of builtins are dropped, the clock stands at ns.
//
//go:wasmexport rego_reset
func reset(ns int64) { ResetBuiltins(ns) }

//go:wasmexport rego_collect
func collect() {
	in, out = nil, nil
	runtime.GC()
}

func main() {}
