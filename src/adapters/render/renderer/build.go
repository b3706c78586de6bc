package main

import (
	"path"
	"slices"
	"unsafe" // and for go:linkname

	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/ifc"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provenance"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// The steps of krusty.Kustomizer.Run at the version that go.mod pins. It forgets who each object was just before it returns, and
// asking it for origins instead means building everything twice and with more in it. These names change with a version: then
// linking fails, and nothing is rendered otherwise than before.

//go:linkname newLoader sigs.k8s.io/kustomize/api/internal/loader.NewLoader
func newLoader(restrictor func(filesys.FileSystem, filesys.ConfirmedDir, string) (string, error), target string, fs filesys.FileSystem) (ifc.Loader, error)

//go:linkname restrictionRootOnly sigs.k8s.io/kustomize/api/internal/loader.RestrictionRootOnly
func restrictionRootOnly(filesys.FileSystem, filesys.ConfirmedDir, string) (string, error)

//go:linkname newPluginLoader sigs.k8s.io/kustomize/api/internal/plugins/loader.NewLoader
func newPluginLoader(*types.PluginConfig, *resmap.Factory, filesys.FileSystem) unsafe.Pointer

//go:linkname newTarget sigs.k8s.io/kustomize/api/internal/target.NewKustTarget
func newTarget(ifc.Loader, ifc.Validator, *resmap.Factory, unsafe.Pointer) unsafe.Pointer

//go:linkname loadTarget sigs.k8s.io/kustomize/api/internal/target.(*KustTarget).Load
func loadTarget(unsafe.Pointer) error

//go:linkname kustomizationOf sigs.k8s.io/kustomize/api/internal/target.(*KustTarget).Kustomization
func kustomizationOf(unsafe.Pointer) types.Kustomization

//go:linkname makeResMap sigs.k8s.io/kustomize/api/internal/target.(*KustTarget).MakeCustomizedResMap
func makeResMap(unsafe.Pointer) (resmap.ResMap, error)

//go:linkname applySortOrder sigs.k8s.io/kustomize/api/krusty.(*Kustomizer).applySortOrder
func applySortOrder(*krusty.Kustomizer, resmap.ResMap, unsafe.Pointer) error

// build is `kustomize build` of a folder of the files, and who each object was where it was written.
func build(files map[string][]byte, dir string) (resmap.ResMap, []*Written, error) {
	fs := filesys.MakeFsInMemory()
	for name, content := range files {
		if err := fs.WriteFile(path.Join("/", name), content); err != nil {
			return nil, nil, err
		}
	}
	loader, err := newLoader(restrictionRootOnly, path.Join("/", dir), fs)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = loader.Cleanup() }()
	provided := provider.NewDepProvider()
	factory := resmap.NewFactory(provided.GetResourceFactory())
	// There is no disk to load a plugin from either.
	plugins := newPluginLoader(types.DisabledPluginConfig(), factory, filesys.MakeFsInMemory())
	target := newTarget(loader, provided.GetFieldValidator(), factory, plugins)
	if err := loadTarget(target); err != nil {
		return nil, nil, err
	}
	fields := kustomizationOf(target)
	if err := setSchema(loader, fields); err != nil {
		return nil, nil, err
	}
	m, err := makeResMap(target)
	if err != nil {
		return nil, nil, err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // the order of kustomize build
	if err := applySortOrder(krusty.MakeKustomizer(options), m, target); err != nil {
		return nil, nil, err
	}
	if slices.Contains(fields.BuildMetadata, types.ManagedByLabelOption) {
		if err := manage(m); err != nil {
			return nil, nil, err
		}
	}
	written := make([]*Written, 0, m.Size())
	for _, r := range m.Resources() {
		id := r.OrgId()
		written = append(written, &Written{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name})
	}
	return m, written, clean(m, fields.BuildMetadata)
}

func setSchema(loader ifc.Loader, fields types.Kustomization) error {
	var schema []byte
	if file, ok := fields.OpenAPI["path"]; ok {
		content, err := loader.Load(file)
		if err != nil {
			return err
		}
		schema = content
	}
	return openapi.SetSchema(fields.OpenAPI, schema, true)
}

func manage(m resmap.ResMap) error {
	label := builtins.LabelTransformerPlugin{
		Labels:     map[string]string{konfig.ManagedbyLabelKey: "kustomize-" + provenance.GetProvenance().Semver()},
		FieldSpecs: []types.FieldSpec{{Path: "metadata/labels", CreateIfNotPresent: true}},
	}
	return label.Transform(m)
}

// clean takes away what Kustomize noted in annotations and nobody asked to see.
func clean(m resmap.ResMap, metadata []string) error {
	m.RemoveBuildAnnotations()
	if !slices.Contains(metadata, types.OriginAnnotations) {
		if err := m.RemoveOriginAnnotations(); err != nil {
			return err
		}
	}
	if !slices.Contains(metadata, types.TransformerAnnotations) {
		return m.RemoveTransformerAnnotations()
	}
	return nil
}
