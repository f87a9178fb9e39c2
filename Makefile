# Each target does its own set-up in .venv and needs only Python 3.10+ (with venv) and make.
#   make demo   run the examples on a whole Airflow on this machine
#   make test   unit, contract, integration, fault and end-to-end tests
#   make matrix tests on each supported release of Celery, redis-py, the server, the Kubernetes library and Airflow
#   make bench  trivial tasks on this executor's worker and on upstream's, in turns (about 10 minutes)
#   make lint   ruff, mypy, import-linter
#   make clean  remove everything that was made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A home of its own: reading Airflow's configuration writes an airflow.cfg into it.
export AIRFLOW_HOME ?= $(CURDIR)/$(VENV)/airflow
export AIRFLOW__CORE__LOAD_EXAMPLES ?= False
# Airflow is large: without bytecode each of its processes would compile it again.
unexport PYTHONDONTWRITEBYTECODE

DEMO_ARGS ?=
TEST_ARGS ?=
# Most tests wait for servers most of the time, so more of them run at once than there are cores.
TEST_PROCESSES ?= 6
MATRIX_ARGS ?=
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test matrix bench lint clean

help:
	@sed -n 's/^#   //p' Makefile

# uv installs many times as fast as pip; where it is not to be had or does not get through, pip does.
define install
	@if [ ! -x $(BIN)/python ]; then echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); fi
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed: make PYTHON=python3.12 $@"; rm -rf $(VENV); exit 1; }
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet uv 2>/dev/null || true
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --editable '.[$(1)]' 2>$(VENV)/uv.log \
		|| $(BIN)/python -m pip --disable-pip-version-check install --quiet --editable '.[$(1)]'
	@touch $@
endef

$(VENV)/installed-demo: setup.cfg setup.py
	$(call install,embedded)

$(VENV)/installed-test: setup.cfg setup.py
	$(call install,test)
	@touch $(VENV)/installed-demo

demo: $(VENV)/installed-demo
	@$(BIN)/airflow hybrid demo $(DEMO_ARGS)

test: $(VENV)/installed-test
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

# Redis 7 is Debian 12's: apt-get install redis-server. One release alone: make matrix MATRIX_ARGS=5.5
matrix: $(VENV)/installed-test
	@$(BIN)/python -m tests.matrix $(MATRIX_ARGS)

bench: $(VENV)/installed-test
	@$(BIN)/python -m benchmarks.workers $(BENCH_ARGS)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
