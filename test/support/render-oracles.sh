#!/usr/bin/env bash
# Writes test/render/*/*/expected.yaml with the real kustomize and helm, which it builds once into the cache folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${COUNTERSIGN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/countersign}
kustomize=v5.8.1 helm=v3.19.5 kubernetes=v1.34.0
bin=$cache/renderers-$kustomize-$helm
mkdir -p "$bin"
[ -x "$bin/kustomize" ] || GOBIN=$bin go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize"
[ -x "$bin/helm" ] || GOBIN=$bin go install "helm.sh/helm/v3/cmd/helm@$helm"
export PATH=$bin:$PATH HELM_CONFIG_HOME=$bin/none HELM_CACHE_HOME=$bin/none HELM_DATA_HOME=$bin/none
for case in test/render/kustomize/*/; do
  dir=$case
  [ ! -d "$case/overlay" ] || dir=$case/overlay
  options=()
  ! grep -q helmCharts "$dir"/kustomization.y*ml || options=(--enable-helm --helm-kube-version $kubernetes)
  kustomize build "${options[@]}" "$dir" >"$case/expected.yaml" || echo "✗ $case" >&2
done
for case in test/render/helm/*/; do
  options=()
  for file in "$case"values-*.yaml; do [ ! -f "$file" ] || options+=(--values "$file"); done
  helm template chart "$case/chart" --namespace shop --include-crds --kube-version $kubernetes "${options[@]}" >"$case/expected.yaml" || echo "✗ $case" >&2
done
