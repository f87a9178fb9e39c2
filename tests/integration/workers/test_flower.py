"""``airflow hybrid flower`` for real: what people see of workers and of what they ran."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from hybrid_executor.states import State
from tests.conftest import RedisServer
from tests.integration.rabbitmq import free_port
from tests.integration.workers.near_side import Scheduler, WorkerProcess, wait_until
from tests.integration.workers.real_worker import AIRFLOW, make_home
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(find_spec("flower") is None, reason="flower is not installed")
TOKEN = "a-token-that-nobody-may-see"


@pytest.fixture(scope="module")
def flower(
    redis_server: RedisServer, worker: WorkerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a Flower on the shared worker, which has told that worker to report."""
    path, port = tmp_path_factory.mktemp("flower"), free_port()
    environment = {
        **make_home(path, redis_server.url, log_port=0).environment,
        "AIRFLOW__CELERY__FLOWER_HOST": "127.0.0.1",
        "AIRFLOW__CELERY__FLOWER_PORT": str(port),
        "AIRFLOW__CELERY__FLOWER_URL_PREFIX": "watch",
        "AIRFLOW__CELERY__FLOWER_BASIC_AUTH": "me:a-password",
        "FLOWER_UNAUTHENTICATED_API": "true",
    }
    with (path / "output").open("wb") as output:
        process = subprocess.Popen(
            [AIRFLOW, "hybrid", "flower"], env=environment, cwd=path, stdout=output, stderr=subprocess.STDOUT
        )
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}/watch/", auth=("me", "a-password"), timeout=PATIENCE_SECONDS
    ) as client:
        try:
            wait_until(lambda: answers(client), seconds=60, what="Flower answers")
            wait_until(
                lambda: "Events of group {task} enabled by remote" in worker.output, what="the worker is told to report"
            )
            assert "a-password" not in Path(f"/proc/{process.pid}/cmdline").read_text()
            yield client
        finally:
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0, (path / "output").read_text()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("api/workers").status_code == 200
    except httpx.TransportError:
        return False


def test_the_worker_and_what_it_ran_are_shown_with_their_states_and_without_tokens(
    flower: httpx.Client, scheduler: Scheduler, worker: WorkerProcess
) -> None:
    good, bad = scheduler.submit(scheduler.work(), scheduler.work(exit=3))
    scheduler.wait_for(good, State.SUCCEEDED)
    scheduler.wait_for(bad, State.FAILED)

    def states() -> dict[str, str]:
        tasks = flower.get("api/tasks").json()
        return {attempt: tasks[attempt]["state"] for attempt in (good, bad) if attempt in tasks}

    wait_until(lambda: states() == {good: "SUCCESS", bad: "FAILURE"}, what="Flower has heard of both ends")
    tasks = flower.get("api/tasks").json()
    assert {(tasks[one]["name"], tasks[one]["worker"]) for one in (good, bad)} == {("execute_workload", worker.name)}
    assert "exit code 3" in tasks[bad]["exception"]
    wait_until(lambda: worker.name in flower.get("api/workers?refresh=1").json(), what="Flower knows the worker")
    pages = ["workers", f"worker/{worker.name}", "tasks", f"task/{good}", f"task/{bad}", "api/tasks", "api/workers"]
    texts = {page: flower.get(page) for page in pages}
    assert {page: answer.status_code for page, answer in texts.items()} == dict.fromkeys(pages, 200)
    assert worker.name in texts["workers"].text
    assert TOKEN not in "".join(answer.text for answer in texts.values())


def test_nobody_is_let_in_without_the_password(flower: httpx.Client) -> None:
    assert httpx.get(flower.base_url).status_code == 401
