"""The Kubernetes API, PostgreSQL and Airflow's API server fail while tasks are queued, start, run and end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.fault.course import course, wait_begun
from tests.fault.deployment import Deployment
from tests.leaks import shared
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


def cluster_down(deployment: Deployment) -> None:
    deployment.sandbox.faults.restart(20)
    time.sleep(20)


def throttling(deployment: Deployment) -> None:
    rule = deployment.sandbox.faults.fail(429, times=None, retry_after_seconds=1)
    time.sleep(15)
    deployment.sandbox.faults.remove(rule)


def server_errors(deployment: Deployment) -> None:
    rule = deployment.sandbox.faults.fail(500, times=None)
    time.sleep(15)
    deployment.sandbox.faults.remove(rule)


def cut_watches(deployment: Deployment) -> None:
    for _ in range(10):
        deployment.sandbox.faults.cut_watches()
        time.sleep(0.5)


def forgotten_versions(deployment: Deployment) -> None:
    for _ in range(5):
        deployment.sandbox.faults.compact()
        deployment.sandbox.faults.cut_watches()
        time.sleep(1)


def postgres_restarted(deployment: Deployment) -> None:
    with shared():
        deployment.postgres.restart(down_seconds=3)


def postgres_cut(deployment: Deployment) -> None:
    for _ in range(12):
        deployment.postgres.cut_sessions()
        time.sleep(1)


def postgres_read_only(deployment: Deployment) -> None:
    with deployment.postgres.configured(default_transaction_read_only="on"):
        time.sleep(10)


def postgres_in_a_hurry(deployment: Deployment) -> None:
    with deployment.postgres.configured(statement_timeout="1"):
        time.sleep(10)


def postgres_locked(deployment: Deployment) -> None:
    with deployment.postgres.locked("task_instance"):
        time.sleep(8)


def postgres_crowded(deployment: Deployment) -> None:
    with deployment.postgres.crowded():
        time.sleep(10)


def api_server_down(deployment: Deployment) -> None:
    server = deployment.part("api-server")
    server.kill()
    time.sleep(20)
    server.start()


def api_server_frozen(deployment: Deployment) -> None:
    """It answers late: each request after its client has given up."""
    server = deployment.part("api-server")
    server.pause()
    time.sleep(20)
    server.resume()


KUBERNETES = [cluster_down, throttling, server_errors, cut_watches, forgotten_versions]


@pytest.mark.parametrize("happen", KUBERNETES)
def test_tasks_that_start_run_and_end_meanwhile_do_so_once_and_cost_no_try(
    deployment: Deployment, happen: Callable[[Deployment], None]
) -> None:
    with course(deployment, troubles=OFTEN.get(happen, 1)) as load:
        running = load.start("load", seconds=10)
        wait_begun(load, running, "on_worker", "in_pod", "in_pod_a", "in_pod_b")
        starting = load.start("load", seconds=1)
        began = time.monotonic()
        happen(deployment)
        happened = time.monotonic()
        load.wait(running, starting)
        print(
            f"{happen.__name__}: {happened - began:.0f} s; then all had ended after {time.monotonic() - happened:.0f} s"
        )


@pytest.mark.parametrize("happen", [api_server_down, api_server_frozen])
def test_while_airflows_api_server_is_away_tasks_on_workers_start_later_and_cost_no_try(
    deployment: Deployment, happen: Callable[[Deployment], None]
) -> None:
    with course(deployment, may_spend_tries=True) as load:
        running = load.start("load", seconds=10)
        wait_begun(load, running, "on_worker", "in_pod", "in_pod_a", "in_pod_b")
        starting = load.start("workers", seconds=1)
        pods = load.start("load", seconds=1)
        began = time.monotonic()
        happen(deployment)
        load.wait(running, starting, pods)
        print(f"{happen.__name__}: all had ended {time.monotonic() - began:.0f} s after it had begun")
        # What ran, and pods that start, may give up, as with upstream's executors: the Task SDK decides that.
        spent = {task: of_task for task, of_task in load.tries([starting]).items() if len(of_task) > 1}
        assert spent == {}


POSTGRES = [
    *(postgres_restarted, postgres_cut, postgres_read_only, postgres_in_a_hurry, postgres_locked, postgres_crowded)
]
OFTEN = {cut_watches: 10, forgotten_versions: 5, postgres_cut: 12}


@pytest.mark.parametrize("happen", POSTGRES)
def test_a_database_that_goes_away_or_refuses_loses_no_task(
    deployment: Deployment, happen: Callable[[Deployment], None]
) -> None:
    of_airflow = (*deployment.schedulers, "api-server", "dag-processor", "triggerer")
    with course(deployment, may_spend_tries=True, may_end=of_airflow, troubles=OFTEN.get(happen, 1)) as load:
        running = load.start("load", seconds=10)
        wait_begun(load, running, "on_worker", "in_pod", "in_pod_a", "in_pod_b")
        starting = load.start("load", seconds=1)
        happen(deployment)
        happened = time.monotonic()
        # Airflow's schedulers end where their database goes away.
        load.wait(running, starting, advance=deployment.revive)
        print(f"{happen.__name__}: all had ended after {time.monotonic() - happened:.0f} s")


def test_a_namespace_that_is_deleted_takes_its_pods_and_no_others(deployment: Deployment) -> None:
    with course(deployment, may_spend_tries=True) as load:
        run = load.start("load", seconds=60)  # longer than a pod may take to end
        wait_begun(load, run, "on_worker", "in_pod", "in_pod_a", "in_pod_b")
        delete_namespace(deployment, "team-b")
        wait_until(lambda: any(row[0] == "in_pod_b" for row in load.audit([run])), what="Airflow is told")
        create_namespace(deployment, "team-b")
        load.wait(run)
        others = {task: of_task for task, of_task in load.tries([run]).items() if task.task_id != "in_pod_b"}
        assert {len(of_task) for of_task in others.values()} == {1}


def delete_namespace(deployment: Deployment, name: str) -> None:
    api(deployment).delete_namespace(name)


def create_namespace(deployment: Deployment, name: str) -> None:
    body = {"metadata": {"name": name}}

    def is_created() -> bool:
        from kubernetes.client import ApiException

        try:
            api(deployment).create_namespace(body)
        except ApiException as error:
            if error.status != 409:
                raise
            return False
        return True

    wait_until(is_created, what="the namespace is there again", every_seconds=0.2)


def api(deployment: Deployment) -> object:
    from kubernetes import client, config

    return client.CoreV1Api(config.new_client_from_config(str(deployment.home / "kubeconfig")))
