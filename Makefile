# Postclock: `make run` starts it, `make test` proves it. Both do their own set-up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install run test lint types contracts suite bench clean

install: $(STAMP)

$(STAMP): pyproject.toml uv.lock Makefile
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$$(sed -n 's/.*"uv==\([^"]*\)".*/\1/p' pyproject.toml)"
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --frozen --quiet --python $(BIN)/python
	@touch $(STAMP)

run: install
	@$(BIN)/postclock serve --demo

test: lint types contracts suite

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

suite: install
	$(BIN)/pytest -n 2 --dist loadfile

bench: install
	@for b in accept voices dispatch lateness claims fleet; do $(BIN)/python -m bench.$$b || exit 1; done

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .import_linter_cache .hypothesis
