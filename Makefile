# borderflow on a machine with Linux, Python 3.11 or newer, make and pip. `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
HERE := -m "$(or $(MARK),not kafka)" --numprocesses $(or $(JOBS),2)

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage test-kafka lint types lint-imports check-schemas check audit generate clean distclean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with the locked versions; quick when there is nothing to do

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"borderflow needs Python 3.11 or newer; $(PYTHON) is {v[0]}.{v[1]}. Name another: make install PYTHON=python3.12")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --editable .
	@touch $@

demo: install ## the whole loop on this machine, with a live view: make demo DURATION=60 ARGS="--seed 7"
	$(BIN)/borderflow demo $(if $(DURATION),--duration $(DURATION)) $(ARGS)

test: install ## all tests that need no Docker and no Java: make test TESTS=tests/unit JOBS=1
	$(PYTEST) $(HERE) --durations=15 $(TESTS)

coverage: install ## the same with coverage: twice the time
	$(PYTEST) $(HERE) --cov --cov-report=term:skip-covered $(TESTS)

test-kafka: install ## broker and fault tests on Apache Kafka (Java 17, Maven): make test-kafka SEEDS=20 JOBS=1
	BORDERFLOW_TEST_KAFKA=1 $(if $(SEEDS),BORDERFLOW_FAULT_SEEDS=$(SEEDS)) $(PYTEST) -m "(kafka or broker) and not browser" --durations=15 --numprocesses $(or $(JOBS),3) $(or $(TESTS),tests/faults tests/real_kafka tests/integration tests/unit/load)

lint: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy, strict
	$(BIN)/mypy

lint-imports: install ## which package may import which
	$(BIN)/lint-imports

check-schemas: install ## today's types read every committed schema; generated files are up to date
	$(BIN)/borderflow schemas check

check: lint types lint-imports check-schemas ## everything but the tests

audit: ## known vulnerabilities of the locked versions, and dist/sbom.cdx.json (CycloneDX)
	@test -x .venv-audit/bin/cyclonedx-py || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip --disable-pip-version-check --quiet install pip-audit==2.10.1 cyclonedx-bom==7.5.0; }
	@mkdir -p dist
	.venv-audit/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json
	.venv-audit/bin/python .ci/vulnerabilities.py requirements.lock

generate: install ## write the files that are made from the code: JSON Schemas, AsyncAPI, docs tables
	$(BIN)/borderflow schemas generate
	$(BIN)/python -m streams.settings
	$(BIN)/python -m streams.metrics_page
	$(BIN)/python -m schemas.page
	$(BIN)/python -m streams.policies.page
	$(BIN)/python -m streams.criteria_page
	$(BIN)/python -m streams.archive.page

clean: ## remove caches and build output
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist build
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	rm -rf $(VENV)
