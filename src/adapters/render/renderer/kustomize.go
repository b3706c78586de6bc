package main

import (
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// kustomize is `kustomize build` of a folder. The file system is in memory; plugins stay off and programs cannot be started.
func (q *Request) kustomize() ([]Document, error) {
	if err := q.inflate(); err != nil {
		return nil, err
	}
	if q.Origins {
		if err := q.annotate(); err != nil {
			return nil, err
		}
	}
	m, written, err := build(q.Files, q.Dir)
	if err != nil {
		return nil, err
	}
	if q.Origins {
		return q.origins(m), nil
	}
	file, _ := q.kustomization(q.Dir)
	documents := make([]Document, 0, m.Size())
	for i, r := range m.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return nil, err
		}
		documents = append(documents, Document{Text: string(text), File: file, Written: written[i]})
	}
	return documents, nil
}

// annotate asks Kustomize to say where each object comes from. What it then builds is not what it builds otherwise: an
// object that has no annotations gets some, which a patch may find or take away. So this is only for finding the files.
func (q *Request) annotate() error {
	name, content := q.kustomization(q.Dir)
	node, err := kyaml.Parse(string(content))
	if err != nil {
		return err
	}
	option := kyaml.NewRNode(&kyaml.Node{Kind: kyaml.SequenceNode, Content: []*kyaml.Node{kyaml.NewScalarRNode(types.OriginAnnotations).YNode()}})
	if err := node.PipeE(kyaml.SetField("buildMetadata", option)); err != nil {
		return err
	}
	annotated, err := node.String()
	q.Files[name] = []byte(annotated)
	return err
}

// origins are documents without text.
func (q *Request) origins(m resmap.ResMap) []Document {
	found := make([]Document, 0, m.Size())
	name, _ := q.kustomization(q.Dir)
	for _, r := range m.Resources() {
		found = append(found, Document{File: name})
		origin, err := r.GetOrigin()
		if err != nil || origin == nil || origin.Repo != "" {
			continue
		}
		at := origin.Path
		if at == "" {
			at = origin.ConfiguredIn
		}
		if at == "" {
			continue
		}
		at = strings.TrimPrefix(path.Join("/", q.Dir, at), "/")
		if from, ok := q.inflated[at]; ok {
			at = from
		}
		found[len(found)-1].File = at
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
