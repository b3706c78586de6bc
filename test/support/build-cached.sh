#!/usr/bin/env bash
# build-cached.sh rego OUT | renderer OUT | inputs OUT | control-plane | native-opa | conftest | s3-server
# With --where in place of OUT it tells the folder that it is in.
# Builds one of our Go programs once per content of its sources and keeps the result in the cache folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${COUNTERSIGN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/countersign}
case "$1" in
rego) source=src/adapters/opa/compiler shared=src/adapters/wasi/reactor file=rego.wasm ;;
inputs) source=src/adapters/inputs/parsers shared=src/adapters/wasi/reactor file=inputs.wasm ;;
renderer) source=src/adapters/render/renderer shared=src/adapters/wasi/reactor file=renderer.wasm ;;
control-plane) source=test/control-plane file=control-plane ;;
s3-server) source=test/support/s3-server file=s3-server ;;
# In the compiler's module, for the same OPA; what else is in that does not matter.
native-opa) source=test/support/native-opa module=src/adapters/opa/compiler file=native-opa ;;
# The original, of the version whose parsers we build: what our answers are held against.
conftest) source=src/adapters/inputs/parsers file=conftest ;;
*) echo "build-cached.sh: unknown program $1" >&2; exit 2 ;;
esac
if [ "$1" = control-plane ] && [ -n "${KUBEBUILDER_ASSETS:-}" ]; then exit 0; fi
key=$(find "$source" ${shared:-} ${module:+"$module/go.mod"} -type f \( -name '*.go' -o -name 'go.*' \) | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-16)
# What a cached policy bundle was compiled by, or a folder rendered by: versions and the content of our sources.
version() { sed -n "s#.*$1 v##p" "$source/go.mod" | head -1; }
if [ "$1" = conftest ]; then key=v$(version open-policy-agent/conftest); fi
dir=$cache/$1-$key
if [ ! -x "$dir/$file" ]; then
  command -v go >/dev/null || { echo "Go is missing. Install Go 1.26 or newer, then run this again." >&2; exit 2; }
  mkdir -p "$cache"
  exec 9>"$cache/$1.lock"
  flock 9 # two builds at once would only be slower
  if [ ! -x "$dir/$file" ]; then
    staging=$(mktemp -d "$cache/.build-XXXXXX")
    trap 'rm -rf "$staging"; kill "${ticker:-}" 2>/dev/null || true' EXIT
    case "$1" in
    rego) echo "building the Rego compiler (2 minutes the first time)" >&2 ;;
    renderer) echo "building the renderer of Kustomize and Helm (2 minutes the first time)" >&2 ;;
    inputs) echo "building the parsers of Conftest's input formats (2 minutes the first time)" >&2 ;;
    native-opa) echo "building native OPA to measure against (a minute the first time)" >&2 ;;
    conftest) echo "building Conftest to compare with (2 minutes the first time)" >&2 ;;
    s3-server) echo "building an S3-compatible server for tests (20 seconds the first time)" >&2 ;;
    control-plane) echo "building etcd, kube-apiserver and kube-controller-manager (10 to 20 minutes the first time)" >&2 ;;
    esac
    started=$SECONDS
    (while sleep 30; do echo "  still building $1, $((SECONDS - started)) s" >&2; done) &
    ticker=$!
    case "$1" in
    rego | renderer | inputs)
      # Kustomize writes its version into objects that ask for it.
      v=sigs.k8s.io/kustomize/api/provenance.version=v5.8.1
      (cd "$source" && GOOS=wasip1 GOARCH=wasm go build -trimpath -buildmode=c-shared -ldflags="-s -w -X $v" -o "$staging/$file" .)
      ;;
    native-opa)
      (cd "$module" && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o "$staging/$file" "$OLDPWD/$source/main.go")
      ;;
    conftest) GOBIN=$staging CGO_ENABLED=0 go install -trimpath -ldflags="-s -w" "github.com/open-policy-agent/conftest@$key" ;;
    s3-server) (cd "$source" && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o "$staging/$file" .) ;;
    control-plane)
      v=k8s.io/component-base/version
      (cd "$source" && CGO_ENABLED=0 go build -trimpath -o "$staging/$file" \
        -ldflags "-s -w -X $v.gitVersion=v1.34.4 -X $v.gitMajor=1 -X $v.gitMinor=34" .)
      for name in etcd kube-apiserver kube-controller-manager; do ln "$staging/$file" "$staging/$name"; done
      ;;
    esac
    kill "$ticker" 2>/dev/null || true
    chmod -R a+rX "$staging" && chmod a+x "$staging/$file"
    rm -rf "$dir" && mv "$staging" "$dir" # whole or not at all
    echo "  built $1 in $((SECONDS - started)) s" >&2
  fi
fi
if [ "${2:-}" = --where ]; then
  echo "$dir"
elif [ $# -gt 1 ]; then
  cp "$dir/$file" "$2"
  case "$1" in
  rego) printf 'opa-%s+%s\n' "$(version open-policy-agent/opa)" "$key" ;;
  renderer) printf 'kustomize-api-%s+helm-%s+%s\n' "$(version sigs.k8s.io/kustomize/api)" "$(version helm.sh/helm/v3)" "$key" ;;
  inputs) printf 'conftest-%s+%s\n' "$(version open-policy-agent/conftest)" "$key" ;;
  esac >"${2%.wasm}.version"
else
  echo "$dir" >"$cache/$1.current"
fi
