// Command native-opa is what our evaluation is measured against: OPA's own interpreter with a prepared query, JSON in and JSON out.
// test/support/build-cached.sh builds it in the compiler's module, so that both are of one version.
//
// Arguments: a file of JSON, {"files": {path: text}, "query": text, "input": text}. For every line on standard input, a number n, it
// evaluates n times and answers with a line of JSON: {"nanoseconds": [one for each], "result": the last one's value}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/util"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var job struct {
		Files map[string]string `json:"files"`
		Query string            `json:"query"`
		Input string            `json:"input"`
	}
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	ctx := context.Background()
	options := []func(*rego.Rego){rego.Query(job.Query)}
	for name, source := range job.Files {
		options = append(options, rego.Module(name, source))
	}
	prepared, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		return err
	}
	evaluate := func() (json.RawMessage, error) {
		var input any
		if err := util.UnmarshalJSON([]byte(job.Input), &input); err != nil {
			return nil, err
		}
		set, err := prepared.Eval(ctx, rego.EvalInput(input))
		if err != nil {
			return nil, err
		}
		return json.Marshal(set[0].Expressions[0].Value)
	}
	out := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		times := make([]int64, n)
		var result json.RawMessage
		for i := range times {
			start := time.Now()
			if result, err = evaluate(); err != nil {
				return err
			}
			times[i] = time.Since(start).Nanoseconds()
		}
		if err := out.Encode(map[string]any{"nanoseconds": times, "result": result}); err != nil {
			return err
		}
	}
	return nil
}
