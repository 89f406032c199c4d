# make certify: the main job, in three minutes. make test: everything that must hold. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT := certificates
.PHONY: certify certify-all test lint calibrate tails power memory judging flakiness rounds overhead token_costs controls schedulers field tokens kernels moves sbc study clean install

certify: install
	$(BIN)/exactness certify --tour --out $(OUT) --report $(OUT)/report.html

# The whole catalogue: 819 samplers and 132 controls, about 40 minutes of processor time.
certify-all: install
	$(BIN)/exactness certify --all --out $(OUT)-all --report $(OUT)-all/report.html

test: install lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Measurements, each a page of reports/. The first two take a quarter of an hour, rounds and field half an hour, tokens an
# hour; flakiness runs for as long as it is told to.
calibrate tails memory judging flakiness rounds overhead token_costs controls schedulers field tokens kernels moves sbc: install
	$(BIN)/python -m studies.$@

# Compared with the tests in use today, which are installed first.
power: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[peers]"
	$(BIN)/python -m studies.power

# The statistical studies among the tests, and the samplers' tests once more, with programs of JAX compiled as users have them.
study: install
	XLA_FLAGS= $(BIN)/python -m pytest -n 2 -m slow
	XLA_FLAGS= $(BIN)/python -m pytest -n 2 --dist worksteal tests/samplers

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml hatch_build.py constraints.txt samplers/exactness_digits/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]" --editable samplers/exactness_digits
	touch $@

clean:
	rm -rf $(VENV) $(OUT) $(OUT)-all build dist .mypy_cache .pytest_cache .ruff_cache
