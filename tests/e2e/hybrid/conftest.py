"""The Airflow that the modules of this folder share: it takes longer to start than most of their tests to run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hybrid_executor.standalone import LocalAirflow
from tests.e2e.conftest import DAGS, run_airflow
from tests.e2e.postgres import PostgresServer
from tests.leaks import shared

PATH = "/team/airflow"
READER = "reader"
"""User and password of somebody who may only read."""


@pytest.fixture(scope="package")
def airflow(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """HybridExecutor on PostgreSQL with a Celery worker, an agent, the sandbox and an embedded Valkey.

    The API server has a path in ``[api] base_url``. Pods get their token by their standard input. A module uses only
    DAGs of its own. No Dag file changes, so each is read once.
    """
    home = tmp_path_factory.mktemp("hybrid")
    (home / "state").mkdir()
    (home / "state" / "passwords.json").write_text(json.dumps({READER: READER}), encoding="utf-8")
    with ExitStack() as stack:
        with shared():
            running = stack.enter_context(
                run_airflow(
                    home,
                    dags=DAGS / "hybrid",
                    routes="kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery",
                    executor="hybrid_executor.HybridExecutor",
                    options={
                        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.airflow_url,
                        "AIRFLOW__CELERY__TASK_LOGS_TO_STDOUT": "True",
                        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
                        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
                        "AIRFLOW__HYBRID_EXECUTOR__POD_TOKEN": "stdin",
                        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,{READER}:viewer",
                    },
                    path=PATH,
                )
            )
        assert running.addresses.base_url.endswith(PATH)
        yield running
