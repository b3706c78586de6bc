package main

import (
	"bytes"
	"encoding/json"

	"github.com/olekukonko/tablewriter"
)

// table draws rows, given as JSON, as Conftest does: the library wraps and measures text in ways nobody wants to write again.
func table(text []byte) (string, error) {
	var rows [][]string
	if err := json.Unmarshal(text, &rows); err != nil {
		return "", err
	}
	var out bytes.Buffer
	drawn := tablewriter.NewTable(&out)
	drawn.Header("result", "file", "namespace", "message")
	if err := drawn.Bulk(rows); err != nil {
		return "", err
	}
	err := drawn.Render()
	return out.String(), err
}
