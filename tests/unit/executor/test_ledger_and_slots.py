"""What the executor remembers, and how it counts slots."""

from __future__ import annotations

import pytest

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.ledger import Ledger, Tracked
from hybrid_executor.executor.outage import Outage
from hybrid_executor.executor.slots import free_slots
from hybrid_executor.states import State


def tracked(attempt: str, key: str = "k", pool: str = "celery") -> Tracked:
    return Tracked(
        attempt=AttemptId(attempt),
        key=key,
        kind="task",
        workload_id="t",
        pool=pool,
        queue="q",
        state=State.SUBMITTED,
        generation=1,
        since=0.0,
    )


def test_a_newer_attempt_takes_the_place_of_an_older_one() -> None:
    ledger = Ledger()
    old, new = tracked("old"), tracked("new")
    assert ledger.add(old) is None
    assert ledger.add(new) is old
    assert ledger.get(AttemptId("old")) is None
    assert ledger.of_key("k") is new
    assert (len(ledger), ledger.count("celery")) == (1, 1)


def test_adding_an_attempt_again_replaces_nothing() -> None:
    ledger = Ledger()
    ledger.add(tracked("a"))
    assert ledger.add(tracked("a")) is None
    assert ledger.count("celery") == 1


def test_a_removed_attempt_frees_its_pools_slot_once() -> None:
    ledger = Ledger()
    ledger.add(tracked("a", pool="kubernetes"))
    assert ledger.remove(AttemptId("a")) is not None
    assert ledger.remove(AttemptId("a")) is None
    assert ledger.count("kubernetes") == 0


def test_free_slots_are_never_negative() -> None:
    assert free_slots({"a": 2, "b": 5}, {"a": 7}) == {"a": 0, "b": 5}


def test_an_outage_waits_longer_each_time_and_ends_with_an_answer() -> None:
    outage = Outage(clock=lambda: 7.0)
    for _ in range(3):
        with pytest.raises(StoreUnavailable), outage.watch():
            raise StoreUnavailable("away")
    assert outage.is_on
    assert not outage.may_ask()
    with outage.watch():
        pass
    assert not outage.is_on
    assert outage.may_ask()
