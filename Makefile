# The commands of this project. On a fresh machine Python 3.11 and make are enough: each target first makes what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
TESTS := -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CHECK := DATA_DIR=$(VENV)/checks $(BIN)/python

.PHONY: run test test-services lint types bench golden ci
.DEFAULT_GOAL := run

run: $(VENV)/run.stamp          ## the whole site in one process, on http://127.0.0.1:8000; ARGS are those of `manage.py serve`
	$(BIN)/python manage.py serve $(ARGS)

test: $(VENV)/dev.stamp tests/node/node_modules   ## all tests, in WORKERS processes; ARGS are pytest's
	$(BIN)/python $(TESTS) $(ARGS)

test-services: $(VENV)/dev.stamp  ## the in-process tests once more, on PostgreSQL and Redis of their own
	$(BIN)/python -m tests.support.services $(BIN)/python $(TESTS) tests/agents tests/billing tests/chat tests/protocols $(ARGS)

lint: $(VENV)/dev.stamp         ## style, import contracts, missing migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(CHECK) manage.py makemigrations --check --dry-run

types: $(VENV)/dev.stamp        ## mypy --strict over our code
	$(CHECK) -m mypy .

bench: $(VENV)/dev.stamp        ## the benchmarks; ARGS="--only streamed,whole --server uvicorn --mode embedded --rounds 3" for a quick look
	$(BIN)/python -m tests.benchmarks.run $(ARGS)

golden: $(VENV)/dev.stamp       ## rewrites the golden files; read the diff before you commit it
	GOLDEN=write $(BIN)/python -m pytest tests/protocols $(ARGS)

ci: test test-services lint types             ## what .ci/run runs once the services are installed

$(VENV)/run.stamp: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --requirement requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	$(PIP) --requirement requirements-dev.txt
	touch $@

# The official Node SDK is one of the clients the wires are tested with; without npm those tests are skipped (in CI they fail).
tests/node/node_modules: $(wildcard tests/node/package.json)
	if command -v npm >/dev/null && test -f tests/node/package.json; then cd tests/node && npm install --silent --no-audit --no-fund && touch node_modules; fi
