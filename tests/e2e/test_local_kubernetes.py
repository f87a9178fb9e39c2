"""A whole Airflow on SQLite with LocalKubernetesExecutor: the scheduler's own processes and pods."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hybrid_executor.demo.runs import Runs
from hybrid_executor.standalone import LocalAirflow
from tests.e2e.conftest import DAGS, run_airflow, run_dags

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    with run_airflow(
        tmp_path_factory.mktemp("local"),
        dags=DAGS / "local",
        routes="kubernetes=kubernetes, *=local",
        executor="hybrid_executor.LocalKubernetesExecutor",
        options={"AIRFLOW__CORE__PARALLELISM": "4"},
    ) as running:
        yield running


@pytest.fixture(scope="module")
def runs(airflow: LocalAirflow) -> Runs:
    return run_dags(airflow, ["mixed"])


def test_no_celery_worker_is_needed(airflow: LocalAirflow, runs: Runs) -> None:
    assert runs.states == {"mixed": "success"}
    assert "worker" not in airflow.stack.names


def test_a_task_of_the_default_queue_runs_beside_the_scheduler(airflow: LocalAirflow, runs: Runs) -> None:
    (instance,) = [row for row in runs.instances if row["task_id"] == "beside_the_scheduler"]
    assert (instance["state"], instance["hostname"]) == ("success", socket.gethostname())
    assert airflow.api.xcom(instance) == 20


def test_a_task_of_the_kubernetes_queue_runs_in_a_pod(airflow: LocalAirflow, runs: Runs) -> None:
    (record,) = [record for record in runs.journal.records if record.task_id == "in_pod"]
    (instance,) = [row for row in runs.instances if row["task_id"] == "in_pod"]
    assert (record.pool, record.pod) == ("kubernetes", instance["hostname"])
    assert airflow.api.xcom(instance) == 21
