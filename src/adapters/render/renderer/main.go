//go:build wasip1

// Command renderer is Kustomize and Helm's template engine as one WASI reactor. It sees no files, network, arguments or
// environment and can start no program: a request is JSON in guest memory with every file it may read, the answer JSON, too.
package main

import (
	"io"
	"log"
	"runtime"
	"unsafe"
)

// One request at a time: the host holds the only thread.
var in, out []byte

//go:wasmexport renderer_alloc
func alloc(n int32) unsafe.Pointer {
	in = make([]byte, n)
	if n == 0 {
		return nil
	}
	return unsafe.Pointer(&in[0])
}

// call answers the request in the allocated bytes and returns the answer's length.
//
//go:wasmexport renderer_call
func call() int32 {
	out = Handle(in)
	in = nil
	return int32(len(out))
}

//go:wasmexport renderer_out
func outPointer() unsafe.Pointer { return unsafe.Pointer(&out[0]) }

//go:wasmexport renderer_collect
func collect() {
	in, out = nil, nil
	runtime.GC()
}

func init() { log.SetOutput(io.Discard) } // warnings of the libraries: nobody reads them

func main() {}
