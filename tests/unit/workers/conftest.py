"""A store on a fake server that can be unplugged, and messages as they arrive at a worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Record, Restoration, Store, Submission
from hybrid_workers.run import Delivery

ATTEMPT = AttemptId("attempt")
WORKER = "celery@here"
SCRIPT = {"path": "dags.callback", "kwargs": {}}


@pytest.fixture
def server() -> fakeredis.FakeServer:
    """Set ``connected`` to False to unplug it."""
    return fakeredis.FakeServer()


@pytest.fixture
def store(server: fakeredis.FakeServer) -> Store:
    return Store(fakeredis.FakeRedis(server=server, decode_responses=True), instance="test")


@pytest.fixture
def submit(store: Store) -> Callable[..., None]:
    """Return a function that records an attempt as submitted."""

    def submit(attempt: AttemptId = ATTEMPT, *, expected_generation: int = 0) -> None:
        submission = Submission(
            attempt=attempt,
            owner=OwnerId("1"),
            pool="celery",
            fields={"queue": "q"},
            payload=workload_text(),
            expected_generation=expected_generation,
        )
        assert store.attempts.submit([submission]) == [expected_generation + 1]

    return submit


def write_again_as_running(store: Store, attempt: AttemptId = ATTEMPT, *, holder: str = WORKER) -> None:
    """Do what a scheduler does that has heard of a start, and not of the end. It does not know the process."""
    known = Restoration(
        attempt=attempt,
        owner=OwnerId("1"),
        pool="celery",
        state=State.RUNNING,
        generation=2,
        fields={"holder": holder},
    )
    store.attempts.restore([known])


def workload_text(**changes: Any) -> str:
    """Return a callback workload as JSON."""
    return json.dumps(
        {
            "type": "ExecuteCallback",
            "token": "secret-token",
            "dag_rel_path": "dag.py",
            "bundle_info": {"name": "dags"},
            "log_path": None,
            "callback": {"id": "callback-id", "fetch_method": "import_path", "data": SCRIPT},
        }
        | changes
    )


def delivery(**changes: Any) -> Delivery:
    """Return a message as the task gets it."""
    values: dict[str, Any] = {
        "attempt": ATTEMPT,
        "payload": workload_text(),
        "worker": WORKER,
        "queue": "q",
        "owner": OwnerId("1"),
        "instance": "test",
    }
    return Delivery(**(values | changes))


def record_of(store: Store, attempt: AttemptId = ATTEMPT) -> Record:
    """Return a record that must be there."""
    record = store.attempts.records([attempt])[0]
    assert record is not None
    return record
