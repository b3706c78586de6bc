//go:build wasip1

// Command inputs is Conftest's own parsers of configuration formats as one WASI reactor. It sees no files, network, arguments
// or environment: what it reads is in the request, so a format that includes other files can't.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"

	"countersign.dev/reactor"
)

func init() {
	log.SetOutput(io.Discard) // warnings of the libraries: nobody reads them
	reactor.Serve(Handle)
}

// Handle answers one request: the parser's name, `combined`, `single` or `whole`, and the file's path, each on a line, then the file.
// The answer is `v` and a JSON list of texts, each the JSON of a value, or `e` and what is wrong.
func Handle(request []byte) []byte {
	parts := bytes.SplitN(request, []byte("\n"), 4)
	if len(parts) < 4 {
		return []byte("emalformed request")
	}
	texts, err := answer(string(parts[0]), string(parts[1]), string(parts[2]), parts[3])
	if err != nil {
		return append([]byte("e"), err.Error()...)
	}
	list, err := json.Marshal(texts)
	if err != nil {
		return append([]byte("e"), err.Error()...)
	}
	return append([]byte("v"), list...)
}

func main() {}
