package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"

	"github.com/open-policy-agent/conftest/parser/codeowners"
	"github.com/open-policy-agent/conftest/parser/cyclonedx"
	"github.com/open-policy-agent/conftest/parser/docker"
	dotenv "github.com/open-policy-agent/conftest/parser/dotenv"
	"github.com/open-policy-agent/conftest/parser/edn"
	"github.com/open-policy-agent/conftest/parser/groovy"
	"github.com/open-policy-agent/conftest/parser/hcl1"
	"github.com/open-policy-agent/conftest/parser/hcl2"
	"github.com/open-policy-agent/conftest/parser/hocon"
	"github.com/open-policy-agent/conftest/parser/ignore"
	"github.com/open-policy-agent/conftest/parser/ini"
	parsejson "github.com/open-policy-agent/conftest/parser/json"
	"github.com/open-policy-agent/conftest/parser/jsonc"
	"github.com/open-policy-agent/conftest/parser/jsonnet"
	"github.com/open-policy-agent/conftest/parser/nginx"
	"github.com/open-policy-agent/conftest/parser/properties"
	"github.com/open-policy-agent/conftest/parser/spdx"
	"github.com/open-policy-agent/conftest/parser/toml"
	"github.com/open-policy-agent/conftest/parser/vcl"
	"github.com/open-policy-agent/conftest/parser/xml"
	"github.com/open-policy-agent/conftest/parser/yaml"
)

type parser interface {
	Unmarshal(text []byte, v any) error
}

// Each by Conftest's name for it. Not here: `cue`, a language of its own that doubles the program, and `textproto`, which needs
// schema files.
var parsers = map[string]parser{
	"codeowners": &codeowners.Parser{},
	"cyclonedx":  &cyclonedx.Parser{},
	"dockerfile": &docker.Parser{},
	"dotenv":     &dotenv.Parser{},
	"edn":        &edn.Parser{},
	"groovy":     &groovy.Parser{},
	"hcl1":       &hcl1.Parser{},
	"hcl2":       &hcl2.Parser{},
	"hocon":      &hocon.Parser{},
	"ignore":     &ignore.Parser{},
	"ini":        &ini.Parser{},
	"json":       &parsejson.Parser{},
	"jsonc":      &jsonc.Parser{},
	"jsonnet":    &jsonnet.Parser{},
	"nginx":      &nginx.Parser{},
	"properties": &properties.Parser{},
	"spdx":       &spdx.Parser{},
	"toml":       &toml.Parser{},
	"vcl":        &vcl.Parser{},
	"xml":        &xml.Parser{},
	"yaml":       &yaml.Parser{},
}

// answer gives the texts of a file's values: several if its top is a list, which Conftest judges one by one, unless the whole is asked for.
func answer(name, mode, path string, text []byte) (texts []string, err error) {
	defer func() {
		if p := recover(); p != nil { // HOCON's parser tells what is wrong so
			err = fmt.Errorf("%v", p)
		}
	}()
	if name == "table" {
		drawn, err := table(text)
		return []string{drawn}, err
	}
	p, ok := parsers[name]
	if !ok {
		return nil, fmt.Errorf("unknown parser: %s", name)
	}
	if aware, ok := p.(interface{ SetPath(string) }); ok {
		aware.SetPath(path)
	}
	var v any
	if err := p.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	values, ok := v.([]any)
	if !ok || mode == "whole" {
		values = []any{v}
	}
	texts = make([]string, len(values))
	for i, value := range values {
		var out bytes.Buffer
		if mode == "combined" {
			err = marshal(&out, value)
		} else {
			err = write(&out, value)
		}
		if err != nil {
			return nil, err
		}
		texts[i] = out.String()
	}
	return texts, nil
}

// write is JSON as policy sees it in Conftest, where ast.InterfaceToValue reads the value: a float64 is written as %g, so that
// 1000000 in YAML is 1e+06 to sprintf. Combined files go through encoding/json instead, which writes 1000000.
func write(out *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case float64:
		out.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	case json.Number:
		out.WriteString(v.String())
	case []any:
		out.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := write(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		out.WriteByte('{')
		for i, key := range keys {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := marshal(out, key); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := write(out, v[key]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	default:
		return marshal(out, v)
	}
	return nil
}

func marshal(out *bytes.Buffer, v any) error {
	text, err := json.Marshal(v)
	out.Write(text)
	return err
}
