# The commands of AgentTrader's developers. `make help` lists them.
GOLANGCI ?= github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
MODULES  := pkg firestore services/fanout services/syncer services/signaler cmd/agenttrader

.DEFAULT_GOAL := help
.PHONY: help run test test-rules check build up chaos bench lint fmt alone terraform-check terraform-faults images images-check scan smoke

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: ## a look: the whole platform in one process, 25 users, 5 ticks
	go run ./cmd/agenttrader local --ticks 5 --interval 2s

test: ## all tests, with the race detector
	go test -race -timeout 45m work

test-rules: ## the security rules on the emulator: each attempt of firestore/matrix.md, then each part of a condition taken away
	CI=true go test -count=1 -v -run 'TestMatrix|TestRules|TestMutants' ./firestore

build: ## all binaries, into bin/
	go build -o bin/ ./cmd/agenttrader ./services/fanout/cmd/fanout ./services/syncer/cmd/syncer ./services/signaler/cmd/signaler

up: build ## the three services as processes, on the Firestore emulator, for 2 ticks
	bin/agenttrader up --ticks 2

chaos: ## the platform under fire: 500 users, 20 ticks, two minutes; then what must hold all the same
	go run ./cmd/agenttrader chaos

bench: build ## the platform beside its predecessor's design: a quarter of an hour, and a page with plots in bin/
	bin/agenttrader bench --html bin/bench.html

# By hand, against a platform that runs; it takes the syncer's environment. KEYS is a file; without it the keys are asked for.
KEYS ?=

smoke: build ## PROJECT=…: a real project from end to end, by a user of its own, whom it removes again; not for CI
	@[ -n "$(PROJECT)" ] || { echo "smoke: which project? make smoke PROJECT=my-project KEYS=paper.json"; exit 1; }
	@[ -z "$$CI" ] || { echo "smoke: not in CI: it takes a paper account's keys and a platform that runs"; exit 1; }
	@bin/agenttrader smoke --project '$(PROJECT)' $(if $(KEYS),--file '$(KEYS)')

check: fmt lint alone test terraform-check ## what must pass before a commit

fmt: ## fail on files that gofmt would change
	@out=$$(gofmt -l $(MODULES)); if [ -n "$$out" ]; then echo "gofmt -w these: $$out"; exit 1; fi

lint: ## go vet and golangci-lint
	go vet work
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && go run $(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done

alone: ## every module builds without the workspace
	@for m in $(MODULES); do (cd $$m && GOWORK=off go build ./... && GOWORK=off go mod verify >/dev/null) || exit 1; done; echo "all modules build alone"

# Terraform: the real one where it is; TERRAFORM names another, or a stand-in. Nothing here needs a project.
TERRAFORM ?= terraform
TFLINT    ?= go run github.com/terraform-linters/tflint@v0.64.0

terraform-check: ## Terraform: format, validate, test, lint, and the plans against policy and code
	@TERRAFORM='$(TERRAFORM)' TFLINT='$(TFLINT)' terraform/tests/check.sh

terraform-faults: ## plant 25 faults in the Terraform, one at a time: terraform-check must turn red on each
	@TERRAFORM='$(TERRAFORM)' terraform/tests/faults.sh

# Images. BASE is the base image: for the same digests tomorrow name it by its digest. PUSH=1 REPO=REGISTRY pushes.
KO    ?= go run github.com/google/ko@v0.19.1
CRANE ?= go run github.com/google/go-containerregistry/cmd/crane@v0.22.1
BASE  ?= gcr.io/distroless/static-debian12:nonroot
REPO  ?=
PUSH  ?= 0

images: ## the services' images, as OCI layouts in bin/images; PUSH=1 REPO=… pushes them and prints their digests
	@KO='$(KO)' BASE='$(BASE)' REPO='$(REPO)' PUSH='$(PUSH)' TAG='$(TAG)' images/build.sh

images-check: ## without a registry: the images twice, on a base made here; alike, non-root, and their binaries answer
	@KO='$(KO)' CRANE='$(CRANE)' images/check.sh

# Scans that look things up: govulncheck asks vuln.go.dev.
GOVULNCHECK ?= golang.org/x/vuln/cmd/govulncheck@v1.9.0
GOSEC       ?= github.com/securego/gosec/v2/cmd/gosec@v2.30.0

scan: ## known vulnerabilities in what is called, and gosec's findings of severity high; red too if vuln.go.dev can't be asked
	@rc=0; for m in $(MODULES); do echo "scan $$m"; \
	  (cd $$m && go run $(GOSEC) -quiet -severity high -confidence high ./...) || rc=1; \
	  (cd $$m && go run $(GOVULNCHECK) ./...) || rc=1; done; exit $$rc
