PYTHON ?= python3
BIN := .venv/bin
# Of the tests; each runs on one thread.
PROCESSES ?= 2

.PHONY: help demo docs test test-slow test-lowest audit mutate bench bench-baseline bench-report bench-gpu clean

help:
	@echo "make demo       install into .venv, then the whole path on drawn people (demo/)"
	@echo "make test       install what tests need, then every check that CI runs"
	@echo "make docs       the documentation as a site, in site/"
	@echo "make test-slow  the tests that take minutes"
	@echo "make test-lowest  the tests, with the oldest versions of dependencies that are allowed"
	@echo "make audit      known faults of what is installed, by pip-audit"
	@echo "make mutate     small faults put into what numbers come from, which the tests must notice: hours"
	@echo "make bench      benchmarks, compared with tests/benchmarks/baseline.json"
	@echo "make bench-gpu  the same on a CUDA device: checks and times"
	@echo "make bench-baseline  the last runs of make bench as the baseline"
	@echo "make bench-report  the newest run and the history, in .benchmarks/report.html"
	@echo "make clean      remove what these have made"

# pip resolves torch and torchvision together and unpinned, so that they are a released pair; doctor proves it.
.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "psbench needs Python 3.11 or newer")'
	@echo "installing psbench and torch into .venv: 5 GB, some minutes"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --editable ".[zoo]"
	$(BIN)/psbench doctor
	@touch $@

.venv/.installed-test: .venv/.installed
	@echo "installing what tests and documentation need"
	@$(BIN)/python -m pip install --quiet --group test --group lint --group docs
	@touch $@

demo: .venv/.installed
	$(BIN)/python reproduce/demo.py

# Its theme announces its own end and successor at each build; strict is about these pages.
docs: .venv/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

test: .venv/.installed-test docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

test-slow: .venv/.installed-test
	$(BIN)/python -m pytest -m slow

# uv finds out which versions those are.
.venv-lowest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-lowest/bin/python -m pip install --quiet --group lowest
	.venv-lowest/bin/uv pip compile --quiet --python .venv-lowest/bin/python --resolution lowest-direct \
		--extra zoo --only-binary :all: pyproject.toml --output-file .venv-lowest/lowest.txt
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --constraint .venv-lowest/lowest.txt \
		--group test --editable ".[zoo]"
	touch $@

test-lowest: .venv-lowest/.installed
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder \
		tests/data tests/judging tests/leaderboard tests/models tests/test_cli.py tests/test_help.py tests/test_doctor.py

# Strict: otherwise what cannot be looked up counts as without fault.
audit: .venv/.installed-test
	$(BIN)/python -m pip install --quiet --group audit
	$(BIN)/python -m pip freeze --exclude-editable > .venv/audited.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement .venv/audited.txt --progress-spinner off

# What is known stays in .mutants; given again, it goes on.
mutate: .venv/.installed-test
	$(BIN)/python -m pip install --quiet --group mutate
	$(BIN)/python -m tests.reliability mutate --show

bench: .venv/.installed-test
	$(BIN)/python -m tests.benchmarks run

# NOTE="..." is kept with it: what else the machine did.
bench-baseline: .venv/.installed-test
	$(BIN)/python -m tests.benchmarks baseline --note "$(NOTE)"

bench-report: .venv/.installed-test
	$(BIN)/python -m tests.benchmarks report

bench-gpu: .venv/.installed-test
	$(BIN)/python -m tests.benchmarks.gpu

clean:
	rm -rf .venv .venv-lowest .mutants demo site
