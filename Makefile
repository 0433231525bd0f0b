# One virtual environment, .venv, for the demo, the tests and CI. The package is always installed
# editable in it, so that nothing has to be installed again when its source changes.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo site test test-all fuzz coverage browser lint format clean

demo: .venv/.installed
	$(BIN)/deconvnet demo

# The site of an atlas that docs/atlas.md shows, in build/site.
site: .venv/.installed
	$(BIN)/python examples/atlas_site.py

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

test-all: lint
	$(BIN)/pytest -n 2 --dist worksteal -m ""
	$(MAKE) fuzz MINUTES=5

# Random tries, for MINUTES in all, with JOBS processes. Prints a command for each fault that repeats it.
MINUTES ?= 5
JOBS ?= 1
fuzz: .venv/.installed-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz --minutes $(MINUTES) --jobs $(JOBS)

# docs/coverage.md: rows that were made with another table of operations are made again, which takes an hour.
coverage: .venv/.installed-dev
	$(BIN)/python benchmarks/coverage.py --log benchmarks/coverage.jsonl
	$(BIN)/python benchmarks/coverage.py --log benchmarks/coverage.jsonl --page > docs/coverage.md

# The tests of pages use a Chromium that is there already; this installs Debian's where there is none.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name > /dev/null && exit 0; done; \
	root=$$(test "$$(id -u)" = 0 || echo sudo); $$root apt-get update -qq && $$root apt-get install -y -qq chromium

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
