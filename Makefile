# Needs Python 3.10 or later and make; everything else goes into a virtual environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint format clean

help:
	@echo "make demo    set up, then run all four roads on a small rendered collection, offline; again: goes on"
	@echo "make test    set up, then ruff, mypy and pytest, up to four processes"
	@echo "make setup   the virtual environment alone"
	@echo "make format  ruff's formatter and safe fixes"
	@echo "make clean   remove what the targets above made"

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	# torch first and alone: an exact pin takes the CPU wheel where pip is set up to find one
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

setup: $(VENV)/.installed

demo: setup
	$(BIN)/vidlang demo --out demo-output

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo-output .pytest_cache .ruff_cache .mypy_cache
