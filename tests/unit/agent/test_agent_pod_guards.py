"""What an agent looks at before it touches a pod or takes it for absent: each look has a client of its own."""

from __future__ import annotations

import time
from typing import Any, cast
from unittest.mock import Mock

import fakeredis
import pytest

from hybrid_executor.agent.launch.entries import (
    Abandoned,
    Again,
    Claimed,
    HandedOver,
    Launch,
    Parked,
    TakenBack,
    Withdrawn,
)
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.launch.withdrawal import Withdrawals
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.warm.hand_over import HandOver
from hybrid_executor.agent.warm.tally import WarmTally
from hybrid_executor.agent.warm.writing import WorkloadWriter
from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import LABEL_INSTANCE
from hybrid_executor.store import Record, Store, Submission, Wish

A = AttemptId("a")


class Pods:
    """A cluster's client that shows one pod, or none.

    :ivar written: what was written to it.
    """

    def __init__(self, pod: dict[str, Any] | None = None, log: str = "") -> None:
        self._pod = pod
        self._log = log
        self.written: list[str] = []

    def get_pod(self, *_: str) -> dict[str, Any]:
        if self._pod is None:
            raise KubeError("get a pod", status=404)
        return self._pod

    def read_pod_log(self, *_: str, **__: Any) -> str:
        return self._log

    def write_line(self, *_: str, line: str, **__: Any) -> Any:
        self.written.append(line)
        return Mock(has_come=True)


@pytest.fixture
def store() -> Store:
    store = Store(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True), instance="test")
    store.launches("c", consumer="agent").prepare()
    fields: dict[str, str | int] = {"dag_id": "dag", "task_id": "t", "cluster": "c"}
    submission = Submission(attempt=A, owner=OwnerId("1"), pool="kubernetes", fields=fields, payload="{}", cluster="c")
    store.attempts.submit([submission])
    return store


def record_of(store: Store) -> Record:
    [record] = store.attempts.records([A])
    assert record is not None
    return record


def launch_of(store: Store) -> Launch:
    [entry] = store.launches("c", consumer="agent").take(count=1, wait_milliseconds=1)
    return Launch(entry)


def claimed_by(attempt: str) -> dict[str, Any]:
    """Return a warm pod that runs and was given to an attempt."""
    labels = {"hybrid-executor/warm": "claimed", "hybrid-executor/attempt": attempt, LABEL_INSTANCE: "test"}
    annotations = {"hybrid-executor/attempt": attempt}
    metadata = {"name": "warm", "namespace": "n", "uid": "u", "labels": labels, "annotations": annotations}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running"}}


def given(store: Store) -> Claimed:
    """Return the hand-over to a warm pod that the attempt was given."""
    launch = launch_of(store)
    lease = store.leases.take("warm:c", holder="keeper", seconds=30)
    assert lease is not None
    store.warm.offer("c", "k", ["n/warm"], lease=lease)
    store.warm.give([Wish(attempt=A, generation=1, cluster="c", profile="p", kind="k")])
    return Claimed(launch, record_of(store), "n/warm", "{}", is_new=False, is_warm=True)


def writer(pods: Pods, store: Store) -> WorkloadWriter:
    return WorkloadWriter(
        cluster="c",
        client=cast(KubeClient, pods),
        store=store,
        tally=WarmTally(cluster="c"),
        complaints=Complaints(),
        pause=lambda _: None,
    )


@pytest.mark.parametrize(("attempt", "outcome"), [("another", TakenBack), (A, Abandoned)])
def test_a_pod_that_was_given_to_another_attempt_is_left_to_it(store: Store, attempt: str, outcome: type) -> None:
    """Its own one has not accepted the workload, so it is deleted."""
    pods = Pods(claimed_by(attempt))
    hand_over = HandOver(
        writer(pods, store),
        instance="test",
        client=cast(KubeClient, pods),
        store=store,
        factory=cast(PodFactory, Mock()),
        tally=WarmTally(cluster="c"),
    )
    assert isinstance(hand_over.run(given(store)), outcome)
    assert pods.written == []


@pytest.mark.parametrize(("is_revoked", "outcome"), [(True, Abandoned), (False, HandedOver)])
def test_the_workload_of_an_attempt_that_was_revoked_just_now_is_not_written(
    store: Store, is_revoked: bool, outcome: type
) -> None:
    pods, claimed = Pods(), given(store)
    if is_revoked:
        store.attempts.revoke([A], reason="by hand")
    assert isinstance(writer(pods, store).give(claimed, claimed_by(A)), outcome)
    assert bool(pods.written) is not is_revoked


@pytest.mark.parametrize(("seconds_ago", "outcome"), [(1.0, Again), (61.0, Parked), (None, Parked)])
def test_a_pod_whose_creation_was_not_answered_is_absent_only_when_its_request_is_over(
    store: Store, seconds_ago: float | None, outcome: type
) -> None:
    launch = launch_of(store)
    launch.unanswered_at = None if seconds_ago is None else time.monotonic() - seconds_ago
    store.attempts.annotate({A: {"holder": "me", "pod": "p", "namespace": "n"}})
    withdrawals = Withdrawals(cast(KubeClient, Pods()), cast(PodRemover, Mock()), agent="me", instance="test")
    assert isinstance(withdrawals.look(Withdrawn(launch, record_of(store))), outcome)
