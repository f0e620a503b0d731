# Everything is done from here; CI only calls these targets. Each does its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
LOWEST ?= $(VENV)-lowest
# Settings, client, command line, server, and the two of them together.
LOWEST_TESTS := tests/settings tests/client tests/cli/test_app.py tests/cli/audit/test_table.py tests/server/test_connections.py \
  tests/server/test_call_reader.py tests/server/test_http_connection.py tests/server/test_tls_connection.py \
  tests/server/database/test_sqlite.py tests/server/test_app.py tests/server/test_live.py \
  tests/integration/test_embedded.py::test_an_approval_is_verified_and_used_up \
  tests/integration/test_embedded.py::test_a_denial_says_who_and_why
# Eight on two cores: many tests wait for peers and for time; with five, a fifth of the processors' time is idle.
JOBS ?= 8
PYTEST := pytest -q -n $(JOBS) --dist worksteal
# Thousands of processes are started: where none may keep what it compiled, each takes a third longer.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lowest lint types bench soak completions completions-check docs docs-check pictures package check clean

help: ## Show what there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

# The stamps: an environment is made once, and again when what it is made of changes.
$(VENV)/server: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server]'
	touch $@

$(VENV)/dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/server

$(LOWEST)/lowest: pyproject.toml .ci/lowest
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python .ci/lowest >$(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $(LOWEST)/lowest.txt -e . \
	  pytest pytest-timeout pytest-xdist
	touch $@

demo: $(VENV)/server ## The main job, for real: a server, a request, a verdict, an approved command.
	@PATH="$(BIN):$$PATH" bash .ci/demo

test: $(VENV)/dev ## The tests. With COVERAGE=1, as CI runs them, also the slow ones, and with branch coverage.
	@# pytest compiles the tests in a way of its own: once, side by side, rather than once more in each of the processes below.
	@find tests -name 'test_*.py' $$(test ! -e $(VENV)/compiled || echo "-newer $(VENV)/compiled") -print0 | sort -z | \
	  xargs -r -0 -n 80 -P 2 $(BIN)/python -m pytest -q --collect-only >/dev/null || true
	@touch $(VENV)/compiled
ifdef COVERAGE
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m $(PYTEST) -m 'not soak' $(ARGS)
	$(BIN)/coverage combine --quiet 2>/dev/null # a process that was killed leaves half a file; what it ran, others run too
	rm -f .coverage.*
	$(BIN)/coverage report
else
	$(BIN)/python -m $(PYTEST) -m 'not soak and not slow' $(ARGS)
endif

lowest: $(LOWEST)/lowest ## Some tests of each library, with the oldest versions that pyproject.toml allows.
	$(LOWEST)/bin/python -m $(PYTEST) -m 'not soak' $(LOWEST_TESTS)

soak: $(VENV)/dev ## Storms that take minutes, and every test with programs that are started, not forked.
	$(BIN)/python -m pytest -q -m soak --timeout 1800 || test $$? -eq 5
	$(BIN)/python -m $(PYTEST) -m 'not soak' --real-starts

lint: $(VENV)/dev ## ruff: rules and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev ## mypy, strict, over package, tests and benchmarks.
	$(BIN)/mypy

bench: $(VENV)/dev ## Measured figures, as ratios of one interleaved run.
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/audit.py
	$(BIN)/python benchmarks/server.py

completions: $(VENV)/dev ## Write the completion scripts again, from the commands.
	$(BIN)/python -m molecule_approve.cli.completion completions

completions-check: $(VENV)/dev ## Compare the completion scripts with what the commands say.
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(BIN)/python -m molecule_approve.cli.completion "$$fresh"; \
	diff -ru completions "$$fresh" || { echo "the completions are old: make completions" >&2; exit 1; }

docs: $(VENV)/dev ## Write the generated parts of the pages, and the manual pages.
	$(BIN)/python .ci/docs.py

docs-check: $(VENV)/dev ## Compare them with the code.
	$(BIN)/python .ci/docs.py --check

pictures: $(VENV)/dev ## Record the terminal and photograph the page, for README.md.
	PATH="$(BIN):$$PATH" $(BIN)/python .ci/pictures.py

package: $(VENV)/dev ## A wheel and an sdist in dist/.
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist

check: lint types completions-check docs-check ## All that CI runs.
	$(MAKE) test COVERAGE=1

clean: ## Remove what these targets made.
	rm -rf $(VENV) $(LOWEST) dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
