# Targets are listed in CONTRIBUTING.md. Each creates what it needs in .venv and says what it does.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1
# the virtual environment is ours alone: nothing of the caller's may shadow it, or let every process
# compile its sources again
unexport PYTHONPATH PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test test-slow archives cluster test-slurm check benchmarks gpu clean

demo: .venv/.installed
	$(BIN)/sarbench demo

test: .venv/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# the tests that the default suite leaves out, but not those that follow the pages of docs/ (10 more
# minutes; `make docs` runs most of them); PAGES= runs them too
PAGES ?= --deselect tests/docs/test_tutorial.py
test-slow: .venv/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "slow and not gpu and not slurm" $(PAGES)

# the site: files and commands of its pages are checked and run (3 minutes; all but those of the
# demo, which `make demo` runs), then it is built without a network. BLOCKS=checked runs nothing
BLOCKS ?= run
docs: .venv/.installed-docs
	$(BIN)/python -m pytest tests/docs $(if $(filter run,$(BLOCKS)),-m "slow or not slow" \
	  -k "not first and not real_chips")
	rm -rf docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "the site is built; open $(CURDIR)/docs/_build/index.html"

# the archives of our pages pass the check that a pull request has to pass (docs/joining.md)
archives: .venv/.installed-dev
	for file in results/archive/*.zip; do echo "== $$file"; $(BIN)/sarbench submit-check $$file || exit 1; done

# a real SLURM on this machine alone (Debian, root); ACCOUNTING=1 for sacct too, LIMITS=1 for limits
# of memory (control groups)
cluster:
	tests/cluster/slurm start $(if $(ACCOUNTING),--accounting) $(if $(LIMITS),--limits)

# SLURM=slurm runs the long drills too
SLURM ?= slurm and not slow
test-slurm: .venv/.installed-dev
	$(BIN)/python -m pytest -m "$(SLURM)" -rs

check: .venv/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --level error
	$(MAKE) test

benchmarks: .venv/.installed-dev
	for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file; done

# everything that needs a GPU, without a network: in .venv if there is one, else in $(PYTHON);
# STEPS="tests pretrain:sar_jepa" does a part (python tests/benchmarks/bench_gpu.py --list)
gpu:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) tests/benchmarks/bench_gpu.py $(STEPS)

.venv/bin/python:
	@echo "== creating a virtual environment in .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "the venv module is missing (on Debian: apt-get install python3-venv)"; exit 1; }

.venv/.installed: pyproject.toml | .venv/bin/python
	@echo "== installing sarbench and what it needs (torch is large: some minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.installed-dev: pyproject.toml | .venv/bin/python
	@echo "== installing sarbench, what it needs, and the tools of its tests (some minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ .venv/.installed

.venv/.installed-docs: pyproject.toml | .venv/bin/python
	@echo "== installing sarbench, what it needs, and the tools of its tests and of its site (some minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,docs]"
	@touch $@ .venv/.installed-dev .venv/.installed

clean:
	rm -rf .venv build docs/_build *.egg-info .pytest_cache .ruff_cache
