# Everything a person types. Needs Python 3.11 to 3.14, make, git and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONUNBUFFERED := 1
# Of the tests: two more than there are cores, since each waits now and then for a process or a browser that it started.
WORKERS = $(shell $(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 2)')
# Python keeps what it has compiled, whatever the environment says: otherwise each command compiles Dagster anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install dev-install demo dev test-weights test test-slow test-random test-lowest lint bench wheel lock clean

help:
	@echo "make demo    the whole pipeline on rendered portraits, without key or internet; ends with a report"
	@echo "make dev     the Dagster UI (after make demo: on the demo's home)"
	@echo "make test    the tests; make test-slow: those that take minutes; make test-random: other inputs;"
	@echo "             make test-lowest: the oldest packages that pyproject.toml allows"
	@echo "make lint    ruff, basedpyright, import-linter"
	@echo "make bench NAME=...  one benchmark of benchmarks/"
	@echo "make wheel   dist/bokehflow-….whl, which needs no checkout"
	@echo "BOKEHFLOW_HOME says where data lives"

install: $(VENV)/.installed
dev-install: $(VENV)/.installed-dev

# What installs and builds is pinned by hash as well: uv, and setuptools, which runs when this package is built.
$(BIN)/uv: requirements-build.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "bokehflow needs Python 3.11 to 3.14; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-build.lock

# The lock pins every package and its hashes, which uv checks; the torch in it is the CUDA build, which runs without a GPU too.
$(VENV)/.installed: $(BIN)/uv pyproject.toml requirements.lock
	@echo "installing into $(VENV) (several GB on the first time, a minute or two)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --verify-hashes --constraint requirements.lock --build-constraint requirements-build.lock --editable .
	touch $@

$(VENV)/.installed-dev: $(BIN)/uv pyproject.toml requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --verify-hashes --constraint requirements.lock --build-constraint requirements-build.lock --editable '.[dev,studio]'
	touch $@ $(VENV)/.installed

demo: install
	$(BIN)/bokehflow demo

dev: install
	$(BIN)/bokehflow dev

# Tests talk to this machine only, so what they need of the world is fetched before.
test-weights: dev-install
	@$(BIN)/bokehflow weights --page --home $(VENV)/test-home

test: test-weights
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: test-weights
	$(BIN)/python -m pytest -m slow

# The properties, on other inputs every time; `make test` tries the same ones, and fewer.
test-random: test-weights
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-1000} $(BIN)/python -m pytest -m hypothesis --numprocesses $(WORKERS)

# Bounds are as low as the tests pass with, on the oldest Python: what old packages warn of is no fault of ours.
LOWEST := $(VENV)/lowest
RUNTIME_EXTRAS := heic hub studio nyu openlineage mlflow dask ray postgres cloud

test-lowest: test-weights
	$(BIN)/uv pip compile --quiet --no-deps --resolution lowest-direct --python $(BIN)/python $(RUNTIME_EXTRAS:%=--extra %) \
		pyproject.toml --output-file $(LOWEST).txt >/dev/null
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --constraint $(LOWEST).txt --requirement $(LOWEST).txt uv --editable '.[dev]'
	$(LOWEST)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/test_lock.py \
		--deselect tests/resources/test_dagster_internals.py::test_the_installed_version_is_the_pinned_one \
		-W ignore::DeprecationWarning -W ignore::FutureWarning -W ignore::UserWarning

lint: dev-install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: dev-install
	$(BIN)/python benchmarks/$(NAME).py

# An old build folder would bring modules that are gone.
wheel: $(BIN)/uv
	rm -rf build dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls dist/*.whl

lock: $(BIN)/uv
	printf 'setuptools>=77\nuv\n' | $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
		- --output-file requirements-build.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --all-extras --python-version 3.11 \
		pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
