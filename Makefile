# rota's few verbs. Each makes the virtual environment that it needs; the first run of one takes a minute or two.
#
#   make demo      the main job: one job run one by one, in threads, in processes and on loops, and which to use
#   make test      the whole suite, compiled and plain, on each of Python 3.11, 3.12 and 3.13 that is installed
#   make fuzz      new random programs and conversations, ROTA_FUZZ_SECONDS (600) each, compiled and plain
#   make conformance  other projects' tests, and CPython's, on asyncio, uvloop and rota: docs/conformance.md
#   make check     what needs no running: lint, types, shape
#   make sanitize  what is compiled, tested with gcc's sanitizers in it, then with a check of each None (ROTA_PYTHON)
#   make soak      15,000 connections, a million of each operation, ten minutes of everything (ROTA_SOAK_SECONDS)
#   make bench     all figures, on this machine, into docs/benchmarks.md and README.md: about an hour
#   make instructions  what operations cost in instructions, against a record: what slipped fails
#   make docs      the documentation, into site/

PYTHON ?= python3
ROTA_PYTHON ?= 3.13
# The tests of what is compiled; the others test the command line, in other processes.
COMPILED := tests/core tests/parity tests/net tests/proc tests/faults tests/soak tests/programs
SOURCES := $(shell find src -name '*.py' -o -name '*.pxd') setup.py pyproject.toml

.PHONY: demo test fuzz conformance check sanitize soak bench instructions docs clean

demo: .venv/demo
	.venv/bin/rota compare

test:
	$(PYTHON) tests/everywhere.py

ROTA_FUZZ_SECONDS ?= 600
fuzz: .venv/fuzz
	for pure in 0 1; do \
	    ROTA_FUZZ_SECONDS=$(ROTA_FUZZ_SECONDS) ROTA_PURE=$$pure .venv/bin/python -m pytest -q -s \
	        -o faulthandler_timeout=0 -k for_long tests/parity/test_fuzz.py tests/net/test_bytes.py || exit 1; \
	done

conformance:
	$(PYTHON) -m tests.conformance.suites

check: .venv/check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	PATH="$(CURDIR)/.venv/bin:$$PATH" cython-lint --max-line-length 120 $$(git ls-files "src/*.pxd")
	.venv/bin/mypy
	.venv/bin/python -m pytest -q tests/shape

sanitize:
	$(PYTHON) tests/everywhere.py --lane sanitize --lane nonecheck --python $(ROTA_PYTHON) $(COMPILED)

soak: .venv/soak
	.venv/bin/python -m tests.soak

bench: .venv/bench
	.venv/bin/python benchmarks/all.py

instructions: .venv/check
	.venv/bin/python benchmarks/instructions.py

docs: .venv/docs
	.venv/bin/mkdocs build --strict --quiet
	@echo "open site/index.html"

clean:
	rm -rf .venv .venvs build build-* dist site src/*.egg-info
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -m venv .venv

# One rule an extra: the file is the date of the last installation.
.venv/demo: EXTRA = compare
.venv/check: EXTRA = check
.venv/soak .venv/fuzz: EXTRA = test
.venv/bench: EXTRA = bench
.venv/docs: EXTRA = docs
.venv/demo .venv/check .venv/fuzz .venv/soak .venv/bench .venv/docs: .venv/bin/python $(SOURCES)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check '.[$(EXTRA)]'
	@touch $@
