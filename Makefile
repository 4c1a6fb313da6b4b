# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
VENV := $(ROOT)/.venv
BIN := $(VENV)/bin
PYTHON ?= python3
# Which build of torch to install where the package index offers both: cpu or cuda.
TORCH ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
QUIET := --quiet --progress-bar off
# The task that `make demo` materialises.
TASK ?= review_sentiment
PORT ?= 3000
REPORTS_PORT ?= 3001

export FT_DATA_DIR ?= $(ROOT)/data
export DAGSTER_HOME ?= $(FT_DATA_DIR)/dagster
export FT_REPORTS_PORT ?= $(REPORTS_PORT)
# Nothing phones home, and nothing is looked up on a hub unasked.
export DAGSTER_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(BIN):$(PATH)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: setup
setup: $(VENV)/.installed ## Create .venv and install everything from constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing from constraints.txt (torch build: $(TORCH)); this takes some minutes ..."
	@# A CPU build is a local version (+cpu), which not every index has: the plain release does as well.
	$(if $(filter cpu,$(TORCH)),$(BIN)/python -m pip install $(QUIET) "torch==$(TORCH_VERSION)+cpu" 2>/dev/null || )\
	$(BIN)/python -m pip install $(QUIET) "torch==$(TORCH_VERSION)"
	$(BIN)/python -m pip install $(QUIET) -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: instance
instance: $(DAGSTER_HOME)/dagster.yaml ## Prepare the Dagster instance in DAGSTER_HOME

$(DAGSTER_HOME)/dagster.yaml: $(VENV)/.installed dagster.yaml
	@mkdir -p $(DAGSTER_HOME) $(FT_DATA_DIR)/incoming
	@ln -sfn $(ROOT)/dagster.yaml $@
	@$(BIN)/dagster instance concurrency set gpu 1 >/dev/null
	@touch -h $@

.PHONY: fetch
fetch: $(FT_DATA_DIR)/cache/.fetched ## Fetch the samples' data and base models; all works offline afterwards

$(FT_DATA_DIR)/cache/.fetched: $(VENV)/.installed $(wildcard ft_assets/defs/*/defs.yaml)
	@$(BIN)/python -m ft_assets fetch
	@touch $@

.PHONY: demo
demo: setup instance fetch ## Materialise the sample task (TASK=review_sentiment), from raw rows to the report
	@$(BIN)/python -m ft_assets materialize $(TASK)

.PHONY: dev
dev: setup instance fetch ## Open the UI on http://127.0.0.1:3000 (PORT=…), with the reports beside it
	@trap 'kill $$reports 2>/dev/null' EXIT; \
	$(BIN)/python -m ft_assets reports & reports=$$!; \
	$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

.PHONY: test
test: setup fetch ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: lint
lint: setup ## Formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: bench
bench: setup instance fetch ## The benchmark of the main job (BENCH_ARGS=--quick for a short one)
	$(BIN)/python benchmarks/main_job.py $(BENCH_ARGS)

.PHONY: clean-store
clean-store: ## Delete the artifacts and run history below FT_DATA_DIR (asks first)
	@read -p "Delete $(FT_DATA_DIR)/store and $(DAGSTER_HOME)? [y/N] " answer && [ "$$answer" = y ]
	rm -rf $(FT_DATA_DIR)/store $(DAGSTER_HOME)
