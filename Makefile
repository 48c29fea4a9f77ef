# make help            what there is
# PYTHON=python3.12    the interpreter for a new environment (3.11 to 3.13)
# TORCH=cpu            PyTorch's CPU wheels, a small download for machines without a GPU (or cu130, ...: a CUDA version)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help repro test lab lint lock notebooks setup site serve build compare

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
UV := $(BIN)/uv
BASE_PYTHON := $(or $(PYTHON),python3)
JOBS ?= 2

export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export PYTHONNOUSERSITE := 1
unexport PYTHONHOME VIRTUAL_ENV

# An interpreter that was asked for by name replaces an environment of another version.
ifdef PYTHON
VERSION_OF = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifneq ($(call VERSION_OF,$(PYTHON)),$(call VERSION_OF,$(PY)))
$(shell rm -f $(VENV)/.ready)
FRESH := --clear
endif
endif

help: ## this text
	@echo "make repro       train what is missing, execute the notebooks, write tables and figures, compare with the committed results"
	@echo "make test        all tests (about ten minutes on two cores)"
	@echo "make lab         JupyterLab on the notebooks"
	@echo "make lint        ruff and mypy"
	@echo "make notebooks   refresh the smoke-scale outputs that the source notebooks carry"
	@echo "make site        the site, in site/ (make serve shows it while you edit)"
	@echo "make compare     a paper's claims and trainings, experiment by experiment: PAPER=gce"
	@echo "make build       wheel and source archive, in dist/"
	@echo "make lock        renew requirements.lock and environment.yml from pyproject.toml"
	@echo ""
	@echo "Each creates or reuses .venv from requirements.lock. PYTHON=python3.12 chooses the interpreter (3.11 to 3.13),"
	@echo "TORCH=cpu takes PyTorch's CPU wheels, JOBS=4 the number of test processes."

setup: $(VENV)/.ready ## the environment only

$(VENV)/.ready: requirements.lock pyproject.toml
	@echo "setting up $(VENV) with $(BASE_PYTHON) (once)"
	@new=; if [ ! -x $(PY) ] || [ -n "$(FRESH)" ]; then new=yes; fi; python=$(PY); if [ -n "$$new" ]; then python="$(BASE_PYTHON)"; fi; \
	"$$python" -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "Python 3.11, 3.12 or 3.13 is needed, this is %d.%d: choose one with PYTHON=..." % v)' && \
	if [ -n "$$new" ]; then "$(BASE_PYTHON)" -m venv $(FRESH) $(VENV); fi
	@$(PY) -m pip --version > /dev/null 2>&1 || $(PY) -m ensurepip --upgrade > /dev/null
	@$(PY) -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ;]*\).*/\1/p' requirements.lock)"
	@$(UV) pip install --compile-bytecode --python $(PY) $(if $(TORCH),--torch-backend $(TORCH)) --constraints requirements.lock --editable '.[dev]'
	@touch $@

repro: $(VENV)/.ready ## the pipeline, then what came of it
	@begun=$$(date +%s); dvc repro && losslab summary --since $$begun

test: export OMP_NUM_THREADS := 1
test: $(VENV)/.ready ## all tests
	@$(PY) -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

lab: $(VENV)/.ready ## JupyterLab
	@jupyter lab --notebook-dir=.

lint: $(VENV)/.ready ## ruff and mypy
	@ruff check .
	@ruff format --check .
	@mypy

notebooks: $(VENV)/.ready ## smoke-scale outputs of the source notebooks
	@losslab refresh

site: $(VENV)/.ready ## the site from the read-mes, executed notebooks and loss cards that are there
	@NO_MKDOCS_2_WARNING=1 mkdocs build --quiet
	@echo "site/index.html written; search and formulas need a server: $(PY) -m http.server --directory site"

serve: $(VENV)/.ready ## the site at http://127.0.0.1:8000, built again after every edit
	@NO_MKDOCS_2_WARNING=1 mkdocs serve

compare: COLUMNS_OF := replications/$(or $(PAPER),gce)/results/metrics.json:
compare: $(VENV)/.ready ## what `dvc exp show` says of one paper, without its hundreds of other columns
	@dvc exp show --md --drop '^(?!Experiment|Created|seeds$$|$(COLUMNS_OF)(scale|runs|items|claims|kendall_tau)\b)' | sed 's#$(COLUMNS_OF)##g'

build: $(VENV)/.ready ## wheel and source archive
	@$(PY) -m build --installer uv

lock: $(VENV)/.ready ## requirements.lock and environment.yml
	@$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-emit-index-url --upgrade \
		--quiet --custom-compile-command "make lock" --output-file requirements.lock
	@$(PY) tests/setup/environment_file.py
