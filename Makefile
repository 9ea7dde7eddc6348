PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint tables install

demo: .venv/installed  ## the real main job, small: about five minutes on two cores
	$(BIN)/python train.py experiment=lra/listops-s4d budget=demo

test: .venv/installed
	$(BIN)/python -m pytest -n auto

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/make_tables.py --check

tables: .venv/installed  ## regenerate results/tables from results/runs
	$(BIN)/python scripts/make_tables.py

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing into .venv; PyTorch is large, so the first time takes minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
