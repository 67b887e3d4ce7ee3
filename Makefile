# What people and CI run. Each target works inside an activated virtual environment.
PYTHON ?= python

.PHONY: test lint types format fixtures docs check

test:      ## run the tests
	$(PYTHON) -m pytest -n auto

lint:      ## style, complexity, docstrings
	ruff check .
	ruff format --check .

types:     ## strict types, product and tests
	mypy

format:    ## put the code in shape
	ruff check --fix .
	ruff format .

fixtures:  ## rebuild the samples and say what differs
	$(PYTHON) fixtures/build.py --check

docs:      ## rebuild the page of each rule, and the help in the README
	$(PYTHON) docs/build.py

check: lint types test
