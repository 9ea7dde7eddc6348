PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt  # empty: the newest release of everything
INDEX ?=                        # package index that PyTorch comes from, for a build without CUDA (README)
BIN := $(VENV)/bin
PINNED := $(if $(strip $(CONSTRAINTS)),-c $(strip $(CONSTRAINTS)))
ifeq ($(shell command -v uv),)
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install -q --disable-pip-version-check $(PINNED)
else
MAKE_VENV = uv venv -q --seed --python $(PYTHON) $(VENV)
INSTALL = uv pip install --python $(BIN)/python $(PINNED)
endif

.PHONY: demo test lint tables install

demo: $(VENV)/installed  ## the real main job, small: about five minutes on two cores
	$(BIN)/python train.py experiment=lra/listops-s4d budget=demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/make_tables.py --check

tables: $(VENV)/installed  ## regenerate results/tables from results/runs
	$(BIN)/python scripts/make_tables.py

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { \
	  echo "Python 3.11, 3.12, 3.13 or 3.14 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(BIN)/python --version >/dev/null 2>&1 || { rm -rf $(VENV); $(MAKE_VENV); } || { \
	  rm -rf $(VENV); echo "$(PYTHON) made no virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV); PyTorch is large, so the first time takes minutes."
	$(if $(strip $(INDEX)),$(INSTALL) --no-deps -i $(strip $(INDEX)) torch torchvision torchaudio)
	$(INSTALL) -e '.[dev]'
	@touch $@
