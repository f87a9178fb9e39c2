"""Waiting pods in Redis: one pod for one attempt, decided once for each generation."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from dataclasses import replace

import pytest

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import (
    Change,
    Decision,
    Given,
    Lease,
    Record,
    RedisSettings,
    Store,
    Submission,
    Wish,
    open_store,
)

P, Q = "default/p", "default/q"
COLD_NOW, NOT_YET = Given(Decision.NOW, ""), Given(Decision.NOT_YET, "")
COLD_BEFORE, NOTHING = Given(Decision.BEFORE, ""), Given(Decision.NOTHING_TO_LAUNCH, "")


def submit(store: Store) -> AttemptId:
    attempt = AttemptId(str(uuid.uuid4()))
    store.attempts.submit(
        [
            Submission(
                attempt=attempt,
                owner=OwnerId("1"),
                pool="kubernetes",
                fields={"dag_id": "dag", "cluster": "c"},
                payload="{}",
                cluster="c",
            )
        ]
    )
    return attempt


def wish(attempt: AttemptId, *, generation: int = 1) -> Wish:
    return Wish(attempt=attempt, generation=generation, cluster="c", profile="warm", kind="k")


def lease(store: Store, holder: str = "keeper") -> Lease:
    taken = store.leases.take("warm:c", holder=holder, seconds=30)
    assert taken is not None
    return taken


def offer(store: Store, *pods: str, starting: int = 0, wait_seconds: int = 10) -> dict[str, AttemptId]:
    """Offer pods; return those that were given away, and to which attempt."""
    taken = store.warm.offer("c", "k", pods, starting=starting, wait_seconds=wait_seconds, lease=lease(store))
    assert taken is not None
    return {item.pod: item.attempt for item in taken}


def record(store: Store, attempt: AttemptId) -> Record:
    found = store.attempts.records([attempt])[0]
    assert found is not None
    return found


def test_an_attempt_gets_a_pod_in_the_step_that_takes_it_from_all_others(store: Store) -> None:
    offer(store, P)
    first, second = submit(store), submit(store)
    assert store.warm.give([wish(first), wish(second)]) == [Given(Decision.NOW, P), Given(Decision.NOW, "")]
    claimed = record(store, first)
    assert (claimed.state, claimed.pod, claimed.namespace) == (State.PENDING, "p", "default")
    assert record(store, second).state is State.SUBMITTED


def test_the_owner_is_told_where_the_pod_is_so_that_it_can_write_the_record_again(store: Store) -> None:
    offer(store, P)
    attempt = submit(store)
    cursor = store.events.end()
    store.warm.give([wish(attempt)])
    [event] = store.events.read(cursor).events
    assert (event.attempt, event.state, event.holder, event.namespace) == (attempt, State.PENDING, "p", "default")


def test_whoever_asks_again_for_the_same_generation_gets_the_same_answer(store: Store) -> None:
    first, second = submit(store), submit(store)
    assert store.warm.give([wish(first)]) == [Given(Decision.NOW, "")]
    offer(store, P, Q)
    assert store.warm.give([wish(first)]) == [COLD_BEFORE]
    [given] = store.warm.give([wish(second)])
    assert store.warm.give([wish(second)]) == [Given(Decision.BEFORE, given.pod)]


def test_an_attempt_whose_own_pod_would_be_created_next_gets_one_that_nobody_else_waits_for(store: Store) -> None:
    first, second, waiter = submit(store), submit(store), submit(store)
    assert store.warm.give([wish(first), wish(second)]) == [COLD_NOW, COLD_NOW]
    assert store.warm.give([wish(first)], is_last_call=True) == [COLD_BEFORE]
    offer(store, starting=1)
    assert store.warm.give([wish(waiter)]) == [NOT_YET]
    offer(store, P)
    assert store.warm.give([wish(first)], is_last_call=True) == [COLD_BEFORE], "the pod is that of the one that waits"
    offer(store, P, Q)
    assert store.warm.give([wish(first)], is_last_call=True) == [Given(Decision.NOW, P)]
    assert store.warm.give([wish(first)], is_last_call=True) == [Given(Decision.BEFORE, P)], "also if asked again"
    claimed = record(store, first)
    assert (claimed.state, claimed.pod, claimed.warm_pod) == (State.PENDING, "p", P)
    launch = Change(attempt=first, to=State.LAUNCHING, generation=1, sources=(State.SUBMITTED, State.LAUNCHING))
    assert not store.attempts.advance(launch).is_granted, "no agent creates a pod for it any more"
    assert store.warm.give([wish(waiter)]) == [Given(Decision.NOW, Q)]
    offer(store, "default/r")
    assert store.attempts.advance(replace(launch, attempt=second)).is_granted
    assert store.warm.give([wish(second)], is_last_call=True) == [COLD_BEFORE], "its own pod may exist"
    assert sum(store.warm.demand("c", "warm").values()) == 3


def test_an_agent_that_creates_a_pod_is_stopped_once_the_attempt_has_a_waiting_one(store: Store) -> None:
    offer(store, P)
    attempt = submit(store)
    store.warm.give([wish(attempt)])
    announced = store.attempts.advance(
        Change(attempt=attempt, to=State.LAUNCHING, generation=1, sources=(State.SUBMITTED, State.LAUNCHING))
    )
    assert not announced.is_granted


def test_an_attempt_whose_pod_is_being_created_gets_no_waiting_pod(store: Store) -> None:
    offer(store, P)
    attempt = submit(store)
    store.attempts.advance(Change(attempt=attempt, to=State.LAUNCHING, generation=1))
    assert store.warm.give([wish(attempt)]) == [COLD_BEFORE]


@pytest.mark.parametrize("end", [State.RUNNING, State.SUCCEEDED, State.REVOKED])
def test_an_attempt_that_has_started_or_ended_gets_no_pod(store: Store, end: State) -> None:
    offer(store, P)
    attempt = submit(store)
    store.attempts.advance(Change(attempt=attempt, to=end))
    assert store.warm.give([wish(attempt)]) == [NOTHING]


def test_another_generation_gets_nothing(store: Store) -> None:
    offer(store, P)
    attempt = submit(store)
    assert store.warm.give([wish(attempt, generation=2), wish(AttemptId("nobody"))]) == [NOTHING, NOTHING]


def test_an_attempt_that_is_launched_again_may_get_another_pod(store: Store) -> None:
    offer(store, P)
    attempt = submit(store)
    store.warm.give([wish(attempt)])
    again = Change(attempt=attempt, to=State.SUBMITTED, generation=1, relaunch=True)
    assert store.attempts.advance(again).is_granted
    offer(store, P, Q)
    assert store.warm.give([wish(attempt, generation=2)]) == [Given(Decision.NOW, Q)]


def test_a_pod_that_was_given_away_is_not_offered_again_while_it_looks_as_if_it_waited(store: Store) -> None:
    offer(store, P)
    attempt = submit(store)
    store.warm.give([wish(attempt)])
    assert offer(store, P) == {P: attempt}
    assert store.warm.give([wish(submit(store))]) == [Given(Decision.NOW, "")]
    assert offer(store) == {}
    assert offer(store, P) == {}


def test_pods_that_are_gone_are_not_given(store: Store) -> None:
    offer(store, P, Q)
    offer(store, Q)
    assert store.warm.give([wish(submit(store)), wish(submit(store))]) == [
        Given(Decision.NOW, Q),
        Given(Decision.NOW, ""),
    ]


def test_a_keeper_that_has_lost_its_lease_changes_nothing(store: Store) -> None:
    old = lease(store, "old")
    store.leases.release(old)
    lease(store, "new")
    assert store.warm.offer("c", "k", [P], lease=old) is None
    assert store.warm.give([wish(submit(store))]) == [Given(Decision.NOW, "")]


def test_as_many_attempts_as_pods_start_wait_and_get_them_in_their_order(store: Store) -> None:
    offer(store, starting=2)
    first, second, third = (submit(store) for _ in range(3))
    assert store.warm.give([wish(first), wish(second), wish(third)]) == [NOT_YET, NOT_YET, COLD_NOW]
    store.client.zincrby(store.keys.warm_waiters("c", "k"), -1, first)  # they asked in one millisecond
    offer(store, P, starting=1)
    assert store.warm.give([wish(second)]) == [NOT_YET]
    assert store.warm.give([wish(first)]) == [Given(Decision.NOW, P)]
    offer(store, Q)
    assert store.warm.give([wish(second)]) == [Given(Decision.NOW, Q)]
    assert record(store, first).state is record(store, second).state is State.PENDING
    assert sum(store.warm.demand("c", "warm").values()) == 3


def test_nobody_waits_for_pods_that_do_not_start_any_more(store: Store) -> None:
    offer(store, starting=1)
    attempt = submit(store)
    assert store.warm.give([wish(attempt)]) == [NOT_YET]
    offer(store)
    assert store.warm.give([wish(attempt)]) == [COLD_NOW]
    assert store.warm.give([wish(attempt)]) == [COLD_BEFORE]


def test_attempts_wait_as_long_as_the_keeper_says(store: Store) -> None:
    offer(store, starting=2, wait_seconds=60)
    waiter, ghost = submit(store), submit(store)
    store.warm.give([wish(waiter), wish(ghost)])
    waiters = store.keys.warm_waiters("c", "k")
    store.client.zincrby(waiters, -59_000, waiter)
    store.client.zincrby(waiters, -89_000, ghost)
    assert store.warm.give([wish(waiter)]) == [NOT_YET]
    assert int(store.client.zcard(waiters)) == 2
    for seconds, attempt in ((1_000, waiter), (1_000, ghost)):
        store.client.zincrby(waiters, -seconds, attempt)
    assert store.warm.give([wish(waiter)]) == [COLD_NOW]
    assert int(store.client.zcard(waiters)) == 0


def test_an_older_keeper_does_not_say_how_long(store: Store) -> None:
    store.client.set(store.keys.warm_starting("c", "k"), "1", ex=15)
    waiter = submit(store)
    assert store.warm.give([wish(waiter)]) == [NOT_YET]
    store.client.zincrby(store.keys.warm_waiters("c", "k"), -10_000, waiter)
    assert store.warm.give([wish(waiter)]) == [COLD_NOW]


@pytest.mark.parametrize("seconds", [10, 60])
def test_nobody_waits_longer_than_a_pod_takes_to_start(store: Store, seconds: int) -> None:
    offer(store, starting=1)
    waiter, ghost = submit(store), submit(store)
    store.warm.give([wish(waiter)])
    waiters = store.keys.warm_waiters("c", "k")
    store.client.zincrby(waiters, -10_000, waiter)
    assert store.warm.give([wish(waiter)]) == [COLD_NOW]
    assert int(store.client.zcard(waiters)) == 0
    store.client.zadd(waiters, {ghost: store.now_milliseconds() - 1000 * seconds})
    store.client.expire(waiters, 60)
    assert store.warm.give([wish(submit(store))]) == [COLD_NOW if seconds == 10 else NOT_YET]


def test_demand_counts_each_attempt_once(store: Store) -> None:
    offer(store, P)
    first, second = submit(store), submit(store)
    for _ in range(2):
        store.warm.give([wish(first), wish(second)])
    demand = store.warm.demand("c", "warm")
    assert sum(demand.values()) == 2
    store.warm.forget_demand("c", "warm", list(demand))
    assert store.warm.demand("c", "warm") == {}


def test_a_shortage_of_quota_is_forgotten_by_itself(store: Store) -> None:
    assert not store.warm.is_short("c", "default")
    store.warm.note_shortage("c", "default")
    assert store.warm.is_short("c", "default")
    assert 0 < int(store.client.ttl(store.keys.warm_shortage("c", "default"))) <= 30


def test_nothing_is_kept_for_ever(store: Store) -> None:
    offer(store, P, Q, starting=1)
    store.warm.give([wish(submit(store)) for _ in range(3)])
    keys = [str(key) for key in store.client.keys("*warm-*")]
    assert len(keys) == 4
    assert all(int(store.client.ttl(key)) > 0 for key in keys)


def test_agents_that_ask_at_the_same_time_never_get_the_same_pod(redis_url: str) -> None:
    store = open_store(RedisSettings(url=redis_url), instance="test")
    offer(store, *(f"default/p{number}" for number in range(20)))
    attempts = [submit(store) for _ in range(40)]
    pods: list[str] = []

    def ask() -> None:
        for attempt in attempts:
            pods.extend(f"{given.pod} {attempt}" for given in store.warm.give([wish(attempt)]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owners = Counter(line.split()[0] for line in set(pods) if line.startswith("default/"))
    assert len(pods) == 160
    assert len(owners) == 20
    assert set(owners.values()) == {1}
    store.close()
