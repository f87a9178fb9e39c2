"""A whole Airflow on PostgreSQL with HybridExecutor: Celery worker, agent, sandbox, embedded Valkey."""

from __future__ import annotations

import socket

import httpx
import pytest
from kubernetes import client, config
from sqlalchemy import text

from hybrid_executor.demo.runs import Runs
from hybrid_executor.events import STREAM_START
from hybrid_executor.standalone import LocalAirflow
from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.e2e.conftest import home_of, open_database, run_dags
from tests.store_view import launches_length
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def runs(airflow: LocalAirflow) -> Runs:
    return run_dags(airflow, ["recovering", "routing"])


def records_of(runs: Runs, task_id: str) -> list[Record]:
    return [record for record in runs.journal.records if record.task_id == task_id]


def test_every_run_succeeds(runs: Runs) -> None:
    assert runs.states == {"routing": "success", "recovering": "success"}


def test_a_task_of_the_default_queue_runs_on_the_celery_worker(runs: Runs) -> None:
    (record,) = records_of(runs, "on_default")
    assert (record.pool, record.pod, record.holder) == ("celery", "", next(iter(runs.journal.workers)))
    (instance,) = [row for row in runs.instances if row["task_id"] == "on_default"]
    assert instance["hostname"] == socket.gethostname()


def test_each_mapped_task_of_the_kubernetes_queue_runs_in_a_pod_of_its_own(runs: Runs) -> None:
    records = {record.map_index: record for record in records_of(runs, "in_pod")}
    hosts = {row["map_index"]: row["hostname"] for row in runs.instances if row["task_id"] == "in_pod"}
    assert sorted(records) == [0, 1]
    assert {index: record.pod for index, record in records.items()} == hosts
    assert len({record.pod for record in records.values()}) == 2
    assert {record.pool for record in records.values()} == {"kubernetes"}


def test_pods_get_their_workload_by_their_standard_input(runs: Runs) -> None:
    records = [record for record in runs.journal.records if record.pool == "kubernetes"]
    assert records
    assert [record.name for record in records if not record.extra.get("hand_over")] == []


def test_the_documented_executor_config_and_the_profile_reach_the_pods(runs: Runs, airflow: LocalAirflow) -> None:
    mapped = [row for row in runs.instances if row["task_id"] == "in_pod"]
    assert {airflow.api.xcom(row)["given"] for row in mapped} == {"by the task"}
    (on_gpu,) = [row for row in runs.instances if row["task_id"] == "on_gpu"]
    assert airflow.api.xcom(on_gpu) == {"sum": 3, "profile": "gpu"}
    (record,) = records_of(runs, "on_gpu")
    assert (record.queue, record.profile) == ("gpu-queue", "gpu")


@pytest.mark.parametrize(("task_id", "pool"), [("fails_on_worker", "celery"), ("fails_in_pod", "kubernetes")])
def test_a_failed_try_is_an_attempt_of_its_own_and_its_retry_another(runs: Runs, task_id: str, pool: str) -> None:
    records = records_of(runs, task_id)
    assert [(record.try_number, record.pool) for record in records] == [(1, pool), (2, pool)]
    states = [(row["try_number"], row["state"]) for row in runs.tries if row["task_id"] == task_id]
    assert states == [(1, "failed"), (2, "success")]


@pytest.mark.parametrize(("task_id", "pool"), [("pauses_on_worker", "celery"), ("pauses_in_pod", "kubernetes")])
def test_a_deferred_task_resumes_as_a_second_attempt_of_the_same_try(runs: Runs, task_id: str, pool: str) -> None:
    records = records_of(runs, task_id)
    assert [(record.try_number, record.pool, record.state) for record in records] == [(1, pool, State.SUCCEEDED)] * 2
    (instance,) = [row for row in runs.instances if row["task_id"] == task_id]
    assert instance["state"] == "success"


def test_a_callback_of_the_scheduler_runs_on_the_worker_and_airflow_hears_of_it(
    runs: Runs, airflow: LocalAirflow
) -> None:
    trace = home_of(airflow) / "overdue"
    wait_until(trace.exists, seconds=30, what="the callback has run")
    assert trace.read_text() == "late"

    def callbacks() -> list[Record]:
        seen = {event.attempt for event in airflow.store.events.read(STREAM_START).events}
        records = airflow.store.attempts.records(list(seen))
        return [record for record in records if record is not None and record.kind == "callback"]

    wait_until(lambda: [record.state for record in callbacks()] == [State.SUCCEEDED], seconds=30, what="it is recorded")
    assert [(record.pool, record.holder) for record in callbacks()] == [("celery", next(iter(runs.journal.workers)))]
    with open_database(airflow) as engine, engine.connect() as connection:
        states = text("SELECT state FROM callback")
        wait_until(lambda: connection.execute(states).scalars().all() == ["success"], seconds=30, what="Airflow has it")


def test_a_connection_is_tested_on_the_worker_and_airflow_has_the_result(airflow: LocalAirflow) -> None:
    with httpx.Client(base_url=airflow.addresses.base_url, timeout=PATIENCE_SECONDS) as api:
        login = api.post("/auth/token", json={"username": "admin", "password": airflow.password})
        api.headers["Authorization"] = f"Bearer {login.json()['access_token']}"

        def ask(connection_id: str, path: str) -> str:
            body = {"connection_id": connection_id, "conn_type": "fs", "extra": f'{{"path": "{path}"}}'}
            answer = api.post("/api/v2/connections/enqueue-test", json=body)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["token"])

        def result(token: str) -> tuple[str, str]:
            headers = {"Airflow-Connection-Test-Token": token}
            answer = api.get("/api/v2/connections/enqueue-test", headers=headers).json()
            return answer["state"], answer["result_message"]

        good, bad = ask("there", str(home_of(airflow))), ask("not_there", "/no/such/path")
        wait_until(lambda: result(good)[0] == "success", seconds=30, what="the good one is tested")
        wait_until(lambda: result(bad)[0] == "failed", seconds=30, what="the bad one is tested")
        assert result(good)[1] == f"Path {home_of(airflow)} is existing."
        assert result(bad)[1] == "Path /no/such/path does not exist."


def test_the_log_of_a_task_shows_in_the_workers_output_where_that_is_wanted(runs: Runs, airflow: LocalAirflow) -> None:
    (log,) = (home_of(airflow) / "components").glob("worker*")
    assert "on_default shows this" in log.read_text()


def test_nothing_is_left_behind_in_redis(runs: Runs, airflow: LocalAirflow) -> None:
    assert runs.are_over
    store = airflow.store
    assert {pool: store.attempts.live(pool) for pool in ("celery", "kubernetes", "local")} == {
        "celery": set(),
        "kubernetes": set(),
        "local": set(),
    }
    assert list(store.client.scan_iter(f"{store.keys.prefix}payload:*")) == []
    assert list(store.client.scan_iter(f"{store.keys.prefix}overrides:*")) == []
    assert store.client.llen("default") == 0
    assert launches_length(store, "default") == 0
    eternal = [key for key in store.client.scan_iter(store.keys.attempt("*")) if store.client.ttl(key) < 0]
    assert eternal == []


def test_no_pod_is_left_behind(runs: Runs, airflow: LocalAirflow) -> None:
    assert runs.are_over
    api = client.CoreV1Api(config.new_client_from_config(str(airflow.kubeconfig)))
    wait_until(lambda: not api.list_namespaced_pod("default").items, seconds=30, what="all pods are deleted")
