# Atalaya. `make` lists the targets.

GO          ?= go
export CGO_ENABLED ?= 0
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS     := -s -w -X main.version=$(VERSION)
# Pinned; the newest govulncheck needs a module that proxies do not serve.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.5.0
# A Go vulnerability database: https://vuln.go.dev, or file:///folder for a machine without internet.
VULNDB      ?= https://vuln.go.dev
PLATFORMS   := linux/amd64 linux/arm64 windows/amd64 windows/arm64 darwin/amd64 darwin/arm64 freebsd/amd64
# The agent's budget for its stripped static binary (docs/adr/0006-static-binaries.md).
AGENT_MAX_BYTES := 12582912
# The agent is compiled without inlining, which takes 0.96 MB off it, but for the packages
# that work at every tick (docs/adr/0028-inlining.md). Its collector of garbage is that of
# Go 1.25, which is 41 kB smaller (docs/adr/0051-room-for-verdicts.md).
HOT := internal/runtime/... internal/bytealg sync/atomic \
	atalaya/shared/metric $(addprefix atalaya/agent/probe/,cpu memory disk network system)
# Functions are laid at 4 bytes, not at 32, and where instructions may begin anywhere at 1:
# 0.23 MB (docs/adr/0030-agent-cost.md, 0045-room-in-the-agent.md).
FUNCALIGN   := $$(case $$($(GO) env GOARCH) in amd64) echo 1;; *) echo 4;; esac)
BUILD       := $(GO) build -trimpath -ldflags '$(LDFLAGS)'
BUILD_AGENT := GOEXPERIMENT=nogreenteagc $(GO) build -trimpath -gcflags=all=-l $(addprefix -gcflags=,$(addsuffix =,$(HOT))) -ldflags "$(LDFLAGS) -funcalign=$(FUNCALIGN)"

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: ## build bin/atalaya-agent and bin/atalaya, and bin/atalaya-sim, which is not installed
	$(BUILD_AGENT) -o bin/ ./agent/cmd/atalaya-agent
	$(BUILD) -o bin/ ./agent/cmd/atalaya-sim ./collector/cmd/atalaya

.PHONY: run
run: build ## run a collector and an agent here, in ./var; ONCE=1 ends after the first complete report
	@installers/run.sh

.PHONY: test
test: ## run every test
	$(GO) test ./...

.PHONY: test-service
test-service: build ## install both programs in a booted Debian container (root, systemd-nspawn, mmdebstrap)
	ATALAYA_SERVICE_TEST=1 $(GO) test -count=1 -v -run TestServicesUnderSystemd ./installers

.PHONY: check
check: format vet lint vuln test race cross size ## all that CI runs

.PHONY: format
format: ## fail when a file is not as gofmt writes it
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not formatted, run gofmt -w: $$bad"; exit 1; }

.PHONY: vet
vet: ## go vet, on Linux, Windows and macOS
	$(GO) vet ./...
	GOOS=windows $(GO) vet ./agent/... ./shared/... ./installers/...
	GOOS=darwin $(GO) vet ./agent/... ./shared/... ./installers/...

.PHONY: lint
lint: ## static analysis
	$(GO) run $(STATICCHECK) ./...

.PHONY: vuln
vuln: ## known vulnerabilities in what the programs call; VULNDB=file:///folder without internet
	@installers/vuln.sh '$(GOVULNCHECK)' '$(VULNDB)'

.PHONY: race
race: ## run the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short ./agent/... ./collector/... ./shared/... ./installers/...

.PHONY: cross
cross: ## build both programs for every platform
	@for p in $(PLATFORMS); do \
		echo "build $$p"; \
		export GOOS=$${p%/*} GOARCH=$${p#*/}; \
		$(BUILD_AGENT) -o dist/$$p/ ./agent/cmd/atalaya-agent && $(BUILD) -o dist/$$p/ ./collector/cmd/atalaya || exit 1; \
	done

.PHONY: size
size: build ## fail when the agent is over its budget
	@n=$$(stat -c %s bin/atalaya-agent); echo "atalaya-agent: $$n bytes of at most $(AGENT_MAX_BYTES)"; test $$n -le $(AGENT_MAX_BYTES)

.PHONY: bench
bench: build ## the agent's budgets, each measured on this machine
	@installers/bench.sh

HOSTS ?= 1000
DAYS  ?= 30

.PHONY: bench-fleet
bench-fleet: ## a fleet in the collector: bytes, questions, kills, a backup; HOSTS=10000 DAYS=30
	$(GO) test ./collector -count=1 -run TestFleetFigures -v -timeout 6h -args -fleet $(HOSTS) -days $(DAYS)

AGENTS ?= 1000

.PHONY: bench-live
bench-live: build ## connected agents at the collector: memory, CPU, kill -9 and coming back; AGENTS=10000
	@AGENTS=$(AGENTS) installers/bench-live.sh

.PHONY: benchmarks
benchmarks: ## every benchmark, with allocations
	$(GO) test -run '^$$' -bench . -benchmem ./agent/... ./shared/... ./collector/...

.PHONY: truth
truth: build ## the inventory of this machine against its own tools, row by row, beside peers (as root)
	@installers/truth.sh --rows --peers

.PHONY: golden
golden: ## rewrite golden files; review the diff
	$(GO) test . -run DataModel -update
	$(GO) test $$(grep -rlE 'flag\.Bool\("update"|probetest\.Golden' --include='*_test.go' ./agent ./collector ./shared | xargs -n 1 dirname | sort -u) -update

.PHONY: clean
clean: ## remove what was built and ./var
	rm -rf bin dist var
