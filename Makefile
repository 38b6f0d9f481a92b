# Options for a command go in ARGS: make test ARGS="tests/order -k cancel"
ARGS  ?=
BIN   := .venv/bin
# Tests wait more than they work. Those of a file stay together, and share the clusters that they start.
AT_ONCE := --numprocesses=3 --dist=loadfile
READY := .venv/.ready

# Each process would compile our modules again, and the tests start many: a fourth of a service's start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test check bench mutants generate format lock clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Options go in ARGS, for instance: make test ARGS="tests/order -k cancel"'

setup: $(READY) ## the environment in .venv, from the hashed lock

demo: $(READY) ## start the whole cluster, tell the story of some orders, stop
	@$(BIN)/python -m services.cluster demo $(ARGS)

up: $(READY) ## the same cluster, staying; Ctrl-C stops it all
	@$(BIN)/python -m services.cluster up $(ARGS)

down: $(READY) ## stop a cluster that `make up` started elsewhere
	@$(BIN)/python -m services.cluster down $(ARGS)

test: $(READY) ## every test, on real parts, in three processes
	@$(BIN)/python -m pytest $(or $(ARGS),$(AT_ONCE))

check: $(READY) ## format, lint, types, imports, contract, freshness of what is generated
	@$(BIN)/python -m tools.check $(ARGS)

bench: $(READY) ## what it costs, each figure beside its limit
	@$(BIN)/python -m tests.bench $(ARGS)

mutants: $(READY) ## break each promise in a copy: which test notices (some: ARGS="inbox lease")
	@$(BIN)/python -m tools.mutants $(ARGS)

generate: $(READY) ## write generated/, docker-compose.yml's services, docs/rpcs.md, docs/architecture.md's pictures
	@$(BIN)/python -m tools.generate
	@$(BIN)/python -m tools.compose
	@$(BIN)/python -m tools.architecture
	@$(BIN)/python -m tools.rpcs

format: $(READY) ## format Python and protos, fix what the linter can
	@echo "formatting Python"
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@echo "formatting protos"
	@$(BIN)/buf format --write protos

lock: $(READY) ## write the two locks from pyproject.toml and requirements.in (newer: ARGS=--upgrade)
	@echo "locking"
	@$(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-annotate --no-header --constraint requirements.in --output-file requirements.lock $(ARGS) pyproject.toml
	@$(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --constraint requirements.lock --output-file requirements-production.lock pyproject.toml

clean: ## remove caches and build output (.venv and .commerce stay)
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "clean"

$(READY): requirements.lock pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Commerce needs Python 3.11 or newer as python3; found: $$(python3 --version 2>&1)"; exit 1; }
	@echo "making the environment in .venv (the first time takes a minute or two)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv || \
	  { echo "python3 cannot make a virtual environment: install its venv module"; exit 1; }
	@echo "installing what requirements.lock names"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $(READY)
