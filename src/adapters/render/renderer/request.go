package main

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Request is one folder to render. Files are all that may be read, by path from the root of the repository.
type Request struct {
	Op    string            `json:"op"`
	Dir   string            `json:"dir"`
	Files map[string][]byte `json:"files"`
	Helm  HelmOptions       `json:"helm"`
	// Origins asks where each document of a kustomization comes from, and not for its text.
	Origins bool `json:"origins"`

	inflated map[string]string // charts that were rendered for a kustomization: our file, and the one that asked for it
}

// HelmOptions are what helm template has flags for.
type HelmOptions struct {
	Release     string   `json:"release"`
	Namespace   string   `json:"namespace"`
	Values      []string `json:"values"` // files, later ones win
	Inline      []byte   `json:"-"`      // values in YAML, after the files
	IncludeCRDs bool     `json:"includeCRDs"`
	SkipHooks   bool     `json:"-"`
	SkipTests   bool     `json:"-"`
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
}

// Document is YAML text and the file, from the root of the repository, that it was made from.
type Document struct {
	Text string `json:"text"`
	File string `json:"file,omitempty"`
	// Written is who the object was before a kustomization changed its name.
	Written *Written `json:"written,omitempty"`
}

// Written is an object's identity in the file or generator that it comes from.
type Written struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Fault is what stood in the way.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

func (f *Fault) Error() string { return f.Message }

// Response is the answer: documents, or a fault.
type Response struct {
	Documents []Document `json:"documents"`
	Fault     *Fault     `json:"fault,omitempty"`
}

// Handle answers one request.
func Handle(request []byte) (answer []byte) {
	defer func() {
		if p := recover(); p != nil {
			answer = encode(&Response{Fault: &Fault{Code: "panic", Message: fmt.Sprint(p)}})
		}
	}()
	var q Request
	if err := json.Unmarshal(request, &q); err != nil {
		return encode(failed(err))
	}
	documents, err := q.render()
	if err != nil {
		return encode(failed(err))
	}
	return encode(&Response{Documents: documents})
}

func (q *Request) render() ([]Document, error) {
	switch q.Op {
	case "kustomize":
		return q.kustomize()
	case "helm":
		return q.chart(q.Dir, q.Helm)
	}
	return nil, fmt.Errorf("unknown operation %q", q.Op)
}

func failed(err error) *Response {
	var fault *Fault
	if errors.As(err, &fault) {
		return &Response{Fault: fault}
	}
	return &Response{Fault: &Fault{Code: "render", Message: err.Error()}}
}

func encode(r *Response) []byte {
	text, err := json.Marshal(r)
	if err != nil {
		text, _ = json.Marshal(failed(err))
	}
	return text
}
