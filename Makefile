# Every user command. Each target is one `tal-repro` call; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON  ?= python3
VENV    ?= .venv
RESULTS ?= results/runs
STUDY   ?= paper
ARGS    ?=
export VENV
export TORCH

TAL    := $(VENV)/bin/tal-repro
PY     := $(VENV)/bin/python
LIGHT  := $(VENV)/.light
FULL   := $(VENV)/.full
DEV    := $(VENV)/.dev
MODELS := tadtr actionformer tridet temporalmaxer

##@ Start here
.PHONY: help
help:  ## list every target
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-zA-Z0-9_%-]+:.*##/ {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(FULL)  ## the whole study in miniature on embedded synthetic data (2 cores, no GPU, minutes)
	@$(TAL) demo $(ARGS)

.PHONY: test
test: $(DEV)  ## the default tests (no GPU, no network, no submodule)
	@$(PY) -m pytest $(ARGS)

.PHONY: verify
verify: $(LIGHT)  ## a verdict on every number of the paper, from published data and your runs
	@$(TAL) verify $(ARGS)

##@ Environment
.PHONY: setup setup-light setup-dev
setup: $(FULL)  ## .venv with everything, hash-locked; chooses CPU or CUDA torch (TORCH=cpu|cuda overrides)
setup-light: $(LIGHT)  ## .venv without torch: verification, tables, Figures 2 and 3, forecast
setup-dev: $(DEV)  ## setup, and tests, lint and types

$(LIGHT): env/setup.py env/light.lock pyproject.toml
	@test -e $(FULL) -o -e $(DEV) && touch $@ || $(PYTHON) env/setup.py light
$(FULL): env/setup.py env/light.lock env/base.lock env/cuda.lock pyproject.toml
	@$(PYTHON) env/setup.py full && touch $(LIGHT)
$(DEV): env/setup.py env/light.lock env/base.lock env/cuda.lock env/dev.lock pyproject.toml
	@$(PYTHON) env/setup.py dev && touch $(LIGHT) $(FULL)
$(VENV)/.upstream: $(FULL) env/upstream.lock
	@$(PYTHON) env/setup.py upstream
$(VENV)/.slurm: $(FULL) env/slurm.lock
	@$(PYTHON) env/setup.py slurm
$(VENV)/.browser: $(DEV) env/browser.lock
	@$(PYTHON) env/setup.py browser

.PHONY: lock
lock:  ## resolve env/*.in into env/*.lock again (needs uv)
	@$(PYTHON) env/lock.py

##@ The published study
.PHONY: figures figure-% table-%
figures: $(LIGHT)  ## every figure that can be drawn, into results/figures (PNG, PDF, SVG, caption)
	@$(TAL) figure all $(ARGS)
figure-%: $(LIGHT)  ## one figure: figure-1 ... figure-6
	@$(TAL) figure $* $(ARGS)
table-%: $(LIGHT)  ## one table: table-1, table-2
	@$(TAL) table $* $(ARGS)

##@ Checks
.PHONY: lint types check
lint: $(DEV)  ## ruff: style and format
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
types: $(DEV)  ## mypy --strict on the package
	@$(VENV)/bin/mypy
check: lint types test  ## lint, types and tests

##@ Clean
.PHONY: clean distclean
clean:  ## delete what can be made again in seconds (figures, tables, report, caches)
	@rm -rf results/figures results/tables results/report results/bench .pytest_cache .mypy_cache .ruff_cache build *.egg-info
distclean: clean  ## also .venv and the demo's results; never your own runs (results/runs)
	@rm -rf $(VENV) results/demo .cache
