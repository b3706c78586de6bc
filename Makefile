# Every target installs what it needs first, keeps caches outside the tree and is quick when repeated.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export COUNTERSIGN_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/countersign
NODE := node_modules/node/bin/node
BIN := node_modules/.bin
REGO := dist/adapters/opa/rego.wasm
RENDERER := dist/adapters/render/renderer.wasm
INPUTS := dist/adapters/inputs/inputs.wasm
VERIFY_PAGE := dist/web/verify.html
REACTOR := $(wildcard src/adapters/wasi/reactor/*)
# The npm package node pins Node 24; what npm and its packages run is that one, too.
export PATH := $(CURDIR)/node_modules/node/bin:$(CURDIR)/$(BIN):$(PATH)

SOURCES := $(shell find src -name '*.ts' -not -name '*.test.ts' -o -name '*.graphql' | grep -v '^$$') $(wildcard migrations/*.ts)

.PHONY: help
help:
	@echo "make demo     the whole story on a real repository and a real Kubernetes API server (ARGS=--exit ends by itself)"
	@echo "make test     every test        make build    compile the service, the CLI and the Rego compiler"
	@echo "make lint     types, style, import rule, dead exports        make bench    benchmarks        make soak    long fault runs"

# npm itself has just installed what the lockfile says if its own record of that is newer.
node_modules/.installed: package.json package-lock.json
	@if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then \
	  echo "installing npm packages (about a minute the first time)"; npm ci --no-audit --no-fund --loglevel=error; fi
	@touch $@

dist/.built: node_modules/.installed $(SOURCES) .swcrc
	@echo "compiling TypeScript"
	@rm -rf dist/{cli,api} && $(BIN)/swc src --out-dir dist --strip-leading-paths --copy-files --ignore '**/*.test.ts' --ignore '**/*.go' --quiet
	@$(BIN)/swc migrations --out-dir dist/migrations --strip-leading-paths --quiet
	@touch $@

# The Rego compiler: our Go program over OPA's own packages, built once per content of its sources.
$(REGO): node_modules/.installed $(wildcard src/adapters/opa/compiler/*) $(REACTOR)
	@mkdir -p $(@D) && test/support/build-cached.sh rego $@

# Kustomize and Helm, the same way.
$(RENDERER): node_modules/.installed $(shell find src/adapters/render/renderer -type f) $(REACTOR)
	@mkdir -p $(@D) && test/support/build-cached.sh renderer $@

# Conftest's own parsers of input formats, the same way.
$(INPUTS): node_modules/.installed $(wildcard src/adapters/inputs/parsers/*) $(REACTOR)
	@mkdir -p $(@D) && test/support/build-cached.sh inputs $@

# The page that checks evidence in a browser: one file that needs nothing else.
$(VERIFY_PAGE): node_modules/.installed $(wildcard web/verify/*) $(wildcard src/audit/*.ts src/adapters/evidence/*.ts src/cluster/canonical.ts src/errors.ts)
	@$(NODE) web/verify/build.js $@

.PHONY: build
build: dist/.built $(REGO) $(RENDERER) $(INPUTS) $(VERIFY_PAGE)

.PHONY: control-plane
control-plane: node_modules/.installed
	@test/support/build-cached.sh control-plane

# No Wasm lives long enough in a test to repay its optimising compiler (45 % of the CPU of tests of policies).
.PHONY: test
test: build control-plane
	@test/support/install-tools.sh ssh sshd gpg postgres browser
	@NODE_OPTIONS="--experimental-vm-modules --disable-warning=ExperimentalWarning" \
	  $(NODE) --liftoff-only $(BIN)/jest $(ARGS)

# A fresh clone builds the Rego compiler while the story has begun; one that is there is only kept up to date.
.PHONY: demo
demo: dist/.built $(wildcard $(REGO))
	@test/support/install-tools.sh ssh
	@$(NODE) dist/cli/main.js demo $(ARGS)

.PHONY: lint
lint: node_modules/.installed
	@$(BIN)/tsc --noEmit -p tsconfig.test.json
	@$(BIN)/tsc -p web/tsconfig.json
	@$(BIN)/oxlint --type-aware
	@$(BIN)/prettier --check --log-level warn 'src/**/*.ts' 'test/**/*.ts' 'migrations/**/*.ts' 'web/**/*.{ts,js}'
	@$(BIN)/depcruise src --config .dependency-cruiser.cjs --output-type err

.PHONY: docs
docs: build
	@$(NODE) dist/cli/main.js policy list policies > docs/rules.md
	@$(NODE) dist/cli/main.js policy controls --output markdown > docs/controls.md
	@$(NODE) dist/cli/main.js policy schema --output markdown > docs/policy-input.md
	@$(NODE) --import ./test/support/typescript.js test/support/write-pages.ts

.PHONY: bench
bench: build control-plane
	@status=0; for f in test/bench/*.bench.ts; do echo "== $$f"; $(NODE) --import ./test/support/typescript.js $$f $(ARGS) || status=1; done; exit $$status

.PHONY: soak
soak: build control-plane
	@for f in test/soak/*.soak.ts; do echo "== $$f"; $(NODE) --import ./test/support/typescript.js $$f $(ARGS) || exit 1; done

# What Conftest itself says to our cases, which tests hold our answers against.
.PHONY: goldens
goldens: node_modules/.installed
	@$(NODE) --import ./test/support/typescript.js test/support/record-conftest.ts
