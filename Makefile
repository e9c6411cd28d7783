# `make demo` and `make test` set up .venv by themselves, and again when pyproject.toml or constraints.txt changes.

PYTHON = $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
VENV := .venv
BIN := $(VENV)/bin
FUZZ ?= 20
PYTEST_WORKERS ?= --numprocesses=auto --maxprocesses=4 --dist=loadfile

# OpenMP's threads spin while they wait; beside any other load, that makes torch several times slower.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help demo demo-images test fuzz lint format bench bench-quick clean

help: ## Show what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## Index the standard library's docstrings in ./demo-data and ask them questions
	@$(BIN)/lancelike demo

demo-images: $(VENV)/.demo-images ## Index drawn pictures in ./demo-images, search them, and write a contact sheet
	@$(BIN)/lancelike demo-images

test: lint ## Lint, check types, and run every test and every code block of the docs
	$(BIN)/pytest $(PYTEST_WORKERS) $(PYTEST_ARGS)

fuzz: $(VENV)/.test ## Run the property tests with FUZZ times as many examples, at random (make fuzz FUZZ=100)
	FUZZ=$(FUZZ) $(BIN)/pytest $(PYTEST_WORKERS) -m hypothesis --timeout=0 $(PYTEST_ARGS)

lint: $(VENV)/.test ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test ## Fix what style can be fixed by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# hnswlib joins in where it is installed, and chromadb where CHROMA_PYTHON names a Python that has it.
bench: $(VENV)/.bench ## Measure against pylance, lancedb and faiss, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks

# Fails if one is worse than in the runs kept. `make bench-quick KEEP=--keep` keeps this one, in benchmarks/kept.json.
bench-quick: $(VENV)/.bench ## Print a line for each goal beside lancedb, and mark what a change made slower, in under two minutes
	$(BIN)/python -m benchmarks --watch $(KEEP)

clean: ## Remove .venv and what the demos made
	rm -rf $(VENV) demo-data demo-images

# The constraint on torch is why everything is installed in one call: see constraints.txt.
$(VENV)/.%: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "lancelike needs Python 3.11 or newer with venv; or say make PYTHON=..." >&2; exit 1; }
	@echo "Setting up $(VENV) for '$*': minutes the first time, seconds after that"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@
