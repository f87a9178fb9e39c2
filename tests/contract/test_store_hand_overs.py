"""Pods that wait for their workload: each hand-over is due once, and expired workloads are renewed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hybrid_executor.events import STREAM_START, AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, LaunchEntry, Outcome, Renewal, Store, Waiter, Wish
from tests.contract.store_world import A, pod_submission, submission

B = AttemptId("b")


def waiter(attempt: AttemptId, generation: int) -> Waiter:
    return Waiter(attempt, generation, "n", "p")


def taken(store: Store) -> list[LaunchEntry]:
    stream = store.launches("c", consumer="agent")
    stream.prepare()
    return stream.take(count=10, wait_milliseconds=1)


def entries(store: Store) -> list[tuple[str, int]]:
    return [(entry.attempt, entry.generation) for entry in taken(store)]


@pytest.fixture
def pending(store: Store) -> Store:
    store.attempts.submit([pod_submission(A)])
    entries(store)
    store.attempts.advance(
        Change(attempt=A, to=State.PENDING, generation=1, fields={"pod": "p", "namespace": "n", "holder": "p"})
    )
    return store


def pod_of(store: Store) -> str:
    [record] = store.attempts.records([A])
    assert record is not None
    return record.hand_over_pod


def test_a_hand_over_is_due_once_for_each_launch(pending: Store) -> None:
    assert pod_of(pending) == ""
    assert [pending.hand_overs.due([waiter(A, 1)]) for _ in range(2)] == [1, 0]
    assert entries(pending) == [(A, 1)]
    assert pod_of(pending) == "n/p"
    pending.attempts.advance(Change(attempt=A, to=State.SUBMITTED, generation=1, relaunch=True))
    assert pod_of(pending) == "", "the next launch has another pod"
    pending.attempts.advance(Change(attempt=A, to=State.PENDING, generation=2, fields={"pod": "q"}))
    assert pending.hand_overs.due([waiter(A, 1)]) == 0, "an old pod must not get the workload of its successor"
    assert pending.hand_overs.due([waiter(A, 2)]) == 1
    assert entries(pending) == [(A, 2), (A, 2)]


def test_an_entry_from_before_the_hand_over_was_due_hands_nothing_over(store: Store) -> None:
    """Its agent may still have it: two of them would take the pod from each other."""
    store.attempts.submit([pod_submission(A)])
    [creation] = taken(store)
    store.attempts.advance(Change(attempt=A, to=State.PENDING, generation=1, fields={"pod": "p", "namespace": "n"}))
    store.hand_overs.due([waiter(A, 1)])
    [hand_over] = taken(store)
    store.launches("c", consumer="reaper").put_again(A, generation=1)
    [again] = taken(store)
    [record] = store.attempts.records([A])
    assert record is not None
    over = [record.is_handed_over_by_another(entry.id) for entry in (creation, hand_over, again)]
    assert over == [True, False, False]


def test_a_pod_that_failed_before_it_started_says_nothing_about_another_pod_of_the_same_generation(
    pending: Store,
) -> None:
    """Redis lost the record while the first pod was starting, and the attempt was launched again."""

    def failed(pod: str) -> Change:
        sources = (State.SUBMITTED, State.LAUNCHING, State.PENDING)
        return Change(
            attempt=A, to=State.SUBMITTED, generation=1, sources=sources, relaunch=True, may_park=True, only_pod=pod
        )

    refused = pending.attempts.advance(failed("old"))
    assert (refused.outcome, refused.state, refused.generation) == (Outcome.STALE, "pending", 1)
    assert entries(pending) == []
    assert pending.attempts.advance(failed("p")).is_granted
    assert entries(pending) == [(A, 2)]


@pytest.mark.parametrize("state", [State.SUBMITTED, State.RUNNING, State.SUCCEEDED])
def test_a_pod_without_its_workload_says_nothing_about_an_attempt_that_is_for_workers(
    store: Store, state: State
) -> None:
    """Redis has lost that the attempt went on to pods; a pod that has its workload may run it all the same."""
    store.attempts.submit([submission(A)])
    if state is not State.SUBMITTED:
        store.attempts.claim(A, worker="w")
    if state is State.SUCCEEDED:
        store.attempts.advance(Change(attempt=A, to=state))
    [record] = store.attempts.records([A])
    assert record is not None
    pending = Change(attempt=A, to=State.PENDING, generation=record.generation, fields={"pod": "p"})
    answer = store.attempts.advance(replace(pending, needs_workload=True))
    assert (answer.outcome, answer.state) == (Outcome.ELSEWHERE, state.value)
    assert store.attempts.records([A]) == [record]
    assert store.attempts.advance(pending).is_granted is (state is State.SUBMITTED)


def test_an_old_pod_does_not_get_the_workload_of_an_attempt_that_was_given_a_warm_pod(store: Store) -> None:
    store.attempts.submit([pod_submission(A)])
    entries(store)
    lease = store.leases.take("warm:c", holder="keeper", seconds=30)
    assert lease is not None
    store.warm.offer("c", "k", ["n/warm"], lease=lease)
    wish = Wish(attempt=A, generation=1, cluster="c", profile="p", kind="k")
    assert [given.pod for given in store.warm.give([wish])] == ["n/warm"]
    assert store.hand_overs.due([waiter(A, 1)]) == 0
    assert pod_of(store) == "n/warm"
    assert entries(store) == []


@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCEEDED, State.REVOKED, State.LOST])
def test_nothing_is_handed_over_or_renewed_where_an_attempt_has_started_or_ended(pending: Store, state: State) -> None:
    pending.attempts.advance(Change(attempt=A, to=state, generation=1))
    assert pending.hand_overs.due([waiter(A, 1), waiter(B, 1)]) == 0
    assert not pending.hand_overs.want(A, generation=1)
    assert pending.hand_overs.renew([Renewal(A, 1, "{}"), Renewal(B, 1, "{}")]) == 0
    assert pending.attempts.workload(A)[1] == ""
    assert entries(pending) == []


def test_an_owner_is_asked_for_a_new_workload_by_an_event_that_changes_nothing(pending: Store) -> None:
    pending.client.delete(pending.keys.payload(A))
    before = pending.attempts.records([A])
    assert pending.hand_overs.want(A, generation=1)
    assert not pending.hand_overs.want(A, generation=2)
    assert pending.attempts.records([A]) == before
    *earlier, event = pending.events.read(STREAM_START).events
    assert (event.attempt, event.state, event.generation, event.wants) == (A, "pending", 1, "workload")
    assert {other.wants for other in earlier} == {""}


def test_a_new_workload_is_kept_for_as_long_as_its_token_is_valid(pending: Store) -> None:
    pending.client.delete(pending.keys.payload(A))
    new = json.dumps({"token": "new"})
    assert pending.hand_overs.renew([Renewal(A, 2, "{}")]) == 0
    assert pending.hand_overs.renew([Renewal(A, 1, new)]) == 1
    assert pending.attempts.workload(A)[1] == new
    assert 0 < pending.client.ttl(pending.keys.payload(A)) <= 600
    assert "token" not in repr(Renewal(A, 1, new))


def test_a_launch_stream_that_is_none_stops_no_other_hand_over(pending: Store) -> None:
    pending.client.delete(pending.keys.launch("c"))
    pending.client.set(pending.keys.launch("c"), "no stream")
    assert pending.hand_overs.due([waiter(A, 1)]) == 0
    assert pod_of(pending) == ""
    pending.client.delete(pending.keys.launch("c"))
    assert pending.hand_overs.due([waiter(A, 1)]) == 1
