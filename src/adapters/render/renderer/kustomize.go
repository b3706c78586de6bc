package main

import (
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// kustomize is `kustomize build` of a folder. The file system is in memory; plugins stay off and programs cannot be started.
func (q *Request) kustomize() ([]Document, error) {
	if err := q.inflate(); err != nil {
		return nil, err
	}
	m, err := build(q.Files, q.Dir)
	if err != nil {
		return nil, err
	}
	origins := q.origins(m.Size())
	documents := make([]Document, 0, m.Size())
	for i, r := range m.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return nil, err
		}
		documents = append(documents, Document{Text: string(text), File: origins[i]})
	}
	return documents, nil
}

func build(files map[string][]byte, dir string) (resmap.ResMap, error) {
	fs := filesys.MakeFsInMemory()
	for name, content := range files {
		if err := fs.WriteFile(path.Join("/", name), content); err != nil {
			return nil, err
		}
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // the order of kustomize build
	return krusty.MakeKustomizer(options).Run(fs, path.Join("/", dir))
}

// origins builds once more with Kustomize's own annotations of where each object comes from. These would not leave every
// object as it is, so what counts is the build without; a build that fails here only leaves objects at their kustomization.
func (q *Request) origins(n int) []string {
	found := make([]string, n)
	name, content := q.kustomization(q.Dir)
	for i := range found {
		found[i] = name
	}
	node, err := kyaml.Parse(string(content))
	if err != nil {
		return found
	}
	option := kyaml.NewRNode(&kyaml.Node{Kind: kyaml.SequenceNode, Content: []*kyaml.Node{kyaml.NewScalarRNode(types.OriginAnnotations).YNode()}})
	if err := node.PipeE(kyaml.SetField("buildMetadata", option)); err != nil {
		return found
	}
	annotated, err := node.String()
	if err != nil {
		return found
	}
	q.Files[name] = []byte(annotated)
	m, err := build(q.Files, q.Dir)
	q.Files[name] = content
	if err != nil || m.Size() != n {
		return found
	}
	for i, r := range m.Resources() {
		origin, err := r.GetOrigin()
		if err != nil || origin == nil {
			continue
		}
		at := origin.Path
		if at == "" {
			at = origin.ConfiguredIn
		}
		if at == "" || origin.Repo != "" {
			continue
		}
		at = strings.TrimPrefix(path.Join("/", q.Dir, at), "/")
		if from, ok := q.inflated[at]; ok {
			at = from
		}
		found[i] = at
	}
	return found
}

// kustomization is the folder's kustomization file and its content.
func (q *Request) kustomization(dir string) (string, []byte) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if content, ok := q.Files[path.Join(dir, name)]; ok {
			return path.Join(dir, name), content
		}
	}
	return path.Join(dir, konfig.DefaultKustomizationFileName()), nil
}
