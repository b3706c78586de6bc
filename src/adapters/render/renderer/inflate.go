package main

import (
	"fmt"
	"path"
	"sort"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/kustomize/kyaml/yaml/merge2"
	"sigs.k8s.io/yaml"
)

// inflate renders the helmCharts of every kustomization and puts what they give among its resources. Kustomize itself would
// start the helm program for them.
func (q *Request) inflate() error {
	q.inflated = map[string]string{}
	var names []string
	for name := range q.Files {
		for _, known := range konfig.RecognizedKustomizationFileNames() {
			if path.Base(name) == known && strings.Contains(string(q.Files[name]), "helmCharts") {
				names = append(names, name)
			}
		}
	}
	sort.Strings(names)
	for _, name := range names {
		if err := q.inflateOne(name); err != nil {
			return err
		}
	}
	return nil
}

func (q *Request) inflateOne(name string) error {
	var fields struct {
		HelmGlobals *types.HelmGlobals `json:"helmGlobals"`
		HelmCharts  []types.HelmChart  `json:"helmCharts"`
	}
	if err := yaml.Unmarshal(q.Files[name], &fields); err != nil || len(fields.HelmCharts) == 0 {
		return nil // for Kustomize to say what is wrong
	}
	node, err := kyaml.Parse(string(q.Files[name]))
	if err != nil {
		return nil
	}
	dir := path.Dir(name)
	for i, h := range fields.HelmCharts {
		home := types.HelmDefaultHome
		if fields.HelmGlobals != nil && fields.HelmGlobals.ChartHome != "" {
			home = fields.HelmGlobals.ChartHome
		}
		text, from, err := q.inflateChart(dir, home, h)
		if err != nil {
			return &Fault{Code: codeOf(err), File: name, Message: fmt.Sprintf("chart %s: %v", h.Name, err)}
		}
		file := fmt.Sprintf("countersign-chart-%d.yaml", i)
		q.Files[path.Join(dir, file)] = text
		q.inflated[path.Join(dir, file)] = from
		if len(text) == 0 {
			continue
		}
		if err := node.PipeE(kyaml.LookupCreate(kyaml.SequenceNode, "resources"), kyaml.Append(kyaml.NewScalarRNode(file).YNode())); err != nil {
			return err
		}
	}
	for _, field := range []string{"helmCharts", "helmGlobals"} {
		if err := node.PipeE(kyaml.Clear(field)); err != nil {
			return err
		}
	}
	text, err := node.String()
	q.Files[name] = []byte(text)
	return err
}

func codeOf(err error) string {
	if fault, ok := err.(*Fault); ok {
		return fault.Code
	}
	return "render"
}

func (q *Request) inflateChart(dir, home string, h types.HelmChart) ([]byte, string, error) {
	if h.NameTemplate != "" {
		return nil, "", &Fault{Code: "remote", Message: "nameTemplate is not supported; use releaseName"}
	}
	folder := path.Join(dir, home)
	if h.Version != "" && h.Repo != "" {
		folder = path.Join(folder, h.Name+"-"+h.Version)
	}
	folder = path.Join(folder, h.Name)
	o := HelmOptions{
		Release: h.ReleaseName, Namespace: h.Namespace, IncludeCRDs: h.IncludeCRDs, SkipHooks: h.SkipHooks, SkipTests: h.SkipTests,
		KubeVersion: h.KubeVersion, APIVersions: h.ApiVersions,
	}
	if o.Release == "" {
		o.Release = "release-name"
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	valuesFile := path.Join(folder, "values.yaml")
	if h.ValuesFile != "" {
		valuesFile = path.Join(dir, h.ValuesFile)
	}
	main, err := q.mergedValues(valuesFile, h)
	if err != nil {
		return nil, "", err
	}
	// A name no repository can have: Git stores no path with an empty part.
	const mainValues = "//values.yaml"
	q.Files[mainValues] = main
	defer delete(q.Files, mainValues)
	o.Values = []string{mainValues}
	for _, file := range h.AdditionalValuesFiles {
		o.Values = append(o.Values, path.Join(dir, file))
	}
	documents, err := q.chart(folder, o)
	if err != nil {
		return nil, "", err
	}
	var text strings.Builder
	for _, d := range documents {
		text.WriteString(d.Text)
	}
	marked, err := mark(text.String())
	return marked, path.Join(folder, "Chart.yaml"), err
}

// mergedValues are a values file and the values written in the kustomization, merged as it says.
func (q *Request) mergedValues(file string, h types.HelmChart) ([]byte, error) {
	content, ok := q.Files[file]
	if !ok && (len(h.ValuesInline) == 0 || h.ValuesMerge != "replace") {
		return nil, &Fault{Code: "missing", Message: "there is no values file " + file}
	}
	if len(h.ValuesInline) == 0 {
		return content, nil
	}
	inline, err := kyaml.FromMap(h.ValuesInline)
	if err != nil {
		return nil, err
	}
	if h.ValuesMerge == "replace" {
		text, err := inline.String()
		return []byte(text), err
	}
	values, err := kyaml.Parse(string(content))
	if err != nil {
		return nil, &Fault{Code: "values", Message: "the values are not YAML"}
	}
	var out *kyaml.RNode
	switch h.ValuesMerge {
	case "", "override":
		out, err = merge2.Merge(inline, values.Copy(), kyaml.MergeOptions{})
	case "merge":
		out, err = merge2.Merge(values, inline.Copy(), kyaml.MergeOptions{})
	default:
		return nil, fmt.Errorf("valuesMerge must be merge, override or replace")
	}
	if err != nil {
		return nil, err
	}
	text, err := out.String()
	return []byte(text), err
}

// mark says of each object that Helm made it, as Kustomize's own generator does: its namespace is then Helm's matter.
func mark(text string) ([]byte, error) {
	var out strings.Builder
	for _, part := range strings.Split("\n"+text, "\n---") {
		node, err := kyaml.Parse(part)
		if err != nil || node.IsNilOrEmpty() || node.YNode().Kind != kyaml.MappingNode {
			if strings.TrimSpace(withoutComments(part)) != "" && err != nil {
				return nil, err
			}
			continue
		}
		if err := node.PipeE(kyaml.SetAnnotation(konfig.HelmGeneratedAnnotation, "true")); err != nil {
			return nil, err
		}
		one, err := node.String()
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n" + one)
	}
	return []byte(out.String()), nil
}

func withoutComments(text string) string {
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
