"""A warm pod that was given to an attempt whose record Redis then lost: an agent looks after it again."""

from __future__ import annotations

from typing import Any, cast
from unittest.mock import Mock

import fakeredis
import pytest

from hybrid_executor.agent.launch.entries import Created, Launch
from hybrid_executor.agent.launch.recording import LaunchRecorder
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.watch.decision import sight
from hybrid_executor.agent.watch.log_tails import LogTails
from hybrid_executor.agent.watch.recording import PodRecorder
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import LaunchEntry, Record, Store, Submission, Wish

A = AttemptId("a")


@pytest.fixture
def store() -> Store:
    store = Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), instance="test")
    store.launches("c", consumer="agent").prepare()
    fields: dict[str, str | int] = {"dag_id": "dag", "cluster": "c"}
    submission = Submission(attempt=A, owner=OwnerId("1"), pool="kubernetes", fields=fields, payload="{}", cluster="c")
    store.attempts.submit([submission])
    return store


def take(store: Store) -> list[LaunchEntry]:
    return store.launches("c", consumer="agent").take(count=10, wait_milliseconds=1)


def record_of(store: Store) -> Record:
    [record] = store.attempts.records([A])
    assert record is not None
    return record


def claimed_pod() -> dict[str, Any]:
    """Return a warm pod that an agent has given to the attempt."""
    running = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
    status = {"phase": "Running", "containerStatuses": [{"name": "base", "state": running}]}
    labels = {"hybrid-executor/warm": "claimed", "hybrid-executor/attempt": A}
    times = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": {"name": "warm", "namespace": "n", "labels": labels, **times}, "spec": {}, "status": status}


def watch(store: Store) -> None:
    seen = sight(claimed_pod())
    assert seen is not None
    recorder = PodRecorder(
        store.attempts,
        settings=KubernetesSettings(),
        remover=cast(PodRemover, Mock()),
        log_tails=cast(LogTails, Mock()),
        hand_overs=store.hand_overs,
    )
    recorder.record([seen])


def test_the_watcher_has_it_looked_at_where_the_record_does_not_name_it(store: Store) -> None:
    take(store)
    watch(store)
    assert (record_of(store).state, record_of(store).hand_over_pod) == (State.PENDING, "n/warm")
    watch(store)
    assert [(entry.attempt, entry.generation) for entry in take(store)] == [(A, 1)], "once"


def test_the_watcher_leaves_it_to_its_agent_where_the_record_names_it(store: Store) -> None:
    take(store)
    lease = store.leases.take("warm:c", holder="keeper", seconds=30)
    assert lease is not None
    store.warm.offer("c", "k", ["n/warm"], lease=lease)
    store.warm.give([Wish(attempt=A, generation=1, cluster="c", profile="p", kind="k")])
    watch(store)
    assert take(store) == []


@pytest.mark.parametrize("is_claimed", [True, False])
def test_the_launcher_has_it_looked_at_where_it_takes_it_for_the_pod_of_a_launch(
    store: Store, is_claimed: bool
) -> None:
    [entry] = take(store)
    recorder = LaunchRecorder(store, cluster="c", delete_pod=lambda *_, uid: None)
    recorder.record([Created(Launch(entry), record_of(store), "n", "warm", "uid", is_claimed)])
    assert record_of(store).state is State.PENDING
    assert record_of(store).hand_over_pod == ("n/warm" if is_claimed else "")
    assert len(take(store)) == is_claimed
