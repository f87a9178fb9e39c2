"""What agents and workers share through the store: launches, leases, rates, versions, presence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hybrid_executor.events import AttemptId, StreamId
from hybrid_executor.states import State
from hybrid_executor.store import Change, LaunchAck, LaunchStream, Outcome, Store
from tests.contract.store_world import A, pod_submission
from tests.store_view import alive, launches_length

# ---- launches ----


def test_a_group_sees_what_was_written_before_it_was_made(store: Store) -> None:
    store.attempts.submit([pod_submission()])
    stream = store.launches("c", consumer="me")
    assert stream.take(count=1, wait_milliseconds=10) == []
    assert [entry.attempt for entry in stream.take(count=1, wait_milliseconds=10)] == [A]


def test_an_outcome_takes_its_entry_off_the_stream(store: Store) -> None:
    store.attempts.submit([pod_submission()])
    stream = store.launches("c", consumer="me")
    stream.prepare()
    [entry] = stream.take(count=1, wait_milliseconds=10)
    store.attempts.advance(Change(attempt=A, to=State.PENDING, generation=1, ack=LaunchAck("c", entry.id)))
    assert launches_length(store, "c") == 0


def test_a_refused_outcome_takes_its_entry_off_too(store: Store) -> None:
    store.attempts.submit([pod_submission()])
    stream = store.launches("c", consumer="me")
    stream.prepare()
    [entry] = stream.take(count=1, wait_milliseconds=10)
    refused = store.attempts.advance(Change(attempt=A, to=State.PENDING, generation=5, ack=LaunchAck("c", entry.id)))
    assert (refused.outcome, launches_length(store, "c")) == (Outcome.STALE, 0)


def test_every_abandoned_entry_is_taken_over_however_many_stand_before_it(store: Store) -> None:
    ids = [AttemptId(f"a{i}") for i in range(120)]
    store.attempts.submit([pod_submission(i) for i in ids])
    dead, heir = store.launches("c", consumer="dead"), store.launches("c", consumer="heir")
    dead.prepare()
    dead.take(count=200, wait_milliseconds=10)
    taken: list[AttemptId] = []
    for _ in range(40):
        taken += [entry.attempt for entry in heir.take_over(idle_milliseconds=0, count=7)]
        if heir.take_over_is_complete:
            break
    assert sorted(set(taken)) == sorted(ids)


def test_renewing_an_entry_does_not_count_as_a_delivery(store: Store) -> None:
    store.attempts.submit([pod_submission()])
    stream = store.launches("c", consumer="me")
    stream.prepare()
    [entry] = stream.take(count=1, wait_milliseconds=10)
    stream.renew([entry.id])
    [pending] = store.client.xpending_range(store.keys.launch("c"), "launchers", "-", "+", 10)
    assert pending["times_delivered"] == 1


@pytest.mark.parametrize("do", [LaunchStream.renew, LaunchStream.give_back])
def test_entries_of_a_group_that_redis_has_lost_are_passed_over_and_the_next_launch_is_taken(
    store: Store, do: Callable[[LaunchStream, list[StreamId]], None]
) -> None:
    store.attempts.submit([pod_submission()])
    stream = store.launches("c", consumer="me")
    stream.prepare()
    [entry] = stream.take(count=1, wait_milliseconds=10)
    store.client.flushall()
    do(stream, [entry.id])
    store.attempts.submit([pod_submission()])
    assert [again.attempt for again in stream.take(count=1, wait_milliseconds=10)] == [entry.attempt]


def test_a_relaunch_puts_the_attempt_on_its_stream_under_a_new_generation(store: Store) -> None:
    store.attempts.submit([pod_submission()])
    store.attempts.advance(Change(attempt=A, to=State.PENDING))
    again = store.attempts.advance(Change(attempt=A, to=State.SUBMITTED, relaunch=True, generation=1))
    assert again.generation == 2
    stream = store.launches("c", consumer="me")
    stream.prepare()
    assert [entry.generation for entry in stream.take(count=5, wait_milliseconds=10)] == [1, 2]


def test_a_consumer_with_pending_entries_stays_for_others_to_take_over(store: Store) -> None:
    store.attempts.submit([pod_submission()])
    stream = store.launches("c", consumer="me")
    stream.prepare()
    [entry] = stream.take(count=1, wait_milliseconds=10)
    stream.leave()
    assert [c["name"] for c in store.client.xinfo_consumers(store.keys.launch("c"), "launchers")] == ["me"]
    stream.acknowledge(entry.id)
    stream.leave()
    assert store.client.xinfo_consumers(store.keys.launch("c"), "launchers") == []


def test_an_entry_whose_consumer_was_removed_with_it_counts_as_lost_and_others_do_not(store: Store) -> None:
    attempts = [AttemptId(name) for name in ("lost", "held", "new")]
    lost, held = (store.launches("c", consumer=name) for name in ("removed", "me"))
    assert (lost.launches_waiting(), lost.drop_lost()) == (set(), 0)
    store.attempts.submit([pod_submission(attempt) for attempt in attempts])
    assert lost.launches_waiting() == set(attempts)
    lost.prepare()
    lost.take(count=1, wait_milliseconds=10)
    held.take(count=1, wait_milliseconds=10)
    store.client.xgroup_delconsumer(store.keys.launch("c"), "launchers", "removed")
    assert held.launches_waiting() == set(attempts[1:])
    assert held.drop_lost() == 1
    assert store.client.xlen(store.keys.launch("c")) == 2
    assert held.launches_waiting() == set(attempts[1:])


# ---- leases, rates, versions, presence ----


def test_a_lease_has_one_holder_and_a_rising_fence(store: Store) -> None:
    first = store.leases.take("watch", holder="a", seconds=30)
    assert first is not None
    assert store.leases.take("watch", holder="b", seconds=30) is None
    assert store.leases.take("watch", holder="a", seconds=30) == first
    store.leases.release(first)
    second = store.leases.take("watch", holder="b", seconds=30)
    assert second is not None
    assert second.fence > first.fence


def test_a_holder_that_was_late_gets_a_new_fence(store: Store) -> None:
    first = store.leases.take("watch", holder="a", seconds=0)
    again = store.leases.take("watch", holder="a", seconds=30)
    assert first is not None
    assert again is not None
    assert again.fence == first.fence + 1


def test_a_fenced_watcher_cannot_write_its_version(store: Store) -> None:
    old = store.leases.take("watch", holder="a", seconds=0)
    new = store.leases.take("watch", holder="b", seconds=30)
    version = store.version("c", "n")
    assert version.set_resource_version("10", lease=new)
    assert not version.set_resource_version("5", lease=old)
    assert version.get_resource_version() == "10"
    version.clear()
    assert version.get_resource_version() == ""


def test_tokens_are_shared_and_come_back_with_time(store: Store) -> None:
    assert store.rates.take("c", wanted=5, per_second=0.001, capacity=3)[0] == 3
    granted, wait_seconds = store.rates.take("c", wanted=1, per_second=0.001, capacity=3)
    assert granted == 0
    assert wait_seconds > 100


def test_in_hand_is_what_living_workers_run_or_hold(store: Store) -> None:
    store.presence.announce("worker", "w1", {"running": '["a"]', "held": '["b", "c"]'}, seconds=30)
    store.presence.announce("worker", "w2", {"running": '["d"]', "held": "[]"}, seconds=30)
    store.presence.announce("worker", "w3", {}, seconds=30)
    store.client.delete(store.keys.member("worker", "w2"))
    assert store.presence.in_hand() == {"a", "b", "c"}


def test_members_are_alive_until_they_are_silent_or_withdraw(store: Store) -> None:
    store.presence.announce("worker", "w1", {"queues": "q"}, seconds=30)
    store.presence.announce("worker", "w2", {}, seconds=30)
    store.client.delete(store.keys.member("worker", "w2"))
    assert alive(store, "worker") == {"w1"}
    assert [(m.name, m.is_alive) for m in store.presence.members("worker")] == [("w1", True), ("w2", False)]
    store.presence.withdraw("worker", "w1")
    assert [m.name for m in store.presence.members("worker")] == ["w2"]
