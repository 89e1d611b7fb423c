# Everything that a fresh machine needs: Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench reproduce results clean

demo: .venv/installed
	rm -rf demo
	$(BIN)/sanoscope demo --out demo

test: lint
	$(BIN)/pytest --numprocesses auto

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: .venv/installed-dev
	$(BIN)/python benchmarks/throughput.py --json benchmarks/results/throughput.json
	$(BIN)/python benchmarks/pixel_metrics.py --json benchmarks/results/pixel-metrics.json
	$(BIN)/python benchmarks/constrained_step.py --json benchmarks/results/constrained-step.json
	$(BIN)/python benchmarks/perceptual_step.py --json benchmarks/results/perceptual-step.json
	$(BIN)/python benchmarks/frozen_features.py --json benchmarks/results/frozen-features.json
	$(BIN)/python benchmarks/clustering.py --json benchmarks/results/clustering.json
	$(BIN)/python benchmarks/reading.py --json benchmarks/results/reading.json

# Every table of the papers at its small budget, on real collections below DATA, and the pages of docs/results: about
# an hour and a half on two cores. What is done is not done again.
DATA ?= ../shared/data
WEIGHTS ?= $(DATA)/../weights
JOBS ?= $(shell nproc)

reproduce: .venv/installed-dev
	$(BIN)/sanoscope reproduce all $(DATA) --budget small --jobs $(JOBS) --weights $(WEIGHTS) \
		--out runs/reproduce --pages docs/results

# The pages and figures of docs/results and docs/speed.md, from the JSON of tables and benchmarks.
results: .venv/installed-dev
	$(BIN)/python tools/results.py
	$(BIN)/python benchmarks/page.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch .venv/installed $@

clean:
	rm -rf .venv build dist demo runs src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks tools -name __pycache__ -prune -exec rm -rf {} +
