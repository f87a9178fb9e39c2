"""How many pods are on their way to their task's start: counted for all agents, on fakeredis and on a real server."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store

_numbers = itertools.count()
FIRST = 8


def some(count: int) -> list[AttemptId]:
    return [AttemptId(f"attempt-{next(_numbers)}") for _ in range(count)]


def age(store: Store, seconds: float, *attempts: AttemptId) -> None:
    """Let attempts have been on their way for so much longer."""
    for attempt in attempts:
        store.client.zincrby(store.keys.starting("c"), -seconds * 1000, attempt)


def admitted(store: Store, count: int, *, most: int = 0) -> list[AttemptId]:
    wanted = some(count)
    return wanted[: store.starts.admit("c", wanted, most=most)]


def test_no_more_are_let_go_than_may_start_at_once_whoever_asks(store: Store) -> None:
    assert len(admitted(store, 20)) == FIRST
    assert admitted(store, 1) == []
    assert store.starts.admit("other", some(20), most=0) == FIRST


def test_a_fixed_limit_is_kept(store: Store) -> None:
    assert len(admitted(store, 20, most=7)) == 7
    assert len(admitted(store, 20, most=9)) == 2


def test_what_starts_quickly_lets_twice_as_many_start(store: Store) -> None:
    first = admitted(store, 100)
    store.starts.run("c", first)
    second = admitted(store, 100)
    store.starts.run("c", second)
    third = admitted(store, 100)
    assert len(first) == FIRST
    # The last ones of a round do not count: half of the limit or more has to be in use.
    assert len(second) > len(first)
    assert len(third) > len(second)


def test_a_trickle_does_not_raise_the_limit(store: Store) -> None:
    for _ in range(50):
        store.starts.run("c", admitted(store, 1))
    assert len(admitted(store, 100)) == FIRST


def test_a_container_that_runs_counts_until_its_task_is_reported_where_starts_are_reported(store: Store) -> None:
    store.starts.report("c")
    first = admitted(store, 100)
    store.starts.run("c", first)
    store.starts.run("c", first)
    assert admitted(store, 1) == []
    store.starts.started("c", first[:2])
    assert len(admitted(store, 2)) == 2


def let_start(store: Store, *seconds: float) -> None:
    """Let as many start as may, each after so many seconds."""
    store.starts.report("c")
    for attempt, duration in zip(admitted(store, len(seconds)), seconds, strict=True):
        store.starts.run("c", [attempt])
        age(store, duration, attempt)
        store.starts.started("c", [attempt])


def limit(store: Store) -> int:
    return store.starts.under_way("c")[1]


def test_starts_that_get_slow_halve_the_limit_once_in_a_while(store: Store) -> None:
    let_start(store, 5)
    let_start(store, 25, 25, 25, 25)
    assert limit(store) == FIRST // 2


def test_a_start_that_takes_a_minute_is_too_slow_wherever_it_is(store: Store) -> None:
    let_start(store, 65, 65, 65, 65)
    assert limit(store) == FIRST // 2


def test_a_start_that_takes_nearly_two_minutes_counts_as_slow_too(store: Store) -> None:
    let_start(store, 5)
    let_start(store, 110)
    assert limit(store) == FIRST // 2


def test_where_all_starts_take_long_the_limit_rises_slowly(store: Store) -> None:
    for _ in range(3):
        let_start(store, *(30,) * FIRST)
    assert limit(store) == FIRST + 1


def test_starts_that_are_neither_quick_nor_slow_leave_the_limit_as_it_is(store: Store) -> None:
    let_start(store, 7)
    let_start(store, 14, 14, 14, 14)
    assert limit(store) == FIRST


def test_the_end_of_a_long_task_says_nothing_about_its_start(store: Store) -> None:
    store.starts.report("c")
    first = admitted(store, 100)
    store.starts.run("c", first)
    age(store, 90, *first)
    store.starts.ended("c", first)
    assert store.starts.under_way("c") == (0, FIRST)


def test_a_pod_that_never_runs_counts_for_half_a_minute_only(store: Store) -> None:
    first = admitted(store, 100)
    age(store, 29, *first)
    assert admitted(store, 1) == []
    age(store, 2, *first)
    assert len(admitted(store, 100)) == FIRST


def test_a_task_that_never_starts_counts_for_two_minutes_only(store: Store) -> None:
    store.starts.report("c")
    first = admitted(store, 100)
    store.starts.run("c", first)
    age(store, 119, *first)
    assert admitted(store, 1) == []
    age(store, 2, *first)
    assert len(admitted(store, 100)) == FIRST


def test_what_is_not_on_its_way_makes_room_and_says_nothing_about_the_pace(store: Store) -> None:
    first = admitted(store, 100)
    store.starts.leave("c", first)
    assert store.starts.under_way("c") == (0, FIRST)
    for tell in (store.starts.leave, store.starts.run, store.starts.started):
        _tell_unknown(tell)
    assert store.starts.under_way("c") == (0, FIRST)


def _tell_unknown(tell: Callable[[str, list[AttemptId]], None]) -> None:
    tell("c", some(3))


def test_all_of_it_expires(store: Store) -> None:
    store.starts.report("c")
    store.starts.run("c", admitted(store, 100))
    for key in (store.keys.starting("c"), store.keys.pace("c")):
        assert store.client.ttl(key) > 0
