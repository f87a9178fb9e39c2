"""docker-compose.yml with the profile ``sandbox`` on a real Docker engine: ``make test-compose``.

The tests of one generation of Compose use one deployment, one after the other: the last one removes it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from hybrid_executor.standalone.api import AirflowApi, ApiError
from hybrid_executor.standalone.ports import choose_port
from tests.compose.engine import COMMANDS, ROOT, Container, Project, docker, has_compose, provide_images, why_no_engine
from tests.waiting import wait_until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
STARTED = {name for name, service in SERVICES.items() if "sandbox" in service.get("profiles", ["sandbox"])}
ONCE = {"migrate"}
START_SECONDS = 900.0


@dataclass(frozen=True)
class Deployment:
    """A running deployment and its REST API."""

    project: Project
    port: int

    def api(self) -> AirflowApi:
        """Return the REST API for the user that the API server has made."""
        passwords = self.project.execute("api-server", "cat", "/opt/airflow/auth/passwords.json")
        return AirflowApi(f"http://127.0.0.1:{self.port}", username="admin", password=json.loads(passwords)["admin"])

    def wait_until_healthy(self) -> list[Container]:
        """Return the containers, once all that go on are healthy and all others have ended well."""

        def unhealthy() -> list[str]:
            return [
                f"{one.service} {one.status} {one.health} {one.last_check()}"
                for one in self.project.containers()
                if one.health != "healthy" and not (one.service in ONCE and one.has_ended_well)
            ]

        wait_until(lambda: not unhealthy(), what=unhealthy, seconds=START_SECONDS, every_seconds=2)
        return self.project.containers()

    def let_go(self, run_id: str) -> None:
        """Let the held tasks of a run go on."""
        self.project.execute("scheduler", "touch", f"/opt/airflow/logs/go-{run_id}")


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    if why := why_no_engine():
        pytest.skip(why)
    provide_images()


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def deployment(
    request: pytest.FixtureRequest, engine: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    if not has_compose(request.param):
        pytest.skip(f"{request.param} is not installed")
    dags = tmp_path_factory.mktemp("dags")
    # The user of the containers reads it.
    dags.chmod(0o755)
    for path in [*(ROOT / "examples" / "workers").glob("*.py"), Path(__file__).parent / "dags" / "held.py"]:
        shutil.copy(path, dags)
    name, port = f"hybrid-test-{uuid4().hex[:8]}", choose_port()
    variables = tmp_path_factory.mktemp("project") / "variables"
    variables.write_text(f"API_SERVER_PORT={port}\nDAGS_FOLDER={dags}\nIMAGE_REPOSITORY={name}\nIMAGE_TAG=test\n")
    project = Project(request.param, name=name, variables=variables)
    begun = time.monotonic()
    try:
        project.run("up", "--build", "--detach", seconds=1200)
        print(f"\n{request.param}: built and started in {time.monotonic() - begun:.0f} s")
        yield Deployment(project, port)
    finally:
        project.run("down", "--volumes", "--timeout", "20", seconds=300)
        docker("image", "rm", "--force", f"{name}:test")


def test_every_service_becomes_healthy(deployment: Deployment) -> None:
    begun = time.monotonic()
    containers = deployment.wait_until_healthy()
    print(f"healthy after {time.monotonic() - begun:.0f} s more")
    assert {one.service for one in containers} == STARTED
    assert {one.service for one in containers if one.health == "healthy"} == STARTED - ONCE


def test_a_second_up_recreates_nothing(deployment: Deployment) -> None:
    before = deployment.project.containers()
    deployment.project.run("up", "--detach", seconds=300)
    deployment.wait_until_healthy()
    assert [one.id for one in deployment.project.containers()] == [one.id for one in before]


def test_the_output_of_every_container_is_rotated(deployment: Deployment) -> None:
    for one in deployment.project.containers():
        assert one.log_driver == "json-file"
        assert one.log_options == {"max-size": "10m", "max-file": "3"}, one.service


def test_a_dag_runs_on_workers_and_in_pods_and_its_logs_are_read_by_rest(deployment: Deployment) -> None:
    api = deployment.api()
    run_id = start(api, "sales_report")
    wait_until(
        lambda: api.run_state("sales_report", run_id) in ("success", "failed"),
        what=lambda: states(api, "sales_report", run_id),
        seconds=600,
        every_seconds=1,
    )
    instances = api.task_instances("sales_report", run_id)
    assert {one["state"] for one in instances} == {"success"}, states(api, "sales_report", run_id)
    [worker] = deployment.project.containers("worker")
    for one in instances:
        is_pod = one["queue"] != "default"
        assert one["hostname"].startswith("sales-report-") if is_pod else one["hostname"] == worker.hostname
        assert one["id"] in api.log_text(one), one["task_id"]
    assert {one["queue"] for one in instances} >= {"default", "kubernetes"}
    api.close()


def test_a_worker_that_is_stopped_finishes_its_task_and_exits_with_0(deployment: Deployment) -> None:
    api = deployment.api()
    run_id = start(api, "held")
    wait_until(lambda: states(api, "held", run_id) == {"hold": "running"}, what=lambda: states(api, "held", run_id))
    [worker] = deployment.project.containers("worker")
    with deployment.project.begin("stop", "worker") as stopping:
        wait_until(lambda: "Warm shutdown" in worker.logs(), what="the worker is told to stop")
        assert states(api, "held", run_id) == {"hold": "running"}
        deployment.let_go(run_id)
        assert stopping.wait(120) == 0
    [stopped] = deployment.project.containers("worker")
    assert (stopped.id, stopped.status, stopped.exit_code) == (worker.id, "exited", 0)
    wait_until(lambda: api.run_state("held", run_id) == "success", what=lambda: states(api, "held", run_id))
    [instance] = api.task_instances("held", run_id)
    assert instance["try_number"] == 1
    api.close()
    deployment.project.run("up", "--detach", seconds=300)
    deployment.wait_until_healthy()


def test_three_workers_and_two_schedulers_share_the_work(deployment: Deployment) -> None:
    project = deployment.project
    project.run("up", "--detach", "--scale", "worker=3", "--scale", "scheduler=2", seconds=300)
    containers = deployment.wait_until_healthy()
    assert {name: [one.service for one in containers].count(name) for name in ("worker", "scheduler")} == {
        "worker": 3,
        "scheduler": 2,
    }
    assert len(project.containers("worker")) == 3
    for worker, name in zip(project.containers("worker"), "abc", strict=True):
        docker("exec", worker.id, "airflow", "hybrid", "worker-add-queue", worker.hostname, f"only-{name}")
    api = deployment.api()
    run_id = start(api, "spread")
    held = {"hold_a": "running", "hold_b": "running", "hold_c": "running"}
    wait_until(
        lambda: held.items() <= states(api, "spread", run_id).items(),
        what=lambda: states(api, "spread", run_id),
        seconds=180,
        every_seconds=1,
    )
    hosts = {one["hostname"] for one in api.task_instances("spread", run_id) if one["task_id"] in held}
    assert hosts == {worker.hostname for worker in project.containers("worker")}
    # One scheduler leaves; the other one goes on with its tasks.
    gone, stays = project.containers("scheduler")
    docker("stop", "--time", "60", gone.id, seconds=90)
    docker("exec", stays.id, "touch", f"/opt/airflow/logs/go-{run_id}")
    wait_until(
        lambda: api.run_state("spread", run_id) == "success",
        what=lambda: states(api, "spread", run_id),
        seconds=400,
        every_seconds=1,
    )
    assert {one["try_number"] for one in api.task_instances("spread", run_id)} == {1}
    api.close()


def test_down_with_volumes_leaves_nothing(deployment: Deployment) -> None:
    assert deployment.project.remains()
    deployment.project.run("down", "--volumes", "--timeout", "30", seconds=300)
    assert deployment.project.remains() == []


def start(api: AirflowApi, dag_id: str) -> str:
    """Start a run of a Dag as soon as Airflow has read it, and return its id."""
    wait_until(lambda: dag_id in api.dag_ids(), what=lambda: api.import_errors(), seconds=180, every_seconds=1)
    api.unpause(dag_id)
    return api.trigger(dag_id)


def states(api: AirflowApi, dag_id: str, run_id: str) -> dict[str, str]:
    """Return the state of each task of a run; empty while the API does not answer."""
    try:
        return {one["task_id"]: str(one["state"]) for one in api.task_instances(dag_id, run_id)}
    except ApiError:
        return {}
