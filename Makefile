# Every user command. Each target is one `tal-repro` call; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON  ?= python3
VENV    ?= .venv
RESULTS ?= results/runs
MIRROR  ?=
STUDY   ?= paper
ARGS    ?=
export VENV
export TORCH
export RUNTIME
export BUNDLE

# RUNTIME=docker|podman|apptainer: the same commands in the image, which holds the environment (none is the default).
ifeq ($(or $(RUNTIME),none),none)
TAL    := $(VENV)/bin/tal-repro
GPU_TAL = $(TAL)
FETCH  := $(TAL)
TAL_PY := $(VENV)/bin/python
LIGHT  := $(VENV)/.light
FULL   := $(VENV)/.full
else
TAL    := docker/kit.sh $(if $(GPU),--gpu) --target $(or $(TARGET),kit) --
GPU_TAL = docker/kit.sh --gpu --target $(or $(TARGET),upstream) --
FETCH  := docker/kit.sh --fetch --
TAL_PY := RUN_ARGS="$$RUN_ARGS --entrypoint python3" $(TAL)
endif
PY     := $(VENV)/bin/python
DEV    := $(VENV)/.dev

##@ Start here
.PHONY: help reproduce-all
help:  ## list every target
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-zA-Z0-9_%-]+:.*##/ {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(FULL)  ## the whole study in miniature on embedded synthetic data (2 cores, no GPU, minutes)
	@$(TAL) demo $(ARGS)

.PHONY: example-page
example-page: demo  ## the demo, and its page as docs/example-report/index.html
	@$(TAL) report --results results/demo/runs --out docs/example-report

reproduce-all:  ## doctor, plan (asks once; YES=1), images, data, every run, figure, verdict, the report (RUNTIME=none: no container)
	@STUDY="$(STUDY)" RESULTS="$(RESULTS)" YES="$(YES)" docker/reproduce.sh $(ARGS)

.PHONY: doctor
doctor: $(LIGHT)  ## what this machine lacks for STUDY, one line each with the remedy (RUNTIME=..., ARGS=--fix)
	@$(TAL) doctor --study $(STUDY) --results $(RESULTS) $(if $(RUNTIME),--runtime $(RUNTIME)) $(ARGS)

.PHONY: gpu-check
gpu-check: $(FULL)  ## a minute or two on this machine's GPU, before data: is it fit, how many runs fit on it (RUNTIME=docker)
	@$(GPU_TAL) gpu-check --out results/reference $(ARGS)

.PHONY: test
test: $(DEV)  ## the default tests (no GPU, no network, no submodule)
	@$(PY) -m pytest -n auto --dist loadfile $(ARGS)

.PHONY: verify
verify: $(LIGHT)  ## a verdict on every number of the paper, from published data and your runs
	@$(TAL) verify $(ARGS)

##@ Environment
.PHONY: setup setup-light setup-dev setup-upstream setup-slurm
setup: $(VENV)/.full  ## .venv with everything, hash-locked; chooses torch by the driver (TORCH=cpu|cuda|cuda12 overrides)
setup-light: $(VENV)/.light  ## .venv without torch: verification, tables, Figures 2 and 3, forecast
setup-dev: $(DEV)  ## setup, and tests, lint and types
setup-upstream: $(VENV)/.upstream  ## setup, and what the authors' code imports
setup-slurm: $(VENV)/.slurm  ## setup, and what --executor slurm needs

$(VENV)/.light: env/setup.py env/light.lock pyproject.toml
	@test -e $(VENV)/.full -o -e $(DEV) && touch $@ || $(PYTHON) env/setup.py light
LOCKS := env/setup.py env/torch_builds.py env/light.lock env/base.lock env/cuda.lock env/cuda12.lock pyproject.toml
TORCH_MARK := $(TORCH:%=$(VENV)/.torch-%)  # another TORCH than the one installed: install again
$(VENV)/.full: $(LOCKS) $(TORCH_MARK)
	@$(PYTHON) env/setup.py full && touch $(VENV)/.light
