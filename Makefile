PYTHON ?= python3
BIN := .venv/bin
# Of the tests; each runs on one thread.
PROCESSES ?= 2

.PHONY: help demo test test-slow bench bench-gpu clean

help:
	@echo "make demo       install into .venv, then the whole path on drawn people (demo/)"
	@echo "make test       install what tests need, then every check that CI runs"
	@echo "make test-slow  the tests that take minutes"
	@echo "make bench      benchmarks"
	@echo "make bench-gpu  the same on a CUDA device: checks and times"
	@echo "make clean      remove .venv and demo/"

# pip resolves torch and torchvision together and unpinned, so that they are a released pair; doctor proves it.
.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "psbench needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[zoo]"
	$(BIN)/psbench doctor
	touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/python -m pip install --quiet --group test --group lint
	touch $@

demo: .venv/.installed
	$(BIN)/python reproduce/demo.py

test: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

test-slow: .venv/.installed-test
	$(BIN)/python -m pytest -m slow

bench: .venv/.installed-test
	$(BIN)/python -m pytest -m bench

bench-gpu: .venv/.installed-test
	$(BIN)/python -m tests.benchmarks.gpu

clean:
	rm -rf .venv demo
