# make demo, make test: each sets up its own environment first. Needs python3 (3.11 to 3.13), make and a package index.
# Another interpreter: make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(notdir $(PYTHON))
DEMO_ARGUMENTS ?=
TEST_ARGUMENTS ?=
TEST_WORKERS ?= 2
MUTANT_ARGUMENTS ?=
SOAK_ARGUMENTS ?= --minutes 30

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak mutants lint format clean

help:  ## Print this list.
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: $(STAMP)  ## Make the environment in .venv.

# Redone when the requirements change, and when the interpreter asked for is another one than the environment's.
$(STAMP): setup.cfg pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and f"error: Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is {v[0]}.{v[1]}; name another one: make PYTHON=python3.12")'
	@test ! -e $(VENV) -o -e $(VENV)/pyvenv.cfg || { echo "error: $(VENV) exists and is no Python environment; name another one: make VENV=..." >&2; exit 1; }
	@echo "Setting up $(VENV) (once, some minutes: TensorFlow is large)"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

demo: $(STAMP)  ## Draw data, check it, fit AMFAM, evaluate it.
	$(BIN)/amfam-tf demo $(DEMO_ARGUMENTS)

test: lint  ## Check style, then run all tests.
	$(BIN)/python -m pytest --numprocesses=$(TEST_WORKERS) --dist=loadfile --no-loadscope-reorder $(TEST_ARGUMENTS)

soak: $(STAMP)  ## Serve for long under traffic, swaps, kills and a full disk; see docs/reliability.md.
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGUMENTS)

mutants: $(STAMP)  ## Look for small wrong changes of the code that no test sees; see docs/reliability.md.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[mutants]"
	$(BIN)/python -m mutation $(MUTANT_ARGUMENTS)

lint: $(STAMP)  ## Check style, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

format: $(STAMP)  ## Put style and format right where that can be done automatically.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and all caches; keep runs and models.
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find amfam_tf tests -name __pycache__ -type d -prune -exec rm -rf {} +
