//go:build wasip1

// Command renderer is Kustomize and Helm's template engine as one WASI reactor. It sees no files, network, arguments or
// environment and can start no program: a request is JSON in guest memory with every file it may read, the answer JSON, too.
package main

import (
	"io"
	"log"

	"countersign.dev/reactor"
)

func init() {
	log.SetOutput(io.Discard) // warnings of the libraries: nobody reads them
	reactor.Serve(Handle)
}

func main() {}
