//go:build wasip1

// Package reactor is how our Go programs speak with their host: a request is bytes in guest memory, the answer, too. A program
// calls Serve in an init function; exports of its own may use Take and Give.
package reactor

import "unsafe"

// One request at a time: the host holds the only thread.
var in, out []byte

var handle func(request []byte) (answer []byte)

// Serve says what answers a request. It must not panic: Go's runtime would be gone.
func Serve(handler func(request []byte) (answer []byte)) { handle = handler }

// Take gives the bytes that the host has written, once.
func Take() []byte {
	request := in
	in = nil
	return request
}

// Give keeps an answer until the host has read it, and returns its length.
func Give(answer []byte) int32 {
	out = answer
	return int32(len(out))
}

//go:wasmexport reactor_alloc
func alloc(n int32) unsafe.Pointer {
	in = make([]byte, n)
	if n == 0 {
		return nil
	}
	return unsafe.Pointer(&in[0])
}

// call answers the request in the allocated bytes and returns the answer's length.
//
//go:wasmexport reactor_call
func call() int32 { return Give(handle(Take())) }

//go:wasmexport reactor_out
func outPointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(out)) }
