# Bare `make` prints what can be made.
.DEFAULT_GOAL := help
.PHONY: help build run notebooks test lint bench bench-peers fuzz sweep dist tools examples docs clean

PYTHON  ?= python3
VENV    := .tools/venv
VERSION := $(shell git describe --always --dirty --tags 2>/dev/null || echo unknown)
DATE    ?= 2025-03-31
SAMPLE  := sample
CUSTOMERS ?= 20000
FUZZTIME ?= 20s
export CGO_ENABLED = 0

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: bin/shoal ## build the program: bin/shoal
bin/shoal: $(shell find cmd jobs features models datasets -name '*.go' -not -name '*_test.go') go.mod go.sum
	go build -trimpath -ldflags "-X main.build=$(VERSION)" -o $@ ./cmd/shoal

PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
dist: ## static programs for linux and darwin, amd64 and arm64, with checksums: dist/
	@rm -rf dist && mkdir -p dist
	@for p in $(PLATFORMS); do \
		echo "dist/shoal-$${p%/*}-$${p#*/}"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} go build -trimpath -ldflags "-s -w -X main.build=$(VERSION)" -o dist/shoal-$${p%/*}-$${p#*/} ./cmd/shoal || exit 1; \
	done
	@cd dist && { sha256sum shoal-* 2>/dev/null || shasum -a 256 shoal-*; } > SHA256SUMS && cat SHA256SUMS

run: build $(SAMPLE)/events ## generate a sample history and run the whole job on it
	@bin/shoal run --config $(SAMPLE)/shoal.yaml --date $(DATE) --log human > $(SAMPLE)/summary.json
	@grep -q '"status":"noop"' $(SAMPLE)/summary.json || \
		bin/shoal grade --truth $(SAMPLE)/truth/truth.parquet --out $(SAMPLE)/out --date $(DATE)

$(SAMPLE)/events: | build
	@bin/shoal generate --out $(SAMPLE) --customers $(CUSTOMERS)

notebooks: run tools ## run every notebook on the sample; charts as PNG in sample/charts
	$(VENV)/bin/python notebooks/execute.py --charts $(SAMPLE)/charts

test: tools ## every test: lint, examples, oracles, relations, end to end
	SHOAL_REQUIRE_ORACLES=1 SHOAL_PYTHON=$(CURDIR)/$(VENV)/bin/python go test -timeout 60m ./...

lint: ## gofmt, vet, staticcheck and the layers
	go test ./internal/lint

bench: ## every benchmark, once
	go test -run '^$$' -bench . -benchtime 1x ./...

SIZE ?= small
PEERS ?= .tools/bench-peers
bench-peers: build tools ## a whole night beside an expert's script: SIZE=small (minutes) or large (hours); files in PEERS
	@mkdir -p $(PEERS)
	$(VENV)/bin/python notebooks/benchmarks/peers.py --size $(SIZE) --work $(PEERS)/$(SIZE)

fuzz: ## every fuzz target for FUZZTIME (20s) each
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd jobs features models datasets | sort | \
	while IFS=: read -r file func; do \
		echo "$${func#func } in $$(dirname $$file)"; \
		go test -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$(dirname $$file) || exit 1; \
	done

sweep: ## a fault at every storage operation of a whole run, local and S3, and what else the tests take a sample of
	SHOAL_SWEEP=all go test -timeout 6h -v -run 'WholeRun|S3|Permutations|DiskFull|NotPermitted|Cancelled|Retention' ./jobs/runs ./jobs/publish
	SHOAL_SWEEP=all go test -timeout 60m -v -run TenThousandCorruptions ./datasets/scan
	SHOAL_SWEEP=all go test -timeout 60m -v -run DiskFillsUp ./cmd/shoal

tools: $(VENV)/.done ## the pinned Python environment that oracle tests use
$(VENV)/.done: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

docs: build ## regenerate the generated pages under docs/
	bin/shoal features --markdown > docs/features.md
	bin/shoal config reference > docs/configuration.md
	@rm -rf bin/docs && bin/shoal generate --out bin/docs --customers 900 --log json > bin/docs.log && \
	bin/shoal run --config bin/docs/shoal.yaml --date $(DATE) --log json > bin/docs.log 2>&1 || { cat bin/docs.log; exit 1; }
	bin/shoal outputs --out bin/docs/out --markdown > docs/outputs.md
	@rm -rf bin/docs bin/docs.log

clean: ## remove what make made
	rm -rf bin dist $(SAMPLE) .tools
