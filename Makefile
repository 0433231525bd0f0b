# One virtual environment, .venv, for the demo, the tests and CI. The package is always installed
# editable in it, so that nothing has to be installed again when its source changes.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all lint format clean

demo: .venv/.installed
	$(BIN)/deconvnet demo

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

test-all: lint
	$(BIN)/pytest -n 2 --dist loadfile -m ""

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/.installed: pyproject.toml .venv/pyvenv.cfg
	@echo "Installing deconvnet into .venv; the first time this fetches PyTorch and takes some minutes."
	$(PIP) -e .
	@touch $@

.venv/.installed-dev: pyproject.toml .venv/pyvenv.cfg
	@echo "Installing deconvnet and its tools into .venv; the first time this fetches PyTorch and takes some minutes."
	$(PIP) -e ".[dev]"
	@touch .venv/.installed $@

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is missing or older than Python 3.11. Name a newer one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks
	find src tests examples -name __pycache__ -prune -exec rm -rf {} +
