# rota's few verbs. Each makes the virtual environment that it needs; the first run of one takes a minute or two.
#
#   make demo    the main job: one job run one by one, in threads, in processes and on loops, and which to use
#   make test    the whole suite, compiled and plain, on each of Python 3.11, 3.12 and 3.13 that is installed
#   make check   what needs no running: lint, types, shape
#   make bench   the figures of the README, on this machine
#   make docs    the documentation, into site/

PYTHON ?= python3
SOURCES := $(shell find src -name '*.py' -o -name '*.pxd') setup.py pyproject.toml

.PHONY: demo test check bench docs clean

demo: .venv/demo
	.venv/bin/rota compare

test:
	$(PYTHON) tests/everywhere.py

check: .venv/check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	PATH="$(CURDIR)/.venv/bin:$$PATH" cython-lint --max-line-length 120 $$(git ls-files "src/*.pxd")
	.venv/bin/mypy
	.venv/bin/python -m pytest -q tests/shape

bench: .venv/bench
	.venv/bin/python benchmarks/clockwork.py
	.venv/bin/python benchmarks/streams.py

docs: .venv/docs
	.venv/bin/mkdocs build --strict --quiet
	@echo "open site/index.html"

clean:
	rm -rf .venv .venvs build dist site src/*.egg-info
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -m venv .venv

# One rule an extra: the file is the date of the last installation.
.venv/demo: EXTRA = compare
.venv/check: EXTRA = check
.venv/bench: EXTRA = bench
.venv/docs: EXTRA = docs
.venv/demo .venv/check .venv/bench .venv/docs: .venv/bin/python $(SOURCES)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check '.[$(EXTRA)]'
	@touch $@
