# Each target installs what it needs in .venv. You need only Python 3.10+ (with venv) and make.
#   make demo         run the example DAGs on a whole Airflow on this machine
#   make test         run the unit, contract, integration, fault and end-to-end tests
#   make test-fault   kill, freeze and cut off each part of a whole deployment (half an hour)
#   make test-elastic tasks overflow from workers to pods while parts of it die: make test-elastic TASKS=200
#   make soak         faults that a seed chooses over a mixed load: make soak SEED=7 MINUTES=20
#   make test-compose run docker-compose.yml on a Docker engine, if there is one
#   make matrix       run tests on each supported release of Celery, redis-py, Redis, the Kubernetes library and Airflow
#   make simulate     run simulated schedulers and workers with faults that a seed chooses: make simulate SEEDS=10000
#   make bench        compare with upstream's executors (long; one benchmark: make bench ONLY=celery_dispatch)
#   make bench-page   write docs/figures.md and its plots from the result of make bench BENCH_ARGS="--json bench.json"
#   make docs         build the documentation as a site in build/docs
#   make lint         run ruff, mypy and import-linter
#   make clean        delete everything that the other targets made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A separate home, because Airflow writes an airflow.cfg into it.
export AIRFLOW_HOME ?= $(CURDIR)/$(VENV)/airflow
export AIRFLOW__CORE__LOAD_EXAMPLES ?= False
# Without bytecode, each Airflow process would compile all of Airflow again.
unexport PYTHONDONTWRITEBYTECODE

DEMO_ARGS ?=
TEST_ARGS ?=
# Tests mostly wait for servers, so run more of them at the same time than there are cores.
TEST_PROCESSES ?= 8
MATRIX_ARGS ?=
BENCH_ARGS ?=
BENCH_JSON ?= bench.json
ONLY ?=
SEEDS ?= 1000
SIMULATE_ARGS ?=
SEED ?= 1
MINUTES ?= 20
TASKS ?= 1000
# The release that make test-fault upgrades from, a tag or a commit: the last tag before this commit. Before there are
# tags, the commit from which on records have a schema number. Without git, that test is skipped.
FIRST_SCHEMA := 53d5a7c
FROM ?= $(or $(shell git describe --tags --abbrev=0 HEAD^ 2>/dev/null),$(shell git rev-parse --short -q --verify "$(FIRST_SCHEMA)^{commit}"))

comma := ,
.DEFAULT_GOAL := help
.PHONY: help demo test test-fault test-teams test-elastic soak test-compose simulate matrix bench bench-page run-bench \
	run-bench-page docs lint clean

help:
	@sed -n 's/^#   //p' Makefile

# uv is much faster than pip. If uv cannot be installed or fails, pip is used. Without bytecode, all processes of the first
# Airflow would compile the same modules at the same time.
define install
	@if [ ! -x $(BIN)/python ]; then echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); fi
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed: make PYTHON=python3.12 $@"; rm -rf $(VENV); exit 1; }
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet uv 2>/dev/null || true
	@$(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[$(1)]' 2>$(VENV)/uv.log \
		|| $(BIN)/python -m pip --disable-pip-version-check install --quiet --editable '.[$(1)]'
	@touch $@
endef

$(VENV)/installed-demo: setup.cfg setup.py
	$(call install,embedded)

$(VENV)/installed-test: setup.cfg setup.py
	$(call install,test)
	@touch $(VENV)/installed-demo
	@# Once, so that each process of a test run need not compile all tests by itself.
	@$(BIN)/python -m pytest --collect-only -q >/dev/null || true

$(VENV)/installed-bench: setup.cfg setup.py
	$(call install,test$(comma)bench)

$(VENV)/installed-docs: setup.cfg setup.py
	$(call install,docs)

demo: $(VENV)/installed-demo
	@$(BIN)/airflow hybrid demo $(DEMO_ARGS)

test: $(VENV)/installed-test
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

test-teams: $(VENV)/installed-test
	@HYBRID_TEST_TEAMS=1 $(BIN)/python -m pytest $(TEST_ARGS) tests/e2e/test_teams.py
	@$(BIN)/python -m pytest -m fault -s $(TEST_ARGS) tests/fault/test_teams.py

# One file: make test-fault TEST_ARGS=tests/fault/test_redis.py. docs/failures.md says what is tested.
test-fault: $(VENV)/installed-test
	@HYBRID_TEST_FROM=$(FROM) HYBRID_TEST_SEED=$(SEED) \
		$(BIN)/python -m pytest -m fault --durations 0 -s $(or $(TEST_ARGS),tests/fault)

test-elastic: $(VENV)/installed-test
	@HYBRID_ELASTIC_TASKS=$(TASKS) HYBRID_ELASTIC_SEED=$(SEED) \
		$(BIN)/python -m pytest -m fault -q -n 0 --show-capture=no tests/fault/test_elastic_routes.py

soak: $(VENV)/installed-test
	@$(BIN)/python -m tests.fault.soak --seed $(SEED) --minutes $(MINUTES)

# tests/compose/README.md says how to start an engine and what to do without an image registry.
test-compose: $(VENV)/installed-test
	@$(BIN)/python -m pytest -m compose --durations 0 -s $(TEST_ARGS) tests/compose

# One history again, with all that happens in it: make simulate SIMULATE_ARGS="--seed 17". docs/simulation.md says more.
simulate: $(VENV)/installed-test
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(SIMULATE_ARGS)

# Redis 7 comes from Debian 12: apt-get install redis-server. One leg: make matrix MATRIX_ARGS=oldest (or 5.5, 3.2, ...)
matrix: $(VENV)/installed-test
	@$(BIN)/python -m tests.matrix $(MATRIX_ARGS)

# benchmarks/README.md says what is measured. Sizes: make bench ONLY=pod_launch BENCH_ARGS="pod_launch.count=100"
# It has an environment of its own, with pandas and a large provider for Dag files to import, and matplotlib.
bench bench-page:
	@$(MAKE) --no-print-directory VENV=$(VENV)/bench/ours run-$@

run-bench: $(VENV)/installed-bench
	@$(BIN)/python -m benchmarks $(if $(ONLY),ONLY=$(ONLY)) $(BENCH_ARGS)

run-bench-page: $(VENV)/installed-bench
	@$(BIN)/python -m benchmarks.page $(BENCH_JSON)

docs: $(VENV)/installed-docs
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env --conf-dir docs --doctree-dir build/doctrees . build/docs
	@echo "docs: build/docs/index.html"

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
