# make help lists what there is. Everything happens in .venv, which the first command makes.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Processes that run the tests.
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-cluster torture check docs format bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

install: $(STAMP) ## the project and its tools into .venv

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: make $(MAKECMDGOALS) PYTHON=python3.11")'
	@echo "installing into .venv (PyTorch is a few GB: a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## train on the toy set, translate, and measure (about five minutes on two CPU cores)
	@$(BIN)/cyclegan-demo

test: $(STAMP) ## the tests without those marked slow, on all cores
	@$(BIN)/pytest -m "not slow" -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-all: $(STAMP) ## all tests, and more examples of those that draw them
	@HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

torture: $(STAMP) ## kill trainings 64 times and a sweep 5 times, damage what they left, and compare their ends (20 minutes)
	@folder=$$(mktemp -d) && $(BIN)/python -m tests.train.torture --folder $$folder/runs \
		&& $(BIN)/python -m tests.sweep.torture --folder $$folder/sweep && rm -r $$folder

test-cluster: $(STAMP) ## train on a SLURM of two nodes, which is started for it on this machine (as root, in a container; ten minutes)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cluster]'
	@tests/cluster/slurm.sh $(BIN)/pytest -m cluster -rA tests/cluster

check: $(STAMP) ## formatting, lint, types and the arrows between packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

PAGES := README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff Containerfile docs

docs: $(STAMP) ## the documentation as a site, build/site/index.html; a dead link is an error
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@rm -rf build/pages build/site && mkdir -p build/pages/benchmarks
	@cp -r $(PAGES) build/pages && cp benchmarks/README.md build/pages/benchmarks
	@$(BIN)/zensical build --strict --clean
	@$(BIN)/python docs/site/check.py build/site

format: $(STAMP) ## format, and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP) ## start-up and trainer overhead, about ten minutes; benchmarks/README.md has the rest
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/overhead.py

clean: ## what can be made again: caches and the environment, never runs/ or data/
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
