# Two commands do everything on a fresh machine: `make run` shows the product, `make test` proves it.
.DEFAULT_GOAL := help
.PHONY: help dev lock lint format check fix generate test test-fast test-matrix run wheels clean \
	k3d-create k3d-crds k3d-redis k3d-examples k3d-build k3d-deploy k3d-delete kustomize-k3d kustomize-prod

POE := .venv/bin/poe
KUBERNETES ?= v1.34.4 v1.36.3 v1.37.2
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

dev: .venv/.ready ## Make .venv with everything that the lock file names

.venv/.ready: poetry.lock pyproject.toml scripts/dev.sh
	@scripts/dev.sh
	@touch $@

lock: ## Resolve the dependencies anew
	@scripts/dev.sh lock

lint: dev ## Run Ruff and check the import contracts
	@$(POE) lint

format: dev ## Format the code
	@$(POE) format

check: dev ## Check formatting, lint, import contracts and types
	@$(POE) check

fix: dev ## Repair what can be repaired automatically
	@$(POE) fix

generate: dev ## Write the generated files
	@$(POE) generate

test-fast: dev ## Unit tests only: no cluster
	@$(POE) test-fast

test: dev ## Everything: checks, unit, integration (control plane), e2e (node, real pods)
	@$(POE) check
	@$(POE) test

test-matrix: dev ## The API's schemas and the whole corpus on every supported version of Kubernetes
	@for version in $(KUBERNETES); do \
		echo "== Kubernetes $$version" && .venv/bin/pytest -q tests/integration --kubernetes=$$version || exit 1; \
	done

run: dev ## The product on a local cluster of its own; CONTEXT=name uses a cluster of yours
	@.venv/bin/python -m scripts.run $(if $(CONTEXT),--context $(CONTEXT)) $(RUN_ARGS)

wheels: dev ## Gather dist/wheels for `docker build .`
	@.venv/bin/python -m scripts.wheelhouse

k3d-create: ## A k3d cluster (needs Docker)
	@scripts/k3d-cluster.sh create

k3d-crds: ## Apply the CustomResourceDefinitions to it
	@scripts/k3d-cluster.sh crds

k3d-redis: ## Put a Redis for the examples into it
	@scripts/k3d-cluster.sh redis

k3d-examples: ## Apply the examples to it
	@scripts/k3d-cluster.sh examples

k3d-build: wheels ## Build the image with Docker and import it
	@scripts/k3d-cluster.sh build

k3d-deploy: ## Deploy the operator into it
	@scripts/k3d-cluster.sh deploy

k3d-delete: ## Delete it
	@scripts/k3d-cluster.sh delete

kustomize-k3d: ## Print the manifests of the k3d overlay
	@scripts/kustomize.sh manifests/overlays/k3d

kustomize-prod: ## Print the manifests of the production overlay
	@scripts/kustomize.sh manifests/overlays/production

clean: ## Remove what was built here (the cache outside stays)
	@rm -rf .venv dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
