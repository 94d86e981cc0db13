# Everything from Python 3.11 and make alone: each target sets up what it needs, once, in an environment of its own.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
DEMO := .venv-demo
VENV := .venv
EXTRAS := torch,data,plots,http,mqtt,flower,trees,tracking,dev
PIP_INSTALL = -m pip install -qq --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check format budgets bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(DEMO)/.ready ## train the digits over 20 clients, with the light base install
	@$(DEMO)/bin/ciranda run
	@echo "(ciranda is $(DEMO)/bin/ciranda here)"

test: check ## every check, then the whole test suite under the coverage floor
	@$(VENV)/bin/python -m pytest --cov --cov-report=term

check: $(VENV)/.ready ## lint, format, types, architecture and size budgets
	@$(VENV)/bin/ruff check --quiet
	@$(VENV)/bin/ruff format --check --quiet || { echo "ruff format would change files: run 'make format'" >&2; exit 1; }
	@$(VENV)/bin/mypy
	@$(VENV)/bin/python scripts/architecture.py
	@$(VENV)/bin/python scripts/count_budgets.py

format: $(VENV)/.ready ## lay the code out
	@$(VENV)/bin/ruff check --quiet --fix
	@$(VENV)/bin/ruff format --quiet

budgets: $(VENV)/.ready $(DEMO)/.ready ## what is measured rather than read: calls in a round, import time, install size
	@$(VENV)/bin/python scripts/count_round.py
	@$(DEMO)/bin/python scripts/import_time.py
	@$(DEMO)/bin/python scripts/install_size.py

bench: $(VENV)/.ready $(DEMO)/.ready ## the benchmarks against a bare loop and other frameworks
	@$(VENV)/bin/python -m benchmarks

clean: ## remove what the other targets made, runs excepted
	rm -rf $(DEMO) $(VENV) .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist

# Called with the folder of a virtual environment ($1) and what to install there ($2).
define environment
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Ciranda needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting $(1) up (once) ..." >&2
	@test -x $(1)/bin/python || "$(PYTHON)" -m venv $(1)
	@$(1)/bin/python $(PIP_INSTALL) --editable '$(2)'
	@touch $(1)/.ready
endef

$(DEMO)/.ready: pyproject.toml constraints.txt
	$(call environment,$(DEMO),.)

$(VENV)/.ready: pyproject.toml constraints.txt
	$(call environment,$(VENV),.[$(EXTRAS)])
