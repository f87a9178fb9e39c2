"""``airflow hybrid standalone --quiet`` with LocalKubernetesExecutor: the scheduler's own processes, and pods."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from hybrid_executor.standalone.api import AirflowApi, ApiError
from tests.e2e.conftest import DAGS
from tests.standalone import Standalone, processes_of
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    started = Standalone(
        tmp_path_factory.mktemp("local"),
        "--quiet",
        options={
            "AIRFLOW__CORE__EXECUTOR": "hybrid_executor.LocalKubernetesExecutor",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS / "local"),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
        },
    )
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def password(standalone: Standalone) -> str:
    return str(json.loads((standalone.home / "hybrid" / "passwords.json").read_text())["admin"])


@pytest.fixture(scope="module")
def api(standalone: Standalone, password: str) -> Iterator[AirflowApi]:
    opened = AirflowApi(f"http://127.0.0.1:{standalone.port}", username="admin", password=password)
    yield opened
    opened.close()


def test_tasks_run_beside_the_scheduler_and_in_pods(standalone: Standalone, api: AirflowApi) -> None:
    wait_until(lambda: _holds(lambda: "mixed" in api.dag_ids()), what="the Dag is read")
    run = api.trigger("mixed")
    ends = ("success", "failed")
    wait_until(lambda: _holds(lambda: api.run_state("mixed", run) in ends), what="the run is over")
    instances = {row["task_id"]: row for row in api.task_instances("mixed", run)}
    assert {row["state"] for row in instances.values()} == {"success"}
    assert instances["beside_the_scheduler"]["hostname"] == socket.gethostname()
    assert api.xcom(instances["beside_the_scheduler"]) == 20
    assert api.xcom(instances["in_pod"]) == 21
    (recorded,) = json.loads(standalone.ask("tasks", "--ended", "--run", run, "--json"))
    assert (recorded["pool"], recorded["pod"]) == ("kubernetes", instances["in_pod"]["hostname"])


def test_a_quiet_one_says_its_own_lines_only(standalone: Standalone, password: str) -> None:
    wait_until(lambda: f"logs      {standalone.home}/hybrid/logs" in standalone.said, what="all is said")
    said = standalone.said.splitlines()
    assert {line.partition(" ")[0] for line in said} == {"hybrid"}
    assert [line for line in said if password in line][1:] == [f"hybrid        |   password  {password}"]


def test_each_component_has_a_log_and_there_is_no_celery_worker(standalone: Standalone) -> None:
    written = {path.name for path in (standalone.home / "hybrid" / "logs").iterdir() if path.stat().st_size}
    parts = ("migrate", "valkey", "sandbox", "api-server", "scheduler", "dag-processor", "triggerer")
    assert written == {f"{part}.log" for part in parts}


def test_ctrl_c_ends_it_and_leaves_nothing(standalone: Standalone) -> None:
    assert len(processes_of(standalone.home)) > 8
    standalone.process.send_signal(signal.SIGINT)
    assert standalone.process.wait(PATIENCE_SECONDS) == 0
    assert processes_of(standalone.home) == []
    assert not (standalone.home / "hybrid" / "running.json").exists()
    assert standalone.said.rstrip().endswith("stopped")


def _holds(asked: Callable[[], bool]) -> bool:
    """Return what the API server says; on a busy machine it may not answer in time."""
    try:
        return asked()
    except ApiError:
        return False
