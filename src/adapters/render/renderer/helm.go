package main

import (
	"bytes"
	"fmt"
	"path"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/ignore"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"
)

const (
	helmVersion = "v3.19.5"
	kubeVersion = "v1.34.0" // where nothing else is said: a chart must not see what it was built with
)

// chart is `helm template` of a folder: CRDs if wanted, then manifests in the order of installation, then hooks. There is no
// cluster, so lookup finds nothing.
func (q *Request) chart(dir string, o HelmOptions) ([]Document, error) {
	pinned.start(first)
	documents, err := q.template(dir, o)
	if len(pinned.called) == 0 || err != nil {
		return documents, err
	}
	// Something was called whose answer no two machines share. What it made may not be used; if it is, the second set of answers shows.
	names := pinned.names()
	pinned.start(second)
	again, err := q.template(dir, o)
	if err != nil {
		return nil, err
	}
	for i, d := range documents {
		if i >= len(again) || again[i] != d {
			return nil, &Fault{Code: "random", File: d.File, Remedy: "Give the value in values.yaml, or keep it in an object of its own",
				Message: fmt.Sprintf("the chart makes another object each time it is rendered (%s)", strings.Join(names, ", "))}
		}
	}
	return documents, nil
}

func (q *Request) template(dir string, o HelmOptions) ([]Document, error) {
	values, err := q.values(o)
	if err != nil {
		return nil, err
	}
	c, err := q.load(dir)
	if err != nil {
		return nil, err
	}
	if c.Metadata.Type != "" && c.Metadata.Type != "application" {
		return nil, fmt.Errorf("%s charts are not installable", c.Metadata.Type)
	}
	if err := vendored(c); err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, values); err != nil {
		return nil, err
	}
	caps, err := capabilities(o)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: o.Release, Namespace: o.Namespace, Revision: 1, IsInstall: true}
	top, err := chartutil.ToRenderValuesWithSchemaValidation(c, values, release, caps, false)
	if err != nil {
		return nil, err
	}
	if c.Metadata.KubeVersion != "" && !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, caps.KubeVersion.String()) {
		return nil, fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", c.Metadata.KubeVersion, caps.KubeVersion)
	}
	files, err := engine.Engine{}.Render(c, top)
	if err != nil {
		return nil, err
	}
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, err
	}
	at := func(name string) string { return q.source(dir, strings.TrimPrefix(name, c.Name()+"/")) }
	var documents []Document
	if o.IncludeCRDs {
		for _, crd := range c.CRDObjects() {
			documents = append(documents, Document{Text: printed(crd.Filename, string(crd.File.Data)), File: at(crd.Filename)})
		}
	}
	for _, m := range manifests {
		documents = append(documents, Document{Text: printed(m.Name, m.Content), File: at(m.Name)})
	}
	for _, h := range hooks {
		if !o.SkipHooks && (!o.SkipTests || !isTest(h)) {
			documents = append(documents, Document{Text: printed(h.Path, h.Manifest), File: at(h.Path)})
		}
	}
	return documents, nil
}

// source is the file that a template's name stands for. A dependency has its alias there; what comes from an archive has no file.
func (q *Request) source(dir, name string) string {
	if _, ok := q.Files[path.Join(dir, name)]; ok {
		return path.Join(dir, name)
	}
	var found []string
	if i := strings.LastIndex(name, "/templates/"); i >= 0 {
		for file := range q.Files {
			if strings.HasPrefix(file, path.Join(dir, "charts")+"/") && strings.HasSuffix(file, name[i:]) {
				found = append(found, file)
			}
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return path.Join(dir, "Chart.yaml")
}

func printed(name, text string) string { return fmt.Sprintf("---\n# Source: %s\n%s\n", name, text) }

func isTest(h *release.Hook) bool {
	for _, event := range h.Events {
		if event == release.HookTest {
			return true
		}
	}
	return false
}

// load reads the chart as helm does from a folder: .helmignore first, files in lexical order.
func (q *Request) load(dir string) (*chart.Chart, error) {
	prefix := dir + "/"
	if dir == "" || dir == "." {
		prefix = ""
	}
	rules := ignore.Empty()
	if text, ok := q.Files[prefix+ignore.HelmIgnore]; ok {
		parsed, err := ignore.Parse(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		rules = parsed
	}
	rules.AddDefaults()
	var names []string
	for name := range q.Files {
		if strings.HasPrefix(name, prefix) && !ignored(rules, strings.TrimPrefix(name, prefix)) {
			names = append(names, strings.TrimPrefix(name, prefix))
		}
	}
	sort.Strings(names)
	files := make([]*loader.BufferedFile, 0, len(names))
	for _, name := range names {
		data := bytes.TrimPrefix(q.Files[prefix+name], []byte{0xEF, 0xBB, 0xBF})
		files = append(files, &loader.BufferedFile{Name: name, Data: data})
	}
	return loader.LoadFiles(files)
}

func ignored(rules *ignore.Rules, name string) bool {
	parts := strings.Split(name, "/")
	for i := range parts {
		if rules.Ignore(strings.Join(parts[:i+1], "/"), entry{parts[i], i < len(parts)-1}) {
			return true
		}
	}
	return false
}

func vendored(c *chart.Chart) error {
	for _, wanted := range c.Metadata.Dependencies {
		found := false
		for _, d := range c.Dependencies() {
			found = found || d.Name() == wanted.Name
		}
		if !found {
			return &Fault{Code: "remote", Remedy: "Run helm dependency build and commit its charts/ folder",
				Message: fmt.Sprintf("the chart's dependency %s is not in its charts/ folder", wanted.Name)}
		}
	}
	return nil
}

func capabilities(o HelmOptions) (*chartutil.Capabilities, error) {
	caps := chartutil.DefaultCapabilities.Copy()
	version := o.KubeVersion
	if version == "" {
		version = kubeVersion
	}
	parsed, err := chartutil.ParseKubeVersion(version)
	if err != nil {
		return nil, fmt.Errorf("invalid kube version %q: %w", version, err)
	}
	caps.KubeVersion = *parsed
	caps.APIVersions = append(caps.APIVersions, o.APIVersions...)
	caps.HelmVersion.Version, caps.HelmVersion.GitCommit, caps.HelmVersion.GoVersion = helmVersion, "", ""
	return caps, nil
}

// values are the files' in their order, merged as --values does: maps member by member, anything else replaced.
func (q *Request) values(o HelmOptions) (map[string]any, error) {
	base := map[string]any{}
	read := func(file string, content []byte) error {
		current := map[string]any{}
		if err := yaml.Unmarshal(content, &current); err != nil {
			return &Fault{Code: "values", File: file, Message: "the values are not YAML with a mapping at the top", Remedy: "Correct the YAML"}
		}
		base = merged(base, current)
		return nil
	}
	for _, file := range o.Values {
		content, ok := q.Files[file]
		if !ok {
			return nil, &Fault{Code: "missing", File: file, Message: "there is no such values file"}
		}
		if err := read(file, content); err != nil {
			return nil, err
		}
	}
	if o.Inline != nil {
		if err := read("", o.Inline); err != nil {
			return nil, err
		}
	}
	return base, nil
}

func merged(a, b map[string]any) map[string]any {
	result := make(map[string]any, len(a))
	for k, v := range a {
		result[k] = v
	}
	for k, v := range b {
		if over, ok := v.(map[string]any); ok {
			if under, ok := result[k].(map[string]any); ok {
				result[k] = merged(under, over)
				continue
			}
		}
		result[k] = v
	}
	return result
}