$(DEV): $(LOCKS) env/upstream.lock env/slurm.lock env/dev.lock $(TORCH_MARK)
	@$(PYTHON) env/setup.py dev && touch $(VENV)/.light $(VENV)/.full
$(VENV)/.torch-%: ;
$(VENV)/.upstream: $(VENV)/.full env/upstream.lock env/model_locks.py $(wildcard patches/*/requirements.lock)
	@$(PYTHON) env/setup.py upstream
$(VENV)/.slurm: $(VENV)/.full env/slurm.lock
	@$(PYTHON) env/setup.py slurm
$(VENV)/.browser: $(DEV) env/browser.lock
	@$(PYTHON) env/setup.py browser

.PHONY: bundle unbundle
bundle: $(VENV)/.light  ## wheels, repositories and data (DATA=DIR) in one checked folder, for a site without a network (OUT, TORCH)
	@$(PY) env/bundle.py make --out "$(or $(OUT),bundle)" $(if $(TORCH),--torch $(TORCH)) $(if $(filter-out file,$(origin DATA)),--data "$(DATA)") $(ARGS)
unbundle:  ## there: check the bundle, then environment, repositories and data from it alone (BUNDLE=DIR)
	@$(PYTHON) env/bundle.py check "$(BUNDLE)"
	@$(MAKE) --no-print-directory RUNTIME=none $(VENV)/.upstream BUNDLE="$(BUNDLE)"
	@$(PYTHON) env/bundle.py mirror "$(BUNDLE)" .cache/mirror
	@[ ! -d .cache/mirror ] || $(MAKE) --no-print-directory submodules MIRROR=.cache/mirror
	@$(PYTHON) env/bundle.py data "$(BUNDLE)" data/thumos14

.PHONY: lock docs
lock:  ## resolve env/*.in into env/*.lock again (needs uv; MODEL=NAME: what patches/NAME/requirements.in asks for)
	@$(PYTHON) env/lock.py $(MODEL)
.PHONY: audit
audit: $(DEV)  ## the locks against a list of known vulnerabilities (of 2021: the newest to be had from the index)
	@$(PY) -m pip --quiet download --no-deps --require-hashes --only-binary :all: -d .cache/audit -r env/audit.txt
	@$(PY) -m benchmarks.audit .cache/audit/safety_db-*.whl
docs: $(DEV)  ## what is written from the repository into it: numbers of the documents, patch hashes of the package
	@$(PY) -m benchmarks.tables

##@ The published study
.PHONY: figures figure-% table-%
figures: $(LIGHT)  ## every figure that can be drawn, into results/figures (PNG, PDF, SVG, caption)
	@$(TAL) figure all $(ARGS)
figure-%: $(LIGHT)  ## one figure: figure-1 ... figure-6
	@$(TAL) figure $* $(ARGS)
table-%: $(LIGHT)  ## one table: table-1, table-2, table-energy
	@$(TAL) table $* $(ARGS)

.PHONY: report ablation-curves
report: $(LIGHT)  ## one page that answers a reviewer: results/report/index.html
	@$(TAL) report $(ARGS)

##@ Running the study (STUDY=paper|demo|FILE, ARGS="--scope full --jobs 2 ...")
.PHONY: plan smoke data-sweep profile trace baseline-MODEL sweep-MODEL
RUN := $(TAL) run --study $(STUDY) --results $(RESULTS)
plan: $(FULL)  ## what a study will run, what is done, and what the rest will cost
	@$(TAL) plan --study $(STUDY) --results $(RESULTS) $(ARGS)
baseline-%: $(FULL)
	@$(RUN) --only experiment=baseline,model=$* $(ARGS)
sweep-%: $(FULL)
	@$(RUN) --scope full --only experiment=data_sweep,model=$* $(ARGS)
baseline-MODEL:  ## a model's baseline over seeds: baseline-tadtr, baseline-tridet, ...
	@echo "name a model, one of those that tal-repro models lists: make baseline-tadtr"
sweep-MODEL:  ## a model's mAP against the share of training data: sweep-tadtr, ...
	@echo "name a model, one of those that tal-repro models lists: make sweep-tadtr"
data-sweep: $(FULL)  ## the data sweep of every model
	@$(RUN) --scope full --only experiment=data_sweep $(ARGS)
profile: $(FULL)  ## MACs and inference times
	@$(RUN) --only "experiment=macs|inference" $(ARGS)
trace: $(FULL)  ## the hardware trace of a training
	@$(RUN) --only experiment=trace $(ARGS)
smoke: $(FULL)  ## two epochs of every model and engine on the data at hand: the gate before the study
	@$(TAL) run --study smoke --results results/smoke $(ARGS)

ablation-curves: $(FULL)  ## what bends the curves: videos or slices, epochs or steps, raw or EMA (synthetic)
	@$(TAL) run --study ablation --results results/ablation $(ARGS)
	@$(TAL_PY) -m tal_repro.paper.ablation --results results/ablation

##@ The data set (DATA=data/thumos14, ARGS="--from FILE_OR_URL --keep-archive")
.PHONY: data
DATA ?= data/thumos14
data: fetch-actionformer fetch-tadtr  ## THUMOS14 in both layouts, from its authors: fetched, checked, unpacked, verified
fetch-%: $(FULL)  ## one layout: fetch-actionformer (also TriDet, TemporalMaxer), fetch-tadtr
	@$(FETCH) data fetch thumos14 --layout $* --out "$(DATA)" $(ARGS)

##@ The authors' code
.PHONY: submodules parity upstream-check
submodules:  ## check out the four upstream repositories (MIRROR=DIR: from local clones)
	@MIRROR="$(MIRROR)" bash third_party/get.sh
parity: $(VENV)/.upstream  ## compare native models with the authors', weight by weight, at full size
	@$(PY) -m benchmarks.parity --out results/bench/parity.json $(ARGS)
upstream-check: $(VENV)/.upstream  ## the authors' code under the kit: units, phases, mAP, losses
	@$(PY) -m benchmarks.upstream_check --out results/bench/upstream_check.json $(ARGS)

##@ Benchmarks (side by side, never part of the tests)
.PHONY: bench
bench: $(DEV)  ## fits, forecasts and detection metrics against plain implementations
	@$(PY) -m benchmarks.curves && $(PY) -m benchmarks.detection
bench-%: $(DEV)  ## one benchmark: bench-model_speed, bench-train, bench-runner, ...
	@$(PY) -m benchmarks.$* $(ARGS)

##@ Containers (RUNTIME=docker|podman|apptainer, TORCH=cpu|cuda|cuda12; also for demo, verify, plan, baseline-..., GPU=1)
.PHONY: image
image:  ## build the image of the kit (TARGET=upstream: with the authors' patched code)
	@RUNTIME=$(or $(RUNTIME),docker) docker/kit.sh --target $(or $(TARGET),kit) build

##@ Checks
.PHONY: lint lint-github types check
lint: $(DEV)  ## ruff: style and format
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
lint-github: $(DEV)  ## workflows, issue forms and CITATION.cff against GitHub's and CFF's schemas (a small download)
	@$(PY) -m pip --quiet download --no-deps --require-hashes --only-binary :all: -d .cache/github -r env/github.txt
	@$(PY) -m benchmarks.github_files .cache/github/check_jsonschema-*.whl
types: $(DEV)  ## mypy --strict on the package and the document tables
	@$(VENV)/bin/mypy
check: lint types test  ## lint, types and tests

##@ Clean
.PHONY: clean distclean
clean:  ## delete what can be made again in seconds (figures, tables, report, caches)
	@rm -rf results/figures results/tables results/report .pytest_cache .mypy_cache .ruff_cache build *.egg-info
distclean: clean  ## also .venv, patched copies and the demo's results; never your own runs, benchmarks, data or images
	@rm -rf $(VENV) results/demo .cache
