"""Repair of what no event and no list would find."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import fakeredis
import pytest

from hybrid_executor.agent.leases import KeptLease
from hybrid_executor.agent.reaper import Reaper, StuckLaunches
from hybrid_executor.complaints import Complaints
from hybrid_executor.events import STREAM_START, AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record, Store, Submission
from hybrid_executor.store.keys import LAUNCH_GROUP

A, B = AttemptId("a"), AttemptId("b")


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(fakeredis.FakeRedis(decode_responses=True), instance="test")
    store.attempts.submit(
        [
            Submission(
                attempt=attempt,
                owner=OwnerId("1"),
                pool="kubernetes",
                fields={"dag_id": "d", "cluster": "default"},
                payload="{}",
                cluster="default",
            )
            for attempt in (A, B)
        ]
    )
    yield store
    store.close()


def reaper_of(store: Store, places: list[tuple[str, str]] | None = None) -> Reaper:
    seen = places if places is not None else []
    return Reaper(
        store=store,
        agent="agent",
        lease=KeptLease(store.leases, "reaper", holder="agent", seconds=10),
        complaints=Complaints(),
        event_seconds=3600,
        on_pod_place=lambda cluster, namespace: seen.append((cluster, namespace)),
    )


def take_off_the_stream(store: Store, attempt: AttemptId) -> None:
    """Lose a launch's entry, as a fall-back of Redis does."""
    stream = store.launches("default", consumer="other")
    stream.prepare()
    for entry in stream.take(count=10, wait_milliseconds=0):
        if entry.attempt == attempt:
            stream.acknowledge(entry.id)


def lose_its_agent(store: Store, attempt: AttemptId) -> None:
    """Remove an agent from the group together with the entry that it has."""
    assert attempt == A
    stream = store.launches("default", consumer="other")
    stream.prepare()
    stream.take(count=1, wait_milliseconds=0)
    store.client.xgroup_delconsumer(store.keys.launch("default"), LAUNCH_GROUP, "other")


def waiting(store: Store) -> set[AttemptId]:
    return store.launches("default", consumer="agent").launches_waiting()


@pytest.mark.parametrize("lose", [take_off_the_stream, lose_its_agent])
def test_a_launch_that_nobody_has_is_put_on_the_stream_again(
    store: Store, lose: Callable[[Store, AttemptId], None]
) -> None:
    lose(store, A)
    assert waiting(store) == {B}
    reaper = reaper_of(store)
    reaper.repair(now=0.0)
    reaper.repair(now=29.0)
    assert waiting(store) == {B}
    reaper.repair(now=31.0)
    assert waiting(store) == {A, B}
    assert store.client.xlen(store.keys.launch("default")) == 2
    [record] = store.attempts.records([A])
    assert record is not None
    assert (record.generation, record.launches) == (1, 0)


def test_an_attempt_that_moved_on_is_not_stuck() -> None:
    stuck = StuckLaunches()
    submitted = Record(id=A, state=State.SUBMITTED, generation=1, cluster="default")
    launching = Record(id=A, state=State.LAUNCHING, generation=1, cluster="default")
    running = Record(id=B, state=State.RUNNING, generation=1, cluster="default")
    assert stuck.update([submitted, running], now=0.0) == []
    assert stuck.update([launching, running], now=40.0) == []
    assert stuck.update([launching, running], now=71.0) == [launching]
    assert stuck.update([], now=72.0) == []


def test_an_agent_looks_for_the_pod_of_what_is_to_leave_its_target_and_leaves_the_move_to_its_owner() -> None:
    stuck = StuckLaunches()
    submitted = Record(id=A, state=State.SUBMITTED, generation=2, cluster="default", leaving="wait")
    launching = Record(id=B, state=State.LAUNCHING, generation=1, cluster="default", leaving="wait")
    assert stuck.update([submitted, launching], now=0.0) == []
    assert stuck.update([submitted, launching], now=31.0) == [launching]


def test_members_whose_record_has_expired_are_dropped(store: Store) -> None:
    store.client.delete(store.keys.attempt(A))
    reaper_of(store).repair(now=0.0)
    assert store.attempts.live("kubernetes") == {B}


def test_the_places_of_live_pods_are_told(store: Store) -> None:
    places: list[tuple[str, str]] = []
    store.attempts.advance(
        Change(attempt=A, to=State.PENDING, fields={"pod": "p", "namespace": "far", "cluster": "default"})
    )
    reaper_of(store, places).repair(now=0.0)
    assert places == [("default", "far")]


def test_events_are_trimmed_by_age_but_for_the_newest(store: Store) -> None:
    reaper_of(store).repair(now=0.0)
    assert len(store.events.read(STREAM_START).events) == 2
