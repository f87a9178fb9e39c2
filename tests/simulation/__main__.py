"""Run histories: ``python -m tests.simulation --seeds 300``, or one again: ``--seed 17``."""

from __future__ import annotations

import os
import sys
import tempfile

if os.environ.get("PYTHONHASHSEED") != "0":
    # The order of a set of texts follows from their hashes, and a seed must say everything.
    os.execve(
        sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
    )

_HOME = tempfile.TemporaryDirectory(prefix="hybrid-simulation-")
for _name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_"))]:
    del os.environ[_name]
os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME.name}/airflow.db",
    AIRFLOW__API_AUTH__JWT_SECRET="only-for-tests-only-for-tests-only-for-tests-only-for-tests-1234",
    AIRFLOW__HYBRID_EXECUTOR__REDIS_URL="redis://redis.invalid:6379/0",
    AIRFLOW__CELERY__BROKER_URL="redis://redis.invalid:6379/0",
    AIRFLOW__HYBRID_EXECUTOR__AGENT="none",
    AIRFLOW__HYBRID_EXECUTOR__EVENT_WAIT="0",
    AIRFLOW__HYBRID_EXECUTOR__ROUTES="kubernetes=kubernetes, *=celery",
    AIRFLOW__HYBRID_EXECUTOR__INSTANCE="sim",
    AIRFLOW__HYBRID_EXECUTOR__RELIST_INTERVAL="20",
    AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY="airflow",
    AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_TAG="3",
)

from tests.simulation import clocks  # noqa: E402 - the product keeps some of Python's clocks when it is imported

clocks.install()

from tests.simulation.command import main  # noqa: E402 - Airflow reads its configuration when it is imported

sys.exit(main(sys.argv[1:]))
