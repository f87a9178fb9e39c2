"""An agent that was paused may have lost its launches to another one: it looks again before it creates a pod."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast
from unittest.mock import Mock

import pytest
from fakeredis import FakeRedis

from hybrid_executor.agent.launch.creation import PodCreator
from hybrid_executor.agent.launch.entries import Again, Created, Launch, Ready
from hybrid_executor.agent.launch.intake import LaunchIntake
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.launch.preparation import LaunchPreparer
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.store import Store, Submission

A = AttemptId("a")
SETTINGS = KubernetesSettings(worker_container_repository="task", worker_container_tag="1")


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(FakeRedis(decode_responses=True)) as client:
        store = Store(client, instance="test")
        store.launches("c", consumer="agent").prepare()
        fields: dict[str, str | int] = {"dag_id": "d", "task_id": "t", "cluster": "c"}
        store.attempts.submit(
            [Submission(attempt=A, owner=OwnerId("1"), pool="kubernetes", fields=fields, payload="{}", cluster="c")]
        )
        yield store


def test_launches_are_held_from_the_first_renewal_on_and_anew_after_a_pause(store: Store) -> None:
    intake = LaunchIntake(
        store.launches("c", consumer="agent"), cluster="c", take_over_seconds=15, accept=lambda _: None
    )
    assert intake.held_since == math.inf
    now = time.monotonic()
    for step in (0, 5, 14):
        intake.renew_due(now=now + step)
        assert intake.held_since == now
    intake.renew_due(now=now + 29.5)  # longer ago than other agents wait
    assert intake.held_since == now + 29.5


def test_launches_that_are_not_renewed_for_too_long_are_not_held(store: Store) -> None:
    intake = LaunchIntake(
        store.launches("c", consumer="agent"), cluster="c", take_over_seconds=15, accept=lambda _: None
    )
    intake.renew_due(now=time.monotonic() - 16)
    assert intake.held_since == math.inf


@pytest.mark.parametrize(("seconds", "outcome"), [(-1, Created), (1, Again)], ids=["held", "paused since"])
def test_no_pod_is_created_for_a_record_that_was_read_before_a_pause(
    store: Store, seconds: float, outcome: type
) -> None:
    factory = PodFactory(SETTINGS, instance="test", profiles={})
    preparer = LaunchPreparer(
        agent="agent", cluster="c", store=store, present=store.events.present, factory=factory, token_seconds=600
    )
    [entry] = store.launches("c", consumer="agent").take(count=1, wait_milliseconds=1)
    [read] = preparer.read([Launch(entry)])
    assert isinstance(read, Ready)
    [ready] = preparer.announce([read])
    created: list[Any] = []

    def run_pod(manifest: Any) -> dict[str, Any]:
        created.append(manifest)
        return dict(manifest)

    creator = PodCreator(
        cluster="c",
        instance="test",
        client=cast(KubeClient, Mock()),
        run_pod=run_pod,
        settings=SETTINGS,
        patience_seconds=60,
        distrusts_records=lambda: False,
        held_since=lambda: time.monotonic() + seconds,
    )
    assert isinstance(ready, Ready)
    assert isinstance(creator.create(ready), outcome)
    assert len(created) == (1 if outcome is Created else 0)
