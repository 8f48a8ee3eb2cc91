# On a fresh machine, `make run` runs the operator on a local cluster and `make test` runs all tests.
.DEFAULT_GOAL := help
.PHONY: help dev lock lint format check fix generate test test-fast test-long test-matrix mutation clients conformance openapi openapi-mock bench docs run wheels release-check clean \
	k3d-create k3d-crds k3d-redis k3d-examples k3d-build k3d-deploy k3d-delete kustomize-k3d kustomize-prod

POE := .venv/bin/poe
KUBERNETES ?= v1.34.4 v1.36.3 v1.37.2
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

dev: .venv/.ready ## Create .venv with the locked dependencies

.venv/.ready: poetry.lock pyproject.toml scripts/dev.sh
	@scripts/dev.sh
	@touch $@

lock: ## Resolve the dependencies and write poetry.lock
	@scripts/dev.sh lock

lint: dev ## Run Ruff and check the import contracts
	@$(POE) lint

format: dev ## Format the code
	@$(POE) format

check: dev ## Check formatting, lint, import contracts and types
	@$(POE) check

fix: dev ## Fix lint findings and formatting automatically
	@$(POE) fix

generate: dev ## Write the generated files
	@$(POE) generate

test-fast: dev ## Run the unit tests, without a cluster
	@$(POE) test-fast

test: dev ## Run all checks and tests: unit, integration (control plane), e2e (node, real pods)
	@$(POE) check
	@$(POE) test

test-long: dev ## Run the tests that take minutes
	@$(POE) test-long

mutation: dev ## Run mutation tests and write docs/mutation.md; ARGS='--sample 300 certs' limits them (takes hours without)
	@.venv/bin/python -m scripts.mutation $(ARGS)

clients: dev ## Try thousands of generated tools with the official SDKs and write docs/clients.md (takes minutes)
	@.venv/bin/python -m scripts.clients

conformance: dev ## Run the conformance suite of MCP against a server and write docs/conformance.md
	@.venv/bin/python -m scripts.conformance

openapi: dev ## Import 600 published OpenAPI descriptions from FOLDER and write docs/import.md (takes minutes)
	@.venv/bin/python -m scripts.openapi $(FOLDER)

openapi-mock: dev ## Call imported tools against mocks of their APIs, with the descriptions in FOLDER (takes minutes)
	@.venv/bin/python -m scripts.prism $(FOLDER)

bench: dev ## Run the benchmarks
	@.venv/bin/python -m scripts.benchmark
	@set -e; for file in scripts/bench/*.py; do \
		module=$$(basename $$file .py); \
		case $$module in _*|fake_*|process|ratios|sdk_server) continue ;; esac; \
		echo "== $$module"; .venv/bin/python -m scripts.bench.$$module; \
	done

docs: ## Write the documentation as a site to dist/site, and check its links
	@scripts/dev.sh docs
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

test-matrix: dev ## Run the integration tests on each version of Kubernetes in KUBERNETES=…
	@for version in $(KUBERNETES); do \
		echo "== Kubernetes $$version" && .venv/bin/pytest -q tests/integration --kubernetes=$$version || exit 1; \
	done

run: dev ## Run the operator on a local cluster, or with CONTEXT=name on a cluster of your kubeconfig
	@.venv/bin/python -m scripts.run $(if $(CONTEXT),--context $(CONTEXT)) $(RUN_ARGS)

wheels: dev ## Collect dist/wheels for `docker build .`
	@.venv/bin/python -m scripts.wheelhouse

release-check: dev ## Check what a release is built from, and write dist/sbom.cdx.json (CycloneDX)
	@.venv/bin/python -m scripts.release

k3d-create: ## Create a k3d cluster (needs Docker)
	@scripts/k3d-cluster.sh create

k3d-crds: ## Apply the CustomResourceDefinitions to the k3d cluster
	@scripts/k3d-cluster.sh crds

k3d-redis: ## Deploy a Redis for the examples to the k3d cluster
	@scripts/k3d-cluster.sh redis

k3d-examples: ## Apply the examples to the k3d cluster
	@scripts/k3d-cluster.sh examples

k3d-build: wheels ## Build the image with Docker and import it into the k3d cluster
	@scripts/k3d-cluster.sh build

k3d-deploy: ## Deploy the operator to the k3d cluster
	@scripts/k3d-cluster.sh deploy

k3d-delete: ## Delete the k3d cluster
	@scripts/k3d-cluster.sh delete

kustomize-k3d: ## Print the manifests of the k3d overlay
	@scripts/kustomize.sh manifests/overlays/k3d

kustomize-prod: ## Print the manifests of the production overlay
	@scripts/kustomize.sh manifests/overlays/production

clean: ## Remove everything that was built in this folder; the cache stays
	@rm -rf .venv dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis mutants
