"""Workers of elastic routes are scaled to zero and back: the shipped trigger asks the scaler, and that a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hybrid_executor.scaler.server import make_app
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import queue
from tests.integration.scaler.test_scaler import Served
from tests.keda import ScaledDeployment

MANIFEST = Path(__file__).parents[3] / "workers" / "manifests" / "keda" / "scaled_objects.yaml"
TOKEN = "of-the-scaler"


class Keda:
    """Asks as the ScaledObject of the workers says, every ``pollingInterval`` seconds of the executor's clock.

    :ivar workers: the Deployment. A worker is announced while it has replicas.
    """

    def __init__(self, executor: Any, store: Store, http: Served) -> None:
        [spec] = [
            item["spec"]
            for item in yaml.safe_load_all(MANIFEST.read_text())
            if item["kind"] == "ScaledObject" and item["metadata"]["name"] == "hybrid-worker"
        ]
        [trigger] = spec["triggers"]
        told = trigger["metadata"]
        assert (trigger["type"], told["authMode"]) == ("metrics-api", "bearer")
        self._path, self._location = urlsplit(told["url"]).path, told["valueLocation"]
        self._every = float(spec["pollingInterval"])
        self._executor, self._store, self._http = executor, store, http
        self.workers = ScaledDeployment(
            target=float(told["targetValue"]),
            least=spec["minReplicaCount"],
            most=spec["maxReplicaCount"],
            activation=float(told["activationTargetValue"]),
            cooldown=float(spec["cooldownPeriod"]),
            fallback=spec["fallback"]["replicas"],
        )

    def poll(self) -> int:
        """Let the time of one interval pass; return the replicas after it."""
        self._executor.clock.advance(self._every)
        self._executor.heartbeat()
        answer = self._http.get(self._path, {"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200, answer.text
        value = answer.json()[self._location]
        replicas = self.workers.poll(value, now=self._executor.clock())
        if replicas:
            fields = {"queues": "default", "state": "running", "concurrency": "16"}
            self._store.presence.announce("worker", "w", fields, seconds=60)
        else:
            self._store.presence.withdraw("worker", "w")
        return replicas

    def poll_until_zero(self) -> int:
        """Poll until there are no replicas; return how many seconds that took."""
        began = self._executor.clock()
        while self.poll():
            assert self._executor.clock() - began < 3600
        return int(self._executor.clock() - began)


@pytest.fixture
def keda(
    request: pytest.FixtureRequest, make_executor: Callable[..., Any], store: Store, tmp_path: Path
) -> Iterator[Keda]:
    """KEDA, with the executor's routes given as the parameter."""
    executor = make_executor(hybrid_executor__routes=request.param)
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    with Served(make_app(store, executor.settings, token_file=token_file, fresh_seconds=0.0)) as http:
        yield Keda(executor, store, http)


def only(store: Store, pool: str) -> Any:
    [attempt] = store.attempts.live(pool)
    return store.attempts.records([attempt])[0]


def succeed(keda: Keda, store: Store, record: Any) -> None:
    if record.pool == "celery":
        assert store.attempts.claim(record.id, worker="w", sent_generation=record.generation).is_granted
    store.attempts.advance(Change(attempt=record.id, to=State.SUCCEEDED))
    keda._executor.heartbeat()


@pytest.mark.parametrize("keda", ["default=celery(served) > kubernetes, *=celery"], indirect=True)
def test_with_served_the_first_task_runs_in_a_pod_and_starts_a_worker_for_the_next(
    keda: Keda, make_row: Callable[..., Any], store: Store
) -> None:
    assert keda.poll() == 0
    queue(keda._executor, make_row("first"))
    assert keda.poll() == 1, "the task in the pod is told as work that would be on a worker"
    first = only(store, "kubernetes")
    queue(keda._executor, make_row("second"))
    assert keda.poll() == 1
    second = only(store, "celery")
    assert second.target == "celery"
    assert only(store, "kubernetes").id == first.id, "it does not come back"
    succeed(keda, store, second)
    # The first task runs in its pod for hours. That needs no worker.
    assert 300 <= keda.poll_until_zero() <= 330
    store.attempts.advance(Change(attempt=first.id, to=State.SUCCEEDED))
    keda._executor.heartbeat()
    assert [keda.poll() for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("keda", ["default=celery(wait=2m) > kubernetes, *=celery"], indirect=True)
def test_with_wait_a_message_that_waits_wakes_the_workers_from_zero(
    keda: Keda, make_row: Callable[..., Any], store: Store
) -> None:
    assert keda.poll() == 0
    queue(keda._executor, make_row("first"))
    assert keda.poll() == 1
    assert store.client.llen("default") == 1
    first = only(store, "celery")
    succeed(keda, store, first)
    assert 300 <= keda.poll_until_zero() <= 330


@pytest.mark.parametrize("keda", ["default=celery(wait=20s) > kubernetes, *=celery"], indirect=True)
def test_messages_that_moved_attempts_have_left_keep_no_worker(
    keda: Keda, make_row: Callable[..., Any], store: Store
) -> None:
    queue(keda._executor, *(make_row(str(number)) for number in range(30)))
    assert keda.poll() == 2  # ceil(30 / 16)
    for _ in range(3):
        keda.poll()
    assert len(store.attempts.live("kubernetes")) == 30, "no worker has taken them in time"
    assert 270 <= keda.poll_until_zero() <= 330
    assert store.client.llen("default") == 0, "their messages are gone too"
