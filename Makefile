# Two commands: `make demo` and `make test`. Both create .venv first where it is not there; later runs reuse it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Changes whenever the dependencies may have: the environment is then brought up to date.
STAMP := $(VENV)/.installed

.PHONY: demo test lint types tests slow format docs figures clean help

help:
	@echo "make demo    set up, then train and attack two small models (a minute, once torch is there)"
	@echo "make test    set up, then lint, check types and run the tests"
	@echo "make slow    run the long tests, and all cases of those that make test samples"
	@echo "make docs    set up, then build the pages and the reference: build/docs/index.html"
	@echo "make figures run the demo, and make the README's table and picture from it"
	@echo "make clean   remove the environment and every cache"

demo: $(STAMP)
	$(BIN)/saddlepoint demo

# The types are checked beside the tests: mypy keeps one core busy, and a cold run of it takes a minute.
test: lint
	$(MAKE) --no-print-directory --jobs 2 types tests

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

tests: $(STAMP)
	$(BIN)/pytest --numprocesses 2 --dist loadfile --durations 10

slow: $(STAMP)
	$(BIN)/pytest -m slow

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs . build/docs
	@echo "build/docs/index.html"

figures: $(STAMP)
	$(BIN)/python scripts/figures.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(sys.version_info < (3, 11) and "saddlepoint needs Python 3.11 or newer; this is " + v + ". Try: make PYTHON=python3.12")'
	@test -x $(BIN)/python || sh scripts/make-venv.sh "$(PYTHON)" $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist docs/api
